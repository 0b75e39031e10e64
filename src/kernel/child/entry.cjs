"use strict";
// The program of the process that runs the cells. It takes one of Node's internals (see --expose-internals in
// ../life.ts) before anything else is loaded: interrupt.ts tells what for.
const { emitWarning } = process;
let clearAsyncStack = () => {};
try {
  // Node warns that this is for its own tests.
  process.emitWarning = () => {};
  ({ clearAsyncIdStack: clearAsyncStack } = require("internal/test/binding").internalBinding("async_wrap"));
} catch {
  // Then interrupting a loop in a timer's callback may end the process, and the kernel is restarted.
} finally {
  process.emitWarning = emitWarning;
}
const { createRequire, enableCompileCache } = require("node:module");
// Node 22 and later keep what they have compiled on disk.
enableCompileCache?.();
// The compiler is 9 MB of plain JavaScript, which tsx, once it is there, would look through at each start: 0.3 s.
createRequire(require.resolve("tslab/package.json"))("@tslab/typescript-for-tslab");
require("tsx/cjs/api").register();
require("./main.ts").main(clearAsyncStack);
