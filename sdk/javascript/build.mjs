/**
 * Writes `commonjs/` from `src/`: the same modules for `require`. With `--check` it only says whether that is needed.
 *
 * It knows the two forms that `src/` keeps to: `import { … } from "./x.mjs";` and one `export { … };` at the end.
 */

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);

function commonJs(text) {
  return `"use strict";\n\n${text}`
    .replace(/^import (\{[^}]*\}) from "\.\/(\w+)\.mjs";$/gm, 'const $1 = require("./$2.cjs");')
    .replace(/^export (\{[^}]*\});$/gm, (_all, names) => `module.exports = ${names.replace(/(\w+) as (\w+)/g, "$2: $1")};`);
}

const written = readdirSync(here("src")).map((name) => [
  here(`commonjs/${name.replace(".mjs", ".cjs")}`),
  commonJs(readFileSync(here(`src/${name}`), "utf8")),
]);

if (process.argv.includes("--check")) {
  const stale = written.filter(([file, text]) => readFileSync(file, "utf8") !== text);
  for (const [file] of stale) console.error(`${file.pathname} is not what src/ says: node build.mjs`);
  process.exitCode = stale.length ? 1 : 0;
} else {
  mkdirSync(here("commonjs"), { recursive: true });
  for (const [file, text] of written) writeFileSync(file, text);
}
