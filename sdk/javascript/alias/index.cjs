module.exports = require("../commonjs/index.cjs");
