/**
 * What is made once and kept for good: identities, the ids of servers, and the keys with which clients sign. Of several
 * calls that store one, the first decides.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type {
  Closed,
  EngineFailure,
  KeyEncoding,
  MapFull,
  ReadOnly,
  ValueDecoding,
  ValueEncoding
} from "../../../StoreError.ts"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

const Kind = Schema.Literals([
  "identity",
  "unencrypted server",
  "unencrypted session",
  "encrypted server",
  "encrypted session"
])

/** The kind, the name of what it belongs to, and its id. */
const Key = Schema.Tuple([Kind, Schema.String, Schema.String])

const Kept = Schema.Struct({ id: Schema.String, bytes: Schema.Uint8Array })

/** An id, and the bytes that are kept for it. */
export type Kept = typeof Kept.Type

/** Opens the collection. */
export const open = PortCollection.make("effect.EventLog.kept", { key: Key, value: Kept })

/** Why it cannot be read or stored. */
export type KeptError = Closed | EngineFailure | MapFull | ReadOnly | ValueDecoding<typeof Key.Type>

/**
 * Returns what is kept. If nothing is, keeps what `make` makes, and returns it when it is on disk. To get what is kept, a
 * store that is read-only is enough.
 */
export const keepFirst = Effect.fnUntraced(
  function*<R>(
    records: Effect.Success<typeof open>,
    [kind, name, id]: typeof Key.Type,
    make: Effect.Effect<Kept, never, R>
  ): Effect.fn.Return<Kept, KeptError | KeyEncoding | ValueEncoding<typeof Key.Type>, R> {
    const key = [kind, storageKey(name), storageKey(id)] as const
    const stored = yield* records.get(key)
    if (Option.isSome(stored)) return stored.value
    const made = yield* make
    return yield* records.modify(
      key,
      (current) => Option.isSome(current) ? [current.value, current] : [made, Option.some(made)],
      { durable: true }
    )
  },
  // The keys and values are always valid: these errors would be mistakes of this module.
  Effect.catchTag(["KeyEncoding", "ValueEncoding"], Effect.die)
)
