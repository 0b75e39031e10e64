"use strict";
// What a kernelspec starts: node main.cjs {connection_file}. The sources are TypeScript, which tsx reads as they are.
require("node:module").enableCompileCache?.();
require("tsx/cjs/api").register();
require("./main.ts").main(process.argv.slice(2));
