/** Measures the interfaces of one system in one scenario, in a process of its own. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Measuring from "../measuring.ts"
import { portScaleOf } from "./plan.ts"
import { PortTask } from "./protocol.ts"
import { portScenarios } from "./scenarios.ts"
import { portSystems } from "./systems.ts"

Measuring.runMain(Effect.fnUntraced(function*(argument) {
  const { folder, sampleMillis, scenario, system } = yield* Schema.decodeUnknownEffect(PortTask)(argument)
  const ports = yield* portSystems[system](folder, portScaleOf(scenario).isDurable)
  yield* Measuring.measure(yield* portScenarios[scenario](ports), sampleMillis)
}))
