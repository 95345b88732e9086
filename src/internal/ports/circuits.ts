/** The circuits of all circuit breakers in a store: one collection, from which idle circuits are dropped. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Collection from "../../Collection.ts"
import { Circuit, stateOf } from "./circuit.ts"
import { expirationOf } from "./expiration.ts"
import type { Outside } from "./outsideTransactions.ts"
import { storageKey } from "./storageKey.ts"
import { type TimedStep, timedStep } from "./timedStep.ts"

/** Opens the collection. The keys are the name of the breakers and the key of the circuit. */
export const open = Collection.make("effect.CircuitBreaker", {
  key: Schema.Tuple([Schema.String, Schema.String]),
  value: Circuit,
  expires: ({ expiresAt }) => expirationOf(expiresAt)
})

export interface Circuits {
  readonly records: Effect.Success<typeof open>
  /** The name of the breakers. */
  readonly name: string
  readonly outside: Outside
}

const keyOf = ({ name }: Circuits, key: string) => [storageKey(name), storageKey(key)] as const

/** Runs a step on a circuit. */
export const run = <A>(self: Circuits, key: string, step: TimedStep<Circuit, A>) =>
  Clock.clockWith((clock) => self.outside(self.records.modify(keyOf(self, key), timedStep(clock, step))))

/** Reads the state of a circuit. */
export const state = (self: Circuits, key: string) =>
  Clock.clockWith((clock) =>
    self.outside(Effect.map(
      self.records.get(keyOf(self, key)),
      (stored) => stateOf(Option.getOrUndefined(stored), clock.currentTimeMillisUnsafe(), key)
    ))
  )
