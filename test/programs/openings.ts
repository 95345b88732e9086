/**
 * Opens a store read-only and closes it again, many times.
 *
 * Arguments: the path, and how many times.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", times = "1"] = process.argv

const opening = Effect.scoped(Effect.flatMap(Store.make({ path, readOnly: true }), (store) => store.size))

NodeRuntime.runMain(Effect.repeat(opening, { times: Number(times) }))
