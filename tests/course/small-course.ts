import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chooseBackend } from "../../src/tensors/backend";
import { scales } from "../../src/course/scales";

/** The smallest course that trains: nothing in tests with it is about how well. */
export const smallCourse = {
  ...scales.quick,
  model: { context: 48, width: 8, layers: 1, heads: 1 },
  pretraining: { ...scales.quick.pretraining, steps: 2 },
  documents: 40,
  demonstrations: 20,
  sft: { ...scales.quick.sft, steps: 2 },
  comparisons: 40,
  validation: 15,
  rewardModels: [{ pairs: 20, steps: 2 }],
  rewardPairs: 20,
};

/** Lets the suite that calls this train on wasm, into an artifact store of its own. Its path is there once tests run. */
export function inOwnStore(name: string): { folder: string } {
  const store = { folder: "" };
  const earlier = process.env.WORKBOOK_CACHE;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
    store.folder = mkdtempSync(path.join(tmpdir(), `${name}-`));
    process.env.WORKBOOK_CACHE = store.folder;
  });
  after(() => {
    rmSync(store.folder, { recursive: true, force: true });
    if (earlier === undefined) delete process.env.WORKBOOK_CACHE;
    else process.env.WORKBOOK_CACHE = earlier;
  });
  return store;
}
