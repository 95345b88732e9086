/**
 * Opens an encrypted store with wrong keys and at last with the right one, and
 * prints what came of each. In a process of its own: noise in place of pages is
 * what brings the engine down.
 *
 * Arguments: the path and the right key.
 */
import { Effect, Redacted } from "effect"
import { writeSync } from "node:fs"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", right = ""] = process.argv

const open = (key: string, readOnly: boolean) =>
  Store.make({ path, readOnly, encryptionKey: Redacted.make(key) }).pipe(
    Effect.flatMap((store) => store.size),
    Effect.as("opened"),
    Effect.catch((error) => Effect.succeed("reason" in error ? `${error._tag} ${error.reason._tag}` : error._tag)),
    Effect.scoped
  )

const wrongKeys = Array.from({ length: 20 }, (_, index) => String(index).padEnd(32, "x"))

const program = Effect.gen(function*() {
  for (const key of wrongKeys) {
    for (const readOnly of [true, false]) writeSync(1, `${yield* open(key, readOnly)}\n`)
  }
  writeSync(1, `${yield* open(right, false)}\n`)
})

await Effect.runPromise(program)
