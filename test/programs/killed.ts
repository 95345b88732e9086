/**
 * Says what a store holds, and changes it until somebody kills this process or it
 * is done.
 *
 * Each line begins with what it is about: `records` and what the store held when it
 * was opened, `backup` and what a backup holds, `ready`, `done` with the lane and the
 * number of an operation that was acknowledged, `closed`. A line is written when what
 * it tells has happened, and not before.
 *
 * Argument: the path, the folder of the backups and the names of those to look at,
 * the milliseconds between commits, the size of a batch, and the life, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { existsSync, writeSync } from "node:fs"
import * as process from "node:process"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService } from "../../src/index.ts"
import { operationsOf, perform, valueOf } from "../torture/killOperations.ts"

const Arguments = Schema.Struct({
  path: Schema.String,
  backups: Schema.String,
  names: Schema.Array(Schema.String),
  flushInterval: Schema.Number,
  batchSize: Schema.Int,
  life: Schema.Struct({
    seed: Schema.Int,
    number: Schema.Int,
    lanes: Schema.Int,
    operations: Schema.Int
  })
})

const { backups, batchSize, flushInterval, life, names, path } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Arguments)
)(process.argv[2])

const say = (about: string, what: unknown = "") =>
  Effect.sync(() => void writeSync(1, `${about} ${JSON.stringify(what)}\n`))

const isValue = Schema.is(Schema.Struct({ number: Schema.Number, text: Schema.String }))

/** The keys of a store with the marks of their values; a value that is not what it was made as has a size of -1. */
const recordsOf = (store: StoreService) =>
  Stream.runCollect(store.entries()).pipe(
    Effect.map((entries) =>
      entries.map(([key, value]) => {
        if (!isValue(value)) return [key, -1, -1]
        const size = value.text.length
        return [key, value.number, isDeepStrictEqual(value, valueOf([value.number, size])) ? size : -1]
      })
    )
  )

const sayBackup = (name: string) =>
  existsSync(`${backups}/${name}/data.mdb`)
    ? Store.make({ path: `${backups}/${name}`, readOnly: true }).pipe(
      Effect.flatMap(recordsOf),
      Effect.flatMap((records) => say("backup", { name, records })),
      Effect.scoped
    )
    : say("backup", { name })

const live = (store: StoreService, lane: number) =>
  Effect.forEach(operationsOf(life, lane), (operation, index) =>
    Effect.andThen(
      perform(store, operation, { lane, lanes: life.lanes, backups }),
      say("done", [lane, index + 1])
    ), { discard: true })

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, mapSize: "256 KiB", batchSize, flushInterval })
  yield* say("records", yield* recordsOf(store))
  yield* Effect.forEach(names, sayBackup)
  yield* say("ready")
  const lanes = Array.from({ length: life.lanes }, (_, lane) => live(store, lane))
  yield* Effect.all(lanes, { concurrency: "unbounded" })
  yield* store.close({ strict: true })
  yield* say("closed")
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
