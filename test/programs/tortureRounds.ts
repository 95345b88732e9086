/**
 * Runs rounds of a section of the torture harness, in a process of its own: a round
 * may bring it down. Prints the seed of each round before it begins, and its report.
 *
 * Argument: the name of the section, its first and last seed, and the options of the
 * rounds, as JSON.
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { Kind } from "../support/place.ts"
import { say } from "../torture/say.ts"
import { runRound, sections } from "../torture/sections.ts"

const Arguments = Schema.Struct({
  name: Schema.String,
  first: Schema.Int,
  last: Schema.Int,
  options: Schema.Struct({ store: Kind, quick: Schema.Boolean, minutes: Schema.Number, elements: Schema.Int })
})

const { first, last, name, options } = Schema.decodeUnknownSync(Schema.fromJsonString(Arguments))(process.argv[2])
const section = sections.get(name)

const program = Effect.gen(function*() {
  if (section === undefined) return yield* Effect.die(`there is no section ${name}`)
  for (let seed = first; seed <= last; seed++) {
    say(`seed ${seed}\n`)
    const report = yield* runRound(section, seed, options)
    say(`${JSON.stringify(report)}\n`)
  }
}).pipe(Effect.provide(Logger.layer([])))

await Effect.runPromise(program)
