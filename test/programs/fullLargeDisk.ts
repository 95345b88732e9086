/**
 * Fills the disk under a store that is large and has large values, again and again, and
 * prints a report: an error with its code while there is no room, and nothing lost.
 *
 * Argument: a folder on a file system of some hundred megabytes, and the size of a value in bytes, as JSON.
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { ballastIn } from "../torture/ballast.ts"
import { record } from "../torture/section.ts"

const { folder, size } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ folder: Schema.String, size: Schema.Int }))
)(process.argv[2])

const recorder = record()
const ballast = ballastIn(folder)

/** From here on the engine's positions in the file have nine digits. */
const largeFile = 105_000_000

const value = (index: number): Uint8Array => new Uint8Array(size).fill(index)

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path: join(folder, "store"), flushInterval: "Infinity", batchBytes: "64 MiB" })
  let count = 0
  const putSome = Effect.fnUntraced(function*(some: number) {
    for (let left = some; left > 0; left--) {
      yield* store.put(`key ${count}`, value(count))
      count++
    }
  })
  for (let left = Math.ceil(largeFile / size / 8); left > 0; left--) {
    yield* putSome(8)
    yield* store.flush
  }
  for (let round = 0; round < 8; round++) {
    ballast.fillUp(0)
    yield* putSome(7)
    const full = yield* Effect.result(store.flush)
    recorder.expect(
      full._tag === "Failure" && full.failure._tag === "EngineFailure" && full.failure.code === 28,
      `round ${round}: a flush on a full disk is ${full._tag}`
    )
    recorder.count("times the disk was full")
    yield* ballast.remove
    const flushed = yield* Effect.result(store.flush)
    recorder.expect(flushed._tag === "Success", `round ${round}: there is room, and the flush fails`)
  }
  for (let index = 0; index < count; index++) {
    const found = yield* store.getOrFail(`key ${index}`)
    const isRight = found instanceof Uint8Array && found.length === size && found.every((byte) => byte === index % 256)
    recorder.expect(isRight, `value ${index} is not what it was`)
  }
}).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

await Effect.runPromise(program)
process.stdout.write(`${JSON.stringify(recorder.report())}\n`)
