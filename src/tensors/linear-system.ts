/**
 * x with matrix·x = right, by Gaussian elimination with row exchange in float64; undefined where the matrix is singular.
 * Neither argument is changed.
 *
 * @param matrix [n][n], row by row.
 * @param right [n].
 */
export function solve(matrix: readonly ArrayLike<number>[], right: ArrayLike<number>): Float64Array | undefined {
  const n = right.length;
  const ragged = matrix.find((row) => row.length !== n);
  if (matrix.length !== n || ragged) {
    const found = ragged ? `a row of ${ragged.length}` : `${matrix.length} rows`;
    throw new RangeError(`solve: expected ${n} rows of ${n} numbers, as many as stand to the right, got ${found}`);
  }
  const rows = matrix.map((row, i) => Float64Array.of(...Array.from(row), right[i]));
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    if (rows[k][k] === 0) return undefined;
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i][k] / rows[k][k];
      for (let j = k; j <= n; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let rest = rows[i][n];
    for (let j = i + 1; j < n; j++) rest -= rows[i][j] * x[j];
    x[i] = rest / rows[i][i];
  }
  return x;
}
