// Runs a WASM program in Node's WASI, with its arguments and nothing of the machine. It is cargo's runner for
// wasm32-wasip1: `node tests/wasi.mjs PROGRAM [ARGUMENT...]`.
import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { WASI } from "node:wasi";

const wasi = new WASI({ version: "preview1", args: argv.slice(2) });
const module = await WebAssembly.compile(await readFile(argv[2]));
exit(wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject())));
