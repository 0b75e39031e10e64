"use strict";
// The program of the process that runs the cells. It takes one of Node's internals (see --expose-internals in
// ../child-process.ts) before anything else is loaded: interrupt.ts tells what for.
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
require("tsx/cjs/api").register();
require("./main.ts").main(clearAsyncStack);
