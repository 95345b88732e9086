/**
 * Puts a person of an age into a collection with an index, and closes the store.
 *
 * Arguments: the path, the key and the age.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { openBufferedAges } from "../support/fixtures/ages.ts"

const [, , path = "", key = "", age = ""] = process.argv

const program = Effect.flatMap(openBufferedAges, (ages) => ages.put(Number(key), { age: Number(age) }))

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, shared: true })))
