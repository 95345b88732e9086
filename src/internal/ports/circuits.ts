/** The circuits of all circuit breakers in a store: one collection, from which idle circuits are dropped. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Collection from "../../Collection.ts"
import { Store } from "../../Store.ts"
import { Circuit, stateOf } from "./circuit.ts"
import * as Damage from "./damage.ts"
import { expirationOf } from "./expiration.ts"
import * as OutsideTransactions from "./outsideTransactions.ts"
import type { Outside } from "./outsideTransactions.ts"
import * as PortCollection from "./portCollection.ts"
import { storageKey } from "./storageKey.ts"
import * as TimedStep from "./timedStep.ts"

/** The name of the breakers and the key of the circuit. */
const Key = Schema.Tuple([Schema.String, Schema.String])

type Key = typeof Key.Type

const open = PortCollection.make("effect.CircuitBreaker", {
  key: Key,
  value: Circuit,
  expires: ({ expiresAt }) => expirationOf(expiresAt)
})

export interface Circuits extends TimedStep.TimedRecords<Key, Circuit> {
  /** The name of the breakers. */
  readonly name: string
  readonly outside: Outside
}

/** Opens the circuits of breakers. */
export const make = Effect.fnUntraced(
  function*(name: string): Effect.fn.Return<Circuits, Collection.OpenError, Store> {
    return {
      store: yield* Store,
      records: yield* open,
      name,
      outside: yield* OutsideTransactions.make,
      damage: Damage.make(),
      consequence: "A circuit is damaged and begins again as closed"
    }
  }
)

const keyOf = ({ name }: Circuits, key: string) => [storageKey(name), storageKey(key)] as const

/** Runs a step on a circuit. */
export const run = <A>(self: Circuits, key: string, step: TimedStep.TimedStep<Circuit, A>) =>
  self.outside(TimedStep.run(self, keyOf(self, key), step))

/** Reads the state of a circuit. */
export const state = (self: Circuits, key: string) =>
  Clock.clockWith((clock) =>
    self.outside(Effect.map(
      TimedStep.read(self, keyOf(self, key)),
      (stored) => stateOf(Option.getOrUndefined(stored), clock.currentTimeMillisUnsafe(), key)
    ))
  )
