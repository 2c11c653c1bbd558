// Starts xmysql with the password from the environment: on the command line every account of the machine could read it.
const path = require("path");
process.argv.push("-p", process.env.BENCHMARK_PASSWORD);
require(path.resolve("node_modules/xmysql/bin/index.js"));
