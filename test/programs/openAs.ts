/**
 * Opens stores as another user and prints what came of each.
 *
 * Arguments: the user's number, or nothing to stay the same, and the paths; `mapSize=` and a size may be among them.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , user = "", ...rest] = process.argv
const option = "mapSize="
const paths = rest.filter((each) => !each.startsWith(option))
const size = rest.find((each) => each.startsWith(option))?.slice(option.length)
const mapSize = size === undefined ? undefined : Option.getOrThrow(ByteSize.fromString(size))
if (user !== "") process.setuid?.(Number(user))

const open = (path: string) =>
  Effect.scoped(Store.make({ path, mapSize })).pipe(
    Effect.as("opened"),
    Effect.catch((error) => Effect.succeed(`${error._tag} ${error.reason._tag}`))
  )

const outcomes = await Effect.runPromise(Effect.forEach(paths, open))
process.stdout.write(`${outcomes.join("\n")}\n`)
