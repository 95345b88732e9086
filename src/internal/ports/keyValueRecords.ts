/**
 * The records of all key-value stores in a store: one collection, with the name of each in its keys.
 *
 * A key that is too long, or that has half of a surrogate pair, is stored under its hash, apart from the others. The record
 * keeps the key itself. So the keys that begin with some text are in two places: a range of the keys that are stored as they
 * are, and some of the keys with a hash, which all have to be read.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Damage from "./damage.ts"
import * as PortCollection from "./portCollection.ts"
import { storageKey } from "./storageKey.ts"

/** The name of the key-value store, whether the key is a hash, and the key. */
const Key = Schema.Tuple([Schema.String, Schema.Boolean, Schema.String])

type Key = typeof Key.Type

const Record = Schema.Struct({
  /** The key, if it is stored under its hash. */
  key: Schema.optionalKey(Schema.String),
  value: Schema.Union([Schema.String, Schema.Uint8Array])
})

type Record = typeof Record.Type

/** Opens the collection. */
export const open = PortCollection.make("effect.KeyValueStore", { key: Key, value: Record })

/** One of the key-value stores of a store. */
export interface KeyValueRecords {
  readonly records: Effect.Success<typeof open>
  /** The name that its keys begin with. */
  readonly name: string
  readonly damage: Damage.Damage
}

export const make = (records: KeyValueRecords["records"], name: string): KeyValueRecords => ({
  records,
  name: storageKey(name),
  damage: Damage.make()
})

/** Returns the key of a record. */
export const keyOf = ({ name }: KeyValueRecords, key: string): Key => {
  const stored = storageKey(key)
  return [name, stored !== key, stored]
}

/** Returns the record of a key with a value. */
export const recordOf = (key: string, value: string | Uint8Array): Record =>
  storageKey(key) === key ? { value } : { key, value }

/** A key, and the key of the collection under which its record is. */
interface Found {
  readonly key: string
  readonly stored: Key
}

/** Streams the keys that are stored under their hashes. The record has the key, so a damaged one is left out. */
const hashed = ({ damage, name, records }: KeyValueRecords) =>
  records.entries({ prefix: [name, true], undecodable: "result" }).pipe(
    Stream.mapEffect(([stored, record]) =>
      Result.isSuccess(record)
        ? Effect.succeed<ReadonlyArray<Found>>([{ key: record.success.key ?? stored[2], stored }])
        : Effect.as(
          Damage.report(damage, record.failure, "A long key of a key-value store is damaged and is not listed"),
          Array<Found>()
        )
    ),
    Stream.flattenIterable
  )

/** Streams the keys that are stored as they are and begin with some text. */
const plain = ({ name, records }: KeyValueRecords, prefix: string) => {
  // The schema of the range refuses a prefix that is not text. A key that is stored as it is never ends in half of a
  // surrogate pair, but a prefix of it may.
  const head = !Predicate.isString(prefix) || prefix.isWellFormed() ? prefix : prefix.slice(0, -1)
  return storageKey(head) === head
    ? Stream.map(records.keys({ startsWith: [name, false, head] }), (stored): Found => ({ key: stored[2], stored }))
    : Stream.empty
}

/** Collects the keys that begin with some text. In a transaction, all of them are of one moment. */
export const find = (self: KeyValueRecords, prefix: string) =>
  Stream.concat(plain(self, prefix), hashed(self)).pipe(
    Stream.filter(({ key }) => key.startsWith(prefix)),
    Stream.runCollect
  )
