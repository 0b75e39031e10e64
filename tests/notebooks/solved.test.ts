import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { codeCell } from "../../src/notebooks/notebook";
import { withSolutions } from "../../src/notebooks/solved";

describe("notebooks/solved", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "workbook-solved-"));
    const file = `import { x } from "y";
/** Doubles. */
export function double(x: number): number {
  return 2 * x; // the solution
}
export async function later(): Promise<number> {
  return 1;
}
export const exercise = { stub: "double" };`;
    writeFileSync(path.join(folder, "01-double.ts"), file);
  });
  after(() => rmSync(folder, { recursive: true }));

  const solve = async (source: string, tags = ["exercise"]) => {
    const notebook = { metadata: {}, cells: [codeCell("c", source, { tags })] };
    return (await withSolutions(notebook, folder)).cells[0].source;
  };

  it("puts the reference's functions in place of the stubs of the same names, and leaves the rest of the cell", async () => {
    const source = `type N = number;
/** Fill this in. */
function double(x: N): N {
  return unfilled("01-double");
}
async function later(): Promise<N> {
  return unfilled<N>("01-double");
}
await check("01-double", double, { beta, seed });`;
    const solved = await solve(source);
    assert.equal(
      solved,
      `type N = number;
/** Fill this in. */
function double(x: number): number {
  return 2 * x; // the solution
}
async function later(): Promise<number> {
  return 1;
}
await check("01-double", double, { beta, seed });`,
    );
  });

  it("leaves cells without the tag, and exercises that a reader has filled in", async () => {
    const stub = 'function double(x: number) { return unfilled("01-double"); }';
    assert.equal(await solve(stub, []), stub);
    const mine = "function double(x: number) { return x + x; }";
    assert.equal(await solve(mine), mine);
  });

  it("says which exercise has no file, or no function of the stub's name", async () => {
    await assert.rejects(
      solve('function f() { return unfilled("09-none"); }'),
      /unfilled\("09-none"\), but there is no .*09-none\.ts/,
    );
    await assert.rejects(solve('function f() { return unfilled("01-double"); }'), /declares no function called f/);
  });
});
