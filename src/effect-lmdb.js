#!/usr/bin/env node
/**
 * Starts the program `effect-lmdb`. It is plain JavaScript, so that an old version of Node.js can say that it is too old.
 *
 * In the repository it runs the sources, and in the package what was built of them.
 */
import { existsSync } from "node:fs"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`effect-lmdb needs Node.js 22.19 or later. This is ${process.versions.node}.\n`)
  process.exitCode = 2
} else {
  const isRepository = existsSync(new URL("../.ci", import.meta.url))
  await import(new URL(isRepository ? "bin.ts" : "../dist/bin.js", import.meta.url).href)
}
