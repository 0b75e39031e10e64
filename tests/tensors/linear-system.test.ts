import assert from "node:assert/strict";
import { solve } from "../../src/tensors/linear-system";
import { Random } from "../../src/tensors/random";
import { assertClose } from "../objectives/tabular";

describe("a system of linear equations", () => {
  it("has the solution it was made from", () => {
    const rng = Random.fromSeed(1);
    for (const n of [1, 2, 3, 7, 20]) {
      const matrix = Array.from({ length: n }, () => Float64Array.from({ length: n }, () => rng.normal()));
      const x = Float64Array.from({ length: n }, () => rng.normal());
      const right = matrix.map((row) => row.reduce((sum, value, j) => sum + value * x[j], 0));
      // A random matrix of 20 loses three or four of the 16 digits.
      assertClose(solve(matrix, right)!, x, 1e-10, `n ${n}`, 1);
    }
  });

  it("exchanges rows where the next pivot is zero, or so small that the other would drown", () => {
    assert.deepEqual(
      [
        ...solve(
          [
            [0, 2],
            [3, 0],
          ],
          [4, 9],
        )!,
      ],
      [3, 2],
    );
    assertClose(
      solve(
        [
          [1e-20, 1],
          [1, 1],
        ],
        [1, 2],
      )!,
      [1, 1],
      1e-15,
      "a small pivot",
      1,
    );
  });

  it("has none where the matrix is singular", () => {
    assert.equal(
      solve(
        [
          [1, 2],
          [2, 4],
        ],
        [1, 2],
      ),
      undefined,
    );
    assert.equal(solve([[0]], [1]), undefined);
  });

  it("leaves its arguments alone, and says what does not fit", () => {
    const [matrix, right] = [
      [
        [0, 1],
        [1, 1],
      ],
      [1, 2],
    ];
    solve(matrix as number[][], right as number[]);
    assert.deepEqual(
      [matrix, right],
      [
        [
          [0, 1],
          [1, 1],
        ],
        [1, 2],
      ],
    );
    assert.throws(() => solve([[1]], [1, 2]), /expected 2 rows of 2 numbers, .*, got a row of 1/);
    assert.throws(() => solve([], [1]), /expected 1 rows of 1 numbers, .*, got 0 rows/);
  });
});
