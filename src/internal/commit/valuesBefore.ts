/**
 * Reads inside LMDB's write transaction what was there before the writes of a batch, as far as subscribers and
 * the change log ask for it.
 */
import * as Exit from "effect/Exit"
import type { Batch, Reader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { copyOf } from "../engineBytes.ts"
import * as RecordLayout from "../reader/recordLayout.ts"

/** What is read of a key: nothing, whether it has a value, or the value. */
export type Wanted = "nothing" | "existence" | "value"

/** What was there before some writes, by the qualified keys of the writes. */
export type ValuesBefore = ReadonlyMap<string, Uint8Array | boolean>

/** Says what is read of a key. */
export type WantedOf = (database: string, key: ByteString) => Wanted

/** What is read of a key where two ask for it. */
export const more = (a: Wanted, b: Wanted): Wanted =>
  a === "value" || b === "value" ? "value" : a === "existence" || b === "existence" ? "existence" : "nothing"

/** Reads one value; `false` where there is none, or where the value has expired. */
const readOne = (
  present: Reader,
  [database, key]: Write,
  wanted: "existence" | "value",
  isHidden: (record: Uint8Array) => boolean
): Exit.Exit<Uint8Array | boolean | undefined, EngineFailure> =>
  present.get(database, key, (record) => !isHidden(record) && (wanted === "existence" || copyOf(record)))

const isNever = (): boolean => false

/**
 * Reads what was there before the writes of a batch, at a time. A record that has expired was not there, unless the batch
 * deletes it because it has expired.
 */
export const read = (
  present: Reader,
  batch: Batch,
  wantedOf: WantedOf,
  now: number
): Exit.Exit<ValuesBefore, EngineFailure> => {
  const isExpired = (record: Uint8Array) => RecordLayout.isExpired(record, now)
  const before = new Map<string, Uint8Array | boolean>()
  const cleared = new Set(batch.clear)
  for (const write of batch.writes) {
    const [database, key] = write
    const wanted = wantedOf(database, key)
    if (wanted === "nothing") continue
    const isHidden = batch.expired?.get(database)?.has(key) === true ? isNever : isExpired
    const found = cleared.has(database) ? Exit.succeed(false) : readOne(present, write, wanted, isHidden)
    if (Exit.isFailure(found)) return Exit.failCause(found.cause)
    before.set(qualifiedKey(database, key), found.value ?? false)
  }
  return Exit.succeed(before)
}

/** Gives what was there before a write, as far as a subscriber wants to know it. */
export const beforeOf = (
  before: ValuesBefore,
  database: string,
  key: ByteString,
  wanted: Wanted
): Uint8Array | boolean | undefined => {
  if (wanted === "nothing") return undefined
  const found = before.get(qualifiedKey(database, key))
  return wanted === "existence" && found !== undefined ? found !== false : found
}
