/**
 * Opens damaged copies of a store one after the other, reads all, writes, and prints
 * what came of each. In a process of its own: what it tries out is how to bring a
 * process down.
 *
 * Prints for each the number of the damage and what it is, before it is tried, and
 * `=> ` with what came of it: `right` where all data is there, `other data`, or the
 * tag of an error; `died` where something was thrown.
 *
 * Argument: the number of the shape, the file, a folder to work in, the seed, the
 * numbers of the first and the last damage, and whether only such are wanted as the
 * store can know, as JSON.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import { damage } from "../torture/corruption.ts"
import * as Random from "../torture/random.ts"
import { say } from "../torture/say.ts"
import { shapeAt } from "../torture/shapes.ts"

const Arguments = Schema.Struct({
  shape: Schema.Int,
  file: Schema.String,
  folder: Schema.String,
  seed: Schema.Int,
  first: Schema.Int,
  last: Schema.Int,
  onlyKnown: Schema.Boolean
})

const { file, first, folder, last, onlyKnown, seed, shape } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Arguments)
)(
  process.argv[2]
)
const whole = new Uint8Array(readFileSync(file))
const { options, records } = shapeAt(shape)

/** Whether all ways to read the store give what was put. */
const isRight = Effect.fnUntraced(function*(store: StoreService) {
  const entries = new Map(yield* Stream.runCollect(store.entries()))
  const { found } = yield* store.getMany(records.keys())
  const size = yield* store.size
  return size === records.size && entries.size === records.size &&
    [...records].every(([key, value]) => entries.get(key) === value && found.get(key) === value)
})

const write = Effect.fnUntraced(function*(store: StoreService) {
  yield* store.putMany([["more", "y".repeat(50_000)], ["key 10", "other"]])
  yield* store.put("again", 1)
  yield* store.deleteRange({ lt: "key 2" })
  yield* store.flush
  yield* store.clear
  yield* store.put("last", 1)
  yield* store.close({ strict: true })
})

const use = (path: string) =>
  Store.make({ ...options, path, durability: "noSync" }).pipe(
    Effect.flatMap((store) =>
      Effect.gen(function*() {
        const outcome = (yield* isRight(store)) ? "right" : "other data"
        const written = yield* Effect.result(write(store))
        return written._tag === "Success" ? outcome : `${outcome}, then ${written.failure._tag}`
      })
    ),
    Effect.catch((error) => Effect.succeed("reason" in error ? `${error._tag} ${error.reason._tag}` : error._tag)),
    Effect.catchDefect((defect) => Effect.succeed(`died ${String(defect)}`)),
    Effect.scoped
  )

const program = Effect.gen(function*() {
  for (let number = first; number <= last; number++) {
    const { bytes, canBeKnown, lock, what } = damage(whole, Random.make(Random.seedOf(seed, number)), onlyKnown)
    say(`${number} ${canBeKnown ? "known" : "unknown"} ${what}`)
    const path = join(folder, String(number))
    mkdirSync(path)
    writeFileSync(join(path, "data.mdb"), bytes)
    if (lock === "folder") mkdirSync(join(path, "lock.mdb"))
    else if (lock !== undefined) writeFileSync(join(path, "lock.mdb"), lock)
    say(` => ${yield* use(path)}\n`)
    rmSync(path, { recursive: true, force: true })
  }
})

await Effect.runPromise(program)
