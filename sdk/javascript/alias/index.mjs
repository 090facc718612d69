// Beside this directory, where npm links to when it installs a path.
export * from "../src/index.mjs";
