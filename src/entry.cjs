// What `require("alignment")` runs: TypeScript sources are loaded as they are, without a build step.
require("tsx/cjs/api").register();
module.exports = require("./index.ts");
