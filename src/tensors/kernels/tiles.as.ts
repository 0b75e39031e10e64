/**
 * The innermost loops of a matrix product: a tile of C, up to 6 rows of 8 columns, held in registers.
 *
 * The loop over k is deliberately not unrolled: V8 moves all loads of a loop body to its top, and more of them than
 * there are free registers (of 16) are spilled, which halves the speed. For the same reason the tallest tile has five
 * rows where a product needs a register between multiplication and addition, six where it does not.
 */

/** Rows of the tallest tile. */
export const tileRows: i32 = isDefined(RELAXED) && !isDefined(WIDE) ? 6 : 5;
/** Columns of every tile: two vectors. */
export const tileColumns: i32 = 8;

/** a·b + sum, with one rounding where the relaxed instructions exist. */
// @ts-ignore: decorator
@inline
export function multiplyAdd(sum: v128, a: v128, b: v128): v128 {
  if (isDefined(RELAXED)) return f32x4.relaxed_madd(a, b, sum);
  return f32x4.add(sum, f32x4.mul(a, b));
}

/**
 * `rows` × 8 of C = A·B, or C += A·B unless `first`. C by rows, B a strip 8 wide, A's elements `aRow` apart from row to
 * row and `aStep` from column to column, so either way round; all strides in bytes. `rows` is a constant at each place of
 * use, so that only its own part of this remains there.
 */
// @ts-ignore: decorator
@inline
function tileOf(
  rows: i32, k: i32, a: usize, aRow: usize, aStep: usize, b: usize, bRow: usize, c: usize, cRow: usize, first: bool,
): void {
  let a0 = a, a1 = a + aRow, a2 = a + 2 * aRow, a3 = a + 3 * aRow, a4 = a + 4 * aRow, a5 = a + 5 * aRow;
  let l0 = f32x4.splat(0), l1 = l0, l2 = l0, l3 = l0, l4 = l0, l5 = l0;
  let h0 = l0, h1 = l0, h2 = l0, h3 = l0, h4 = l0, h5 = l0;
  if (!first) {
    l0 = v128.load(c); h0 = v128.load(c, 16);
    if (rows > 1) { l1 = v128.load(c + cRow); h1 = v128.load(c + cRow, 16); }
    if (rows > 2) { l2 = v128.load(c + 2 * cRow); h2 = v128.load(c + 2 * cRow, 16); }
    if (rows > 3) { l3 = v128.load(c + 3 * cRow); h3 = v128.load(c + 3 * cRow, 16); }
    if (rows > 4) { l4 = v128.load(c + 4 * cRow); h4 = v128.load(c + 4 * cRow, 16); }
    if (rows > 5) { l5 = v128.load(c + 5 * cRow); h5 = v128.load(c + 5 * cRow, 16); }
  }
  for (; k > 0; k--) {
    const low = v128.load(b), high = v128.load(b, 16);
    b += bRow;
    let x = v128.load32_splat(a0); l0 = multiplyAdd(l0, x, low); h0 = multiplyAdd(h0, x, high); a0 += aStep;
    if (rows > 1) { x = v128.load32_splat(a1); l1 = multiplyAdd(l1, x, low); h1 = multiplyAdd(h1, x, high); a1 += aStep; }
    if (rows > 2) { x = v128.load32_splat(a2); l2 = multiplyAdd(l2, x, low); h2 = multiplyAdd(h2, x, high); a2 += aStep; }
    if (rows > 3) { x = v128.load32_splat(a3); l3 = multiplyAdd(l3, x, low); h3 = multiplyAdd(h3, x, high); a3 += aStep; }
    if (rows > 4) { x = v128.load32_splat(a4); l4 = multiplyAdd(l4, x, low); h4 = multiplyAdd(h4, x, high); a4 += aStep; }
    if (rows > 5) { x = v128.load32_splat(a5); l5 = multiplyAdd(l5, x, low); h5 = multiplyAdd(h5, x, high); a5 += aStep; }
  }
  v128.store(c, l0); v128.store(c, h0, 16);
  if (rows > 1) { v128.store(c + cRow, l1); v128.store(c + cRow, h1, 16); }
  if (rows > 2) { v128.store(c + 2 * cRow, l2); v128.store(c + 2 * cRow, h2, 16); }
  if (rows > 3) { v128.store(c + 3 * cRow, l3); v128.store(c + 3 * cRow, h3, 16); }
  if (rows > 4) { v128.store(c + 4 * cRow, l4); v128.store(c + 4 * cRow, h4, 16); }
  if (rows > 5) { v128.store(c + 5 * cRow, l5); v128.store(c + 5 * cRow, h5, 16); }
}

/**
 * Two such tiles side by side, the second one's strip at `right`: up to 5 × 16, for a compiler that joins each pair of
 * 128-bit vectors into one of 256 bits, and then has just enough registers for it.
 */
// @ts-ignore: decorator
@inline
function pairOf(
  rows: i32, k: i32, a: usize, aRow: usize, aStep: usize, b: usize, right: usize, bRow: usize, c: usize, cRow: usize,
  first: bool,
): void {
  let a0 = a, a1 = a + aRow, a2 = a + 2 * aRow, a3 = a + 3 * aRow, a4 = a + 4 * aRow;
  let l0 = f32x4.splat(0), l1 = l0, l2 = l0, l3 = l0, l4 = l0;
  let h0 = l0, h1 = l0, h2 = l0, h3 = l0, h4 = l0;
  let m0 = l0, m1 = l0, m2 = l0, m3 = l0, m4 = l0;
  let n0 = l0, n1 = l0, n2 = l0, n3 = l0, n4 = l0;
  if (!first) {
    l0 = v128.load(c); h0 = v128.load(c, 16); m0 = v128.load(c, 32); n0 = v128.load(c, 48);
    if (rows > 1) { l1 = v128.load(c + cRow); h1 = v128.load(c + cRow, 16); m1 = v128.load(c + cRow, 32); n1 = v128.load(c + cRow, 48); }
    if (rows > 2) { l2 = v128.load(c + 2 * cRow); h2 = v128.load(c + 2 * cRow, 16); m2 = v128.load(c + 2 * cRow, 32); n2 = v128.load(c + 2 * cRow, 48); }
    if (rows > 3) { l3 = v128.load(c + 3 * cRow); h3 = v128.load(c + 3 * cRow, 16); m3 = v128.load(c + 3 * cRow, 32); n3 = v128.load(c + 3 * cRow, 48); }
    if (rows > 4) { l4 = v128.load(c + 4 * cRow); h4 = v128.load(c + 4 * cRow, 16); m4 = v128.load(c + 4 * cRow, 32); n4 = v128.load(c + 4 * cRow, 48); }
  }
  for (; k > 0; k--) {
    const low = v128.load(b), high = v128.load(b, 16), low2 = v128.load(right), high2 = v128.load(right, 16);
    b += bRow;
    right += bRow;
    let x = v128.load32_splat(a0); a0 += aStep;
    l0 = multiplyAdd(l0, x, low); h0 = multiplyAdd(h0, x, high); m0 = multiplyAdd(m0, x, low2); n0 = multiplyAdd(n0, x, high2);
    if (rows > 1) {
      x = v128.load32_splat(a1); a1 += aStep;
      l1 = multiplyAdd(l1, x, low); h1 = multiplyAdd(h1, x, high); m1 = multiplyAdd(m1, x, low2); n1 = multiplyAdd(n1, x, high2);
    }
    if (rows > 2) {
      x = v128.load32_splat(a2); a2 += aStep;
      l2 = multiplyAdd(l2, x, low); h2 = multiplyAdd(h2, x, high); m2 = multiplyAdd(m2, x, low2); n2 = multiplyAdd(n2, x, high2);
    }
    if (rows > 3) {
      x = v128.load32_splat(a3); a3 += aStep;
      l3 = multiplyAdd(l3, x, low); h3 = multiplyAdd(h3, x, high); m3 = multiplyAdd(m3, x, low2); n3 = multiplyAdd(n3, x, high2);
    }
    if (rows > 4) {
      x = v128.load32_splat(a4); a4 += aStep;
      l4 = multiplyAdd(l4, x, low); h4 = multiplyAdd(h4, x, high); m4 = multiplyAdd(m4, x, low2); n4 = multiplyAdd(n4, x, high2);
    }
  }
  v128.store(c, l0); v128.store(c, h0, 16); v128.store(c, m0, 32); v128.store(c, n0, 48);
  if (rows > 1) { v128.store(c + cRow, l1); v128.store(c + cRow, h1, 16); v128.store(c + cRow, m1, 32); v128.store(c + cRow, n1, 48); }
  if (rows > 2) { v128.store(c + 2 * cRow, l2); v128.store(c + 2 * cRow, h2, 16); v128.store(c + 2 * cRow, m2, 32); v128.store(c + 2 * cRow, n2, 48); }
  if (rows > 3) { v128.store(c + 3 * cRow, l3); v128.store(c + 3 * cRow, h3, 16); v128.store(c + 3 * cRow, m3, 32); v128.store(c + 3 * cRow, n3, 48); }
  if (rows > 4) { v128.store(c + 4 * cRow, l4); v128.store(c + 4 * cRow, h4, 16); v128.store(c + 4 * cRow, m4, 32); v128.store(c + 4 * cRow, n4, 48); }
}

/** Two tiles of 1 to 5 rows side by side; where vectors are joined, the tallest tile has 5. */
export function tilePair(
  rows: i32, k: i32, a: usize, aRow: usize, aStep: usize, b: usize, right: usize, bRow: usize, c: usize, cRow: usize,
  first: bool,
): void {
  switch (rows) {
    case 1: pairOf(1, k, a, aRow, aStep, b, right, bRow, c, cRow, first); break;
    case 2: pairOf(2, k, a, aRow, aStep, b, right, bRow, c, cRow, first); break;
    case 3: pairOf(3, k, a, aRow, aStep, b, right, bRow, c, cRow, first); break;
    case 4: pairOf(4, k, a, aRow, aStep, b, right, bRow, c, cRow, first); break;
    default: pairOf(5, k, a, aRow, aStep, b, right, bRow, c, cRow, first);
  }
}

/** A tile of 1 to `tileRows` rows. */
export function tile(
  rows: i32, k: i32, a: usize, aRow: usize, aStep: usize, b: usize, bRow: usize, c: usize, cRow: usize, first: bool,
): void {
  switch (rows) {
    case 1: tileOf(1, k, a, aRow, aStep, b, bRow, c, cRow, first); break;
    case 2: tileOf(2, k, a, aRow, aStep, b, bRow, c, cRow, first); break;
    case 3: tileOf(3, k, a, aRow, aStep, b, bRow, c, cRow, first); break;
    case 4: tileOf(4, k, a, aRow, aStep, b, bRow, c, cRow, first); break;
    case 5: tileOf(5, k, a, aRow, aStep, b, bRow, c, cRow, first); break;
    default: if (tileRows == 6) tileOf(6, k, a, aRow, aStep, b, bRow, c, cRow, first);
  }
}

/** The height of the next tile when `left` rows remain: the tallest, but no last tile of one or two where two even ones do. */
export function nextRows(left: i32): i32 {
  if (left >= tileRows + 3 || left == tileRows) return tileRows;
  return left < tileRows ? left : (left + 1) >> 1;
}
