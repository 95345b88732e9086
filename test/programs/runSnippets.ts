/**
 * Runs the programs of snippets one after the other. Each one begins when nothing is left to do
 * for the one before, as if that one had ended its process.
 *
 * Arguments: the folder of each program, in which it runs.
 */
import { join } from "node:path"
import process from "node:process"
import { pathToFileURL } from "node:url"
import { inspect } from "node:util"
import { failure, startOf } from "../support/snippetLines.ts"

const folders = process.argv.slice(2)
let started = 0

const startNext = (): void => {
  const folder = folders[started]
  if (started > folders.length) return
  process.stdout.write(`${startOf(started++)}\n`)
  if (folder === undefined) return
  process.chdir(folder)
  void import(pathToFileURL(join(folder, "program.ts")).href)
}

process.on("beforeExit", startNext)

process.on("unhandledRejection", (error) => {
  process.stdout.write(`${failure}\n`)
  process.stderr.write(`${process.cwd()}: ${inspect(error)}\n`)
})

startNext()
