/** The identities of event logs. Each is made once, and kept for good. */
import * as Effect from "effect/Effect"
import * as EventLog from "effect/eventlog/EventLog"
import * as EventLogEncryption from "effect/eventlog/EventLogEncryption"
import * as Redacted from "effect/Redacted"
import type { OpenError } from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import * as Kept from "./kept.ts"

type Identity = EventLog.Identity["Service"]

/** Makes an identity with the cryptography of the platform. */
export const generate: Effect.Effect<Identity> = Effect.provide(
  EventLog.makeIdentity,
  EventLogEncryption.layerSubtle,
  { local: true }
)

/** Returns the identity of a name. If the store has none, makes one, and returns it when it is on disk. */
export const make = Effect.fnUntraced(
  function*<R>(
    name: string,
    generated: Effect.Effect<Identity, never, R>
  ): Effect.fn.Return<Identity, OpenError | Kept.KeptError, Store | R> {
    const records = yield* Kept.open
    const { bytes, id } = yield* Kept.keepFirst(
      records,
      ["identity", name, ""],
      Effect.map(generated, ({ privateKey, publicKey }) => ({ id: publicKey, bytes: Redacted.value(privateKey) }))
    )
    return { publicKey: id, privateKey: Redacted.make(Uint8Array.from(bytes)) }
  },
  Effect.withTracerEnabled(false)
)
