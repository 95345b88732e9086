/**
 * Builds the modules that programs import, after `tsc` has written their declarations. An argument names the folder to
 * write them to; the default is `dist`.
 *
 * Each subpath of the package and the program become one file each, and what several of them use becomes a chunk. An import of the
 * package would load 180 files, and to find and load them takes Node twice as long as everything else.
 */
import { build } from "esbuild"
import * as process from "node:process"
import manifest from "../package.json" with { type: "json" }

const subpaths = Object.values(manifest.exports)
  .flatMap((entry) => (typeof entry === "string" ? [] : [entry.default]))
  .map((file) => file.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts"))

// src/effect-lmdb.js, the bin of the package, imports it.
const program = "src/bin.ts"

await build({
  entryPoints: [...subpaths, program],
  outdir: process.argv[2] ?? "dist",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node22.19",
  sourcemap: true,
  // The package contains the sources.
  sourcesContent: false
})
