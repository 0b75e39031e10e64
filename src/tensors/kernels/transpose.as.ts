/** Permutations of axes, for any element of 4 bytes. Strides count elements, except in the plane, where they are bytes. */

/** The transpose of 4 × 4 floats: rows at `from` to rows at `to`. */
function transpose4x4(from: usize, fromRow: usize, to: usize, toRow: usize): void {
  const r0 = v128.load(from), r1 = v128.load(from + fromRow);
  const r2 = v128.load(from + 2 * fromRow), r3 = v128.load(from + 3 * fromRow);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5), high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5), high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(to + toRow, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(to + 2 * toRow, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(to + 3 * toRow, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}

// Columns handled together, so that the lines they are written to stay in the first-level cache.
const planeColumns: i32 = 64;

/** to[j, i] = from[i, j] for i < rows, j < columns; both contiguous along their rows, which are the given bytes apart. */
export function transposePlane(from: usize, fromRow: usize, rows: i32, columns: i32, to: usize, toRow: usize): void {
  const wholeRows = rows & ~3, wholeColumns = columns & ~3;
  for (let start = 0; start < wholeColumns; start += planeColumns) {
    const end = min(start + planeColumns, wholeColumns);
    for (let i = 0; i < wholeRows; i += 4) {
      const source = from + <usize>i * fromRow, target = to + (<usize>i << 2);
      for (let j = start; j < end; j += 4) {
        transpose4x4(source + (<usize>j << 2), fromRow, target + <usize>j * toRow, toRow);
      }
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < wholeRows ? wholeColumns : 0; j < columns; j++) {
      store<u32>(to + <usize>j * toRow + (<usize>i << 2), load<u32>(from + <usize>i * fromRow + (<usize>j << 2)));
    }
  }
}

/**
 * Copies `run` elements (contiguous in both) for each index of four outer axes of sizes n; s are the strides in the
 * input, the output is written in order. The case of a permutation that leaves the last axis in place.
 */
export function permuteRuns(
  from: usize, to: usize, n0: i32, n1: i32, n2: i32, n3: i32, n4: i32, s0: i32, s1: i32, s2: i32, s3: i32, s4: i32,
  run: i32,
): void {
  const bytes = <usize>run << 2;
  const whole = bytes & ~15;
  for (let i0 = 0; i0 < n0; i0++) for (let i1 = 0; i1 < n1; i1++) for (let i2 = 0; i2 < n2; i2++) for (let i3 = 0; i3 < n3; i3++) {
    let source = from + (<usize>(i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3) << 2);
    for (let i4 = 0; i4 < n4; i4++) {
      for (let at: usize = 0; at < whole; at += 16) v128.store(to + at, v128.load(source + at));
      for (let at = whole; at < bytes; at += 4) store<u32>(to + at, load<u32>(source + at));
      to += bytes;
      source += <usize>s4 << 2;
    }
  }
}

/**
 * Transposes a plane [rows, columns] for each index of four outer axes of sizes n, whose strides are s in the input and
 * t in the output. In the input the plane's columns are contiguous and its rows `fromRow` apart; in the output the rows
 * are contiguous and the columns `toRow` apart. The case of a permutation that moves the last axis.
 */
export function permutePlanes(
  from: usize, to: usize, n0: i32, n1: i32, n2: i32, n3: i32, s0: i32, s1: i32, s2: i32, s3: i32,
  t0: i32, t1: i32, t2: i32, t3: i32, rows: i32, columns: i32, fromRow: i32, toRow: i32,
): void {
  for (let i0 = 0; i0 < n0; i0++) for (let i1 = 0; i1 < n1; i1++) for (let i2 = 0; i2 < n2; i2++) for (let i3 = 0; i3 < n3; i3++) {
    const source = from + (<usize>(i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3) << 2);
    const target = to + (<usize>(i0 * t0 + i1 * t1 + i2 * t2 + i3 * t3) << 2);
    transposePlane(source, <usize>fromRow << 2, rows, columns, target, <usize>toRow << 2);
  }
}
