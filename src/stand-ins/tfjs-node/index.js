// danfojs-node asks for tfjs-node; handing it the course's own tfjs makes both share one engine.
module.exports = require("@tensorflow/tfjs");
