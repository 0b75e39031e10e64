/**
 * Notebooks as files: read and write them, keep text twins, set parameters, run them and sweep over settings.
 *
 * @module
 */
export {
  codeCell,
  formatNotebook,
  hasTag,
  parseNotebook,
  readNotebook,
  writeNotebook,
  type Cell,
  type Notebook,
  type Output,
} from "./notebook";
export { readPercent, writePercent, type PercentCell, type PercentDocument } from "./percent";
export { notebookFromText, syncPair, type Pair, type SyncReport } from "./sync";
export { describeParameters, parameterValue, readParameters, withParameters, type Parameter } from "./parameters";
export { runNotebook, type RunEvent, type RunOptions, type RunResult } from "./run";
export { sweep, type SweepOptions, type SweepResult } from "./sweep";
export { namedResults } from "./outputs";
export { results, type ResultValue } from "./results";
export { Predictions } from "./predictions";
