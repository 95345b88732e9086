/**
 * Opens stores read-only as another user and prints what came of each: how many records it has, or
 * why it was not opened.
 *
 * Arguments: the user's number, or nothing to stay the same, and the paths.
 */
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , user = "", ...paths] = process.argv
if (user !== "") process.setuid?.(Number(user))

const open = (path: string) =>
  Effect.scoped(Effect.flatMap(Store.make({ path, readOnly: true }), (store) => store.size)).pipe(
    Effect.match({
      onSuccess: (size) => `${size} records`,
      onFailure: (error) => error._tag === "OpenFailed" ? `${error.reason._tag} ${error.detail}` : error._tag
    })
  )

const outcomes = await Effect.runPromise(Effect.forEach(paths, open))
process.stdout.write(`${outcomes.join("\n")}\n`)
