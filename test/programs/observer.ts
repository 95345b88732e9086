/**
 * Reads all of a store again and again while other processes write to it, until its
 * standard input ends.
 *
 * Prints `open` when it is there, and after each reading how many records there
 * were, how many values of the records `same ...` differed from one another, and how
 * many readings with `getMany` did. Or it begins to read once, says so and stays in
 * the middle of it.
 *
 * Argument: the place, whether it may not write, and whether it stays in the middle, as
 * JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as process from "node:process"
import * as Place from "../support/place.ts"
import * as Say from "../torture/say.ts"

const { place, readOnly, stays } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ place: Place.Place, readOnly: Schema.Boolean, stays: Schema.Boolean }))
)(process.argv[2])

const say = (line: string) => Effect.sync(() => Say.say(`${line}\n`))

const ended = Effect.callback<void>((resume) => {
  process.stdin.on("end", () => resume(Effect.void)).resume()
})

const others = (values: Iterable<unknown>): number => Math.max(0, new Set(values).size - 1)

const program = Effect.gen(function*() {
  const store = yield* Place.open(place, { shared: true, readOnly })
  if (stays) {
    yield* Stream.runForEach(store.entries(), () => Effect.andThen(say("in the middle"), ended))
    return
  }
  yield* say("open")
  const read = Effect.gen(function*() {
    const entries = yield* Stream.runCollect(store.entries())
    const same = entries.filter(([key]) => key.startsWith("same "))
    const { found } = yield* store.getMany(same.map(([key]) => key))
    const torn = others(same.map(([, value]) => value))
    yield* say(`read ${entries.length} ${torn} ${others(found.values())}`)
    yield* Effect.sleep(5)
  })
  // A server may be killed meanwhile, and is started again
  const reads = Effect.retry(Effect.forever(read), {
    while: ({ _tag }) => place._tag === "Server" && _tag === "EngineFailure",
    schedule: Schedule.spaced("100 millis")
  })
  yield* Effect.raceFirst(reads, ended)
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
