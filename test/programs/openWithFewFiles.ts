/**
 * Opens a store while this process may open only so many files more, and prints what
 * came of it, for none to nine files.
 *
 * Arguments: the paths, of which each is opened.
 */
import { Effect } from "effect"
import { closeSync, openSync } from "node:fs"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , ...paths] = process.argv

const openFile = Effect.try(() => openSync("/dev/null", "r"))

const takeAll = Effect.fnUntraced(function*() {
  const files: Array<number> = []
  for (;;) {
    const file = yield* Effect.option(openFile)
    if (file._tag === "None") return files
    files.push(file.value)
  }
})

const open = (path: string) =>
  Effect.scoped(Store.make({ path })).pipe(
    Effect.as("opened"),
    Effect.catch((error) => Effect.succeed(`${error._tag} ${error.reason._tag}`))
  )

const openWith = Effect.fnUntraced(function*(path: string, left: number) {
  const taken = yield* takeAll()
  for (const file of taken.splice(0, left)) closeSync(file)
  const outcome = yield* open(path)
  for (const file of taken) closeSync(file)
  process.stdout.write(`${outcome}\n`)
})

const run = Effect.gen(function*() {
  // Whatever is opened once by a process is
  yield* open(`${paths[0] ?? ""}.other`)
  for (const path of paths) {
    for (let left = 0; left < 10; left++) yield* openWith(path, left)
  }
})

await Effect.runPromise(run)
