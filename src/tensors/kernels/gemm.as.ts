/**
 * Matrix products on tfjs' heap, over strips of B copied to be contiguous and tiles held in registers (tiles.as.ts).
 *
 * All pointers are byte addresses; strides count floats here and bytes in the tiles. Every element of C is accumulated
 * by one chain in the order of k, whatever the size of the matrix, the place in it or the blocking: a row's product does
 * not depend on how many other rows there are, so a token's numbers are the same alone and in a batch.
 */
import { nextRows, tile, tileColumns, tilePair } from "./tiles.as";
import { transposePlane } from "./transpose.as";

// Blocks: blockDepth × blockColumns of B stays in the second-level cache, so does blockRows × blockDepth of a transposed A.
const blockRows: i32 = 96;
const blockDepth: i32 = 256;
const blockColumns: i32 = 512;
// Rows a power of two apart would all fall into few sets of the first-level cache.
const rowPadding: i32 = 16;
// With so few rows each strip of B is read so rarely that copying it first costs more than it saves.
const fewRows: i32 = 12;

/** Where `multiplyStrips` puts an incomplete tile. */
export const edgeBytes: usize = 6 * 8 * 4;
const stripsBytes: usize = 256 * 512 * 4;
const rowsBytes: usize = 96 * (256 + 16) * 4;

/** How much scratch memory `gemm` needs. */
export function gemmScratchBytes(): usize {
  return edgeBytes + stripsBytes + rowsBytes;
}

/** A tile at the right edge, fewer than 8 columns: computed aside, of which `columns` are taken. */
function edgeTile(
  rows: i32, columns: i32, k: i32, a: usize, aRow: usize, aStep: usize, strip: usize,
  c: usize, cRow: usize, first: bool, edge: usize,
): void {
  if (!first) {
    for (let i = 0; i < rows; i++) {
      memory.copy(edge + (<usize>(i * tileColumns) << 2), c + <usize>i * cRow, <usize>columns << 2);
    }
  }
  tile(rows, k, a, aRow, aStep, strip, tileColumns << 2, edge, tileColumns << 2, first);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      store<f32>(c + <usize>i * cRow + (<usize>j << 2), load<f32>(edge + (<usize>(i * tileColumns + j) << 2)));
    }
  }
}

/** One strip of B: k rows of 8 floats, missing columns zero. B's element (k, j) is at b + k·bRow + j·bColumn. */
function packStrip(b: usize, bRow: usize, bColumn: usize, k: i32, columns: i32, to: usize): void {
  if (columns == tileColumns && bColumn == 1) {
    const step = bRow << 2;
    for (; k > 0; k--) {
      v128.store(to, v128.load(b));
      v128.store(to, v128.load(b, 16), 16);
      b += step;
      to += tileColumns << 2;
    }
  } else if (columns == tileColumns && bRow == 1) {
    transposePlane(b, bColumn << 2, tileColumns, k, to, tileColumns << 2);
  } else {
    for (let p = 0; p < k; p++) {
      for (let j = 0; j < tileColumns; j++) {
        store<f32>(to, j < columns ? load<f32>(b + ((<usize>p * bRow + <usize>j * bColumn) << 2)) : 0);
        to += 4;
      }
    }
  }
}

/** Copies B [k, n] into strips; all but the last (narrower than 8) only if `whole`. */
export function packStrips(b: usize, bRow: usize, bColumn: usize, k: i32, n: i32, to: usize, whole: bool): void {
  for (let j = 0; j < n; j += tileColumns) {
    const columns = min(tileColumns, n - j);
    if (!whole && columns == tileColumns) continue;
    packStrip(b + ((<usize>j * bColumn) << 2), bRow, bColumn, k, columns, to + (<usize>(j * k) << 2));
  }
}

/**
 * C [m, n] (+)= A·B, strides in bytes, A's as in `tile`. B in strips `stripBytes` apart, of which the complete ones are
 * read at `direct` instead unless that is 0.
 */
export function multiplyStrips(
  a: usize, aRow: usize, aStep: usize, strips: usize, stripBytes: usize, direct: usize, directRow: usize,
  c: usize, cRow: usize, m: i32, n: i32, k: i32, first: bool, edge: usize,
): void {
  for (let i = 0; i < m; ) {
    const rows = nextRows(m - i);
    let strip = strips;
    let j = 0;
    if (isDefined(WIDE)) {
      for (; j + 2 * tileColumns <= n; j += 2 * tileColumns) {
        const at = c + (<usize>j << 2);
        if (direct) {
          const b = direct + (<usize>j << 2);
          tilePair(rows, k, a, aRow, aStep, b, b + (tileColumns << 2), directRow, at, cRow, first);
        } else tilePair(rows, k, a, aRow, aStep, strip, strip + stripBytes, tileColumns << 2, at, cRow, first);
        strip += 2 * stripBytes;
      }
    }
    for (; j < n; j += tileColumns) {
      const columns = min(tileColumns, n - j);
      const at = c + (<usize>j << 2);
      if (columns < tileColumns) edgeTile(rows, columns, k, a, aRow, aStep, strip, at, cRow, first, edge);
      else if (direct) tile(rows, k, a, aRow, aStep, direct + (<usize>j << 2), directRow, at, cRow, first);
      else tile(rows, k, a, aRow, aStep, strip, tileColumns << 2, at, cRow, first);
      strip += stripBytes;
    }
    a += <usize>rows * aRow;
    c += <usize>rows * cRow;
    i += rows;
  }
}

/**
 * C = A·B of sizes [m, k] and [k, n], C by rows, A and B by rows or by columns: of their two strides one is 1, and a
 * transpose is an exchange of them.
 */
export function gemm(
  a: usize, aRow: usize, aColumn: usize, b: usize, bRow: usize, bColumn: usize, c: usize, cRow: usize,
  m: i32, n: i32, k: i32, scratch: usize,
): void {
  const edge = scratch;
  const strips = edge + edgeBytes;
  const copiedRows = strips + stripsBytes;
  const cRowBytes = cRow << 2;
  if (k == 0) {
    for (let i = 0; i < m; i++) memory.fill(c + <usize>i * cRowBytes, 0, <usize>n << 2);
    return;
  }
  const direct = bColumn == 1 && m <= fewRows;
  for (let column = 0; column < n; column += blockColumns) {
    const columns = min(blockColumns, n - column);
    for (let depth = 0; depth < k; depth += blockDepth) {
      const first = depth == 0;
      const depths = min(blockDepth, k - depth);
      const bBlock = b + ((<usize>depth * bRow + <usize>column * bColumn) << 2);
      packStrips(bBlock, bRow, bColumn, depths, columns, strips, !direct);
      for (let row = 0; row < m; row += blockRows) {
        const rows = min(blockRows, m - row);
        let aBlock = a + ((<usize>row * aRow + <usize>depth * aColumn) << 2);
        let aStride = aRow << 2;
        if (aColumn != 1) {
          aStride = <usize>(depths + rowPadding) << 2;
          transposePlane(aBlock, aColumn << 2, depths, rows, copiedRows, aStride);
          aBlock = copiedRows;
        }
        const cBlock = c + <usize>row * cRowBytes + (<usize>column << 2);
        const bDirect = direct ? bBlock : 0;
        multiplyStrips(
          aBlock, aStride, 4, strips, <usize>(tileColumns * depths) << 2, bDirect, bRow << 2,
          cBlock, cRowBytes, rows, columns, depths, first, edge,
        );
      }
    }
  }
}

/** `batch` products into C [batch, m, n] with rows `cRow` apart; the strides between matrices are in floats, 0 where one matrix serves all. */
export function batchGemm(
  batch: i32, a: usize, aBatch: usize, aRow: usize, aColumn: usize, b: usize, bBatch: usize, bRow: usize, bColumn: usize,
  c: usize, cRow: usize, m: i32, n: i32, k: i32, scratch: usize,
): void {
  for (let i = 0; i < batch; i++) {
    gemm(a, aRow, aColumn, b, bRow, bColumn, c, cRow, m, n, k, scratch);
    a += aBatch << 2;
    b += bBatch << 2;
    c += (<usize>m * cRow) << 2;
  }
}
