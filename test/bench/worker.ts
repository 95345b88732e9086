/**
 * Measures one system in one scenario, in a process of its own: its memory is that of
 * the system, and no other code has made the compiler's guesses worse. See `protocol.ts`
 * for how it is talked to.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Measuring from "./measuring.ts"
import { Task } from "./protocol.ts"
import { fill, scenarios } from "./scenarios.ts"
import { systemOf } from "./systems.ts"

const load = Effect.fnUntraced(function*({ folder, records, scenario, system }: Task) {
  const open = yield* systemOf(system).open
  yield* fill(open, { folder, records, scenario })
})

const measure = Effect.fnUntraced(function*({ folder, records, sampleMillis, scenario, scratch, system }: Task) {
  const open = yield* systemOf(system).open
  const run = yield* scenarios[scenario]({ open, records, loaded: folder, scratch })
  yield* Measuring.measure(run, sampleMillis)
})

Measuring.runMain(Effect.fnUntraced(function*(argument) {
  const task = yield* Schema.decodeUnknownEffect(Task)(argument)
  yield* task.do === "load" ? load(task) : measure(task)
}))
