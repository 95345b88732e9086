/**
 * Writes to a store with a change log.
 *
 * It prints `ready` when it has opened the store. Then it puts each key and number that it reads, one a line, and prints the
 * number when it is on disk. With `runs` it counts `count` up, one commit each, until it is killed.
 *
 * Argument: the options of the store, and `runs`, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { createInterface } from "node:readline"
import { Store } from "../../src/index.ts"

const Arguments = Schema.Struct({
  path: Schema.String,
  shared: Schema.optionalKey(Schema.Boolean),
  changeLog: Schema.optionalKey(Schema.Struct({ retention: Schema.Literal("1 hour") })),
  runs: Schema.optionalKey(Schema.Boolean)
})

const { runs = false, ...options } = Schema.decodeUnknownSync(Schema.fromJsonString(Arguments))(process.argv[2])

const say = (line: string) =>
  Effect.callback<void>((resume) => {
    process.stdout.write(`${line}\n`, () => resume(Effect.void))
  })

const program = Effect.gen(function*() {
  const store = yield* Store
  yield* say("ready")
  if (runs) {
    const next = Number(Option.getOrElse(yield* store.get("count"), () => 0)) + 1
    for (let count = next;; count++) {
      yield* store.putMany({ count })
      yield* say(`${count}`)
    }
  }
  const lines = createInterface({ input: process.stdin })
  const putLine = Effect.callback<string>((resume) => {
    lines.once("line", (line) => resume(Effect.succeed(line)))
  }).pipe(Effect.flatMap((line) => {
    const [, key = "", number = ""] = /^(.*) (\d+)$/.exec(line) ?? []
    return Effect.andThen(store.putMany({ [key]: Number(number) }), say(number))
  }))
  return yield* Effect.forever(putLine)
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ ...options, durability: "noSync" })))
