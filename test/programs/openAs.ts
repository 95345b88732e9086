/**
 * Opens stores as another user and prints what came of each.
 *
 * Arguments: the user's number, or nothing to stay the same, and the paths.
 */
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , user = "", ...paths] = process.argv
if (user !== "") process.setuid?.(Number(user))

const open = (path: string) =>
  Effect.scoped(Store.make({ path })).pipe(
    Effect.as("opened"),
    Effect.catch((error) => Effect.succeed(`${error._tag} ${error.reason}`))
  )

const outcomes = await Effect.runPromise(Effect.forEach(paths, open))
process.stdout.write(`${outcomes.join("\n")}\n`)
