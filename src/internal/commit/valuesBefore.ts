/**
 * Reads the values before the writes of a batch, inside LMDB's write transaction, as far as subscribers and the change log
 * need them.
 */
import * as Exit from "effect/Exit"
import type { Batch, Reader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { copyOf } from "../engineBytes.ts"
import * as RecordLayout from "../reader/recordLayout.ts"

/** What is read about a key: nothing, whether it has a value, or the value. */
export type Detail = "nothing" | "existence" | "value"

/** The values before some writes, or whether there was one, by the qualified keys of the writes. */
export type ValuesBefore = ReadonlyMap<string, Uint8Array | boolean>

/** Returns what has to be read about a key. */
export type DetailOf = (database: string, key: ByteString) => Detail

/** The more detailed of two. */
export const moreDetailed = (a: Detail, b: Detail): Detail =>
  a === "value" || b === "value" ? "value" : a === "existence" || b === "existence" ? "existence" : "nothing"

/** Reads one value. Returns `undefined` if the key has none, and `false` if it is hidden. */
const readOne = (
  present: Reader,
  [database, key]: Write,
  detail: "existence" | "value",
  isHidden: (record: Uint8Array) => boolean
): Exit.Exit<Uint8Array | boolean | undefined, EngineFailure> =>
  present.get(database, key, (record) => !isHidden(record) && (detail === "existence" || copyOf(record)))

const noKeys: ReadonlySet<ByteString> = new Set()

/** The keys of a database whose records a batch deletes because they have expired. */
export const expiredKeys = ({ expired }: Batch, database: string): ReadonlySet<ByteString> =>
  expired?.get(database) ?? noKeys

const isNever = (): boolean => false

/**
 * Reads the values before the writes of a batch. A record that has expired by `now` counts as missing, unless the batch
 * deletes it because it has expired.
 */
export const read = (
  present: Reader,
  batch: Batch,
  detailOf: DetailOf,
  now: number
): Exit.Exit<ValuesBefore, EngineFailure> => {
  const isExpired = (record: Uint8Array) => RecordLayout.isExpired(record, now)
  const before = new Map<string, Uint8Array | boolean>()
  const cleared = new Set(batch.clear)
  for (const write of batch.writes) {
    const [database, key] = write
    const detail = detailOf(database, key)
    if (detail === "nothing") continue
    const isHidden = expiredKeys(batch, database).has(key) ? isNever : isExpired
    const found = cleared.has(database) ? Exit.succeed(false) : readOne(present, write, detail, isHidden)
    if (Exit.isFailure(found)) return Exit.failCause(found.cause)
    before.set(qualifiedKey(database, key), found.value ?? false)
  }
  return Exit.succeed(before)
}

/** Returns the value before a write, with the detail that a subscriber needs. */
export const beforeOf = (
  before: ValuesBefore,
  database: string,
  key: ByteString,
  detail: Detail
): Uint8Array | boolean | undefined => {
  if (detail === "nothing") return undefined
  const found = before.get(qualifiedKey(database, key))
  return detail === "existence" && found !== undefined ? found !== false : found
}
