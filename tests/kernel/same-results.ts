/**
 * Whether two folders of executed notebooks hold the same named results: how CI compares our kernel with stock tslab.
 *
 *     npx tsx tests/kernel/same-results.ts FOLDER FOLDER
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import { type Notebook, readNotebook } from "../../src/notebooks/notebook";
import { namedResults } from "../../src/notebooks/outputs";

/**
 * Where two runs of a notebook differ in their named results, as sentences; a notebook without any is a fault too.
 * Numbers must be the same to the last bit: both kernels run the same JavaScript.
 */
export function resultFaults(name: string, ours: Notebook, stock: Notebook): string[] {
  const [a, b] = [ours, stock].map((notebook) => namedResults(notebook.cells));
  if (Object.keys(a).length === 0) return [`${name}: no named results`];
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.flatMap((result) => {
    const [x, y] = [JSON.stringify(a[result]), JSON.stringify(b[result])];
    return x === y ? [] : [`${name}: ${result} is ${x} and ${y}`];
  });
}

function main([first, second]: string[]): void {
  if (second === undefined) throw new Error("usage: same-results.ts FOLDER FOLDER");
  const notebooks = (folder: string) => readdirSync(folder).filter((name) => name.endsWith(".ipynb"));
  const names = [...new Set([...notebooks(first), ...notebooks(second)])].sort();
  if (names.length === 0) throw new Error(`There are no notebooks in ${first} and ${second}`);
  const faults = names.flatMap((name) => {
    const [ours, stock] = [first, second].map((folder) => readNotebook(path.join(folder, name)));
    const found = resultFaults(name, ours, stock);
    if (found.length === 0)
      console.log(`${name}: ${Object.keys(namedResults(ours.cells)).length} results, all the same`);
    return found;
  });
  for (const fault of faults) console.log(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}

if (require.main === module) main(process.argv.slice(2));
