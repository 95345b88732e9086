/**
 * Deletes expired records of a store in the background, with their entries in indexes and in `expiry`. Each batch is one
 * transaction.
 *
 * ```text
 * Idle ──wake──▶ Sleeping ──the first record expires──▶ Sweeping ──nothing has expired──▶ Idle or Sleeping
 *                   └───────────────────── stop ────────────┴──▶ Stopped
 * ```
 *
 * A batch is committed only if its records are unchanged. So if several processes sweep one file, one of them deletes a
 * record, and a record that was overwritten in the meantime is kept.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { Closed, type EngineFailure } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import { expiryDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import * as ExpiryEntries from "../reader/expiryEntries.ts"
import { ReadSet, recorded } from "../reader/readSet.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import * as Expiry from "./expiry.ts"
import * as ExpiryWrites from "./expiryWrites.ts"

type State =
  /** No record expires. */
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Sleeping"; readonly until: number; readonly fiber: Fiber.Fiber<void> }
  | { readonly _tag: "Sweeping"; readonly fiber: Fiber.Fiber<void> | undefined }
  /** The store closes. */
  | { readonly _tag: "Stopped" }

/** The sweeper of an open store. */
export interface Sweeper {
  readonly expiry: Expiry.Expiry
  readonly path: string
  readonly fork: Fork
  state: State
  /** The number of records that it has deleted. */
  deleted: number
}

/** The maximum number of entries of `expiry` that one transaction deletes. */
const batchRecords = 1000

/** The longest sleep, in milliseconds. Timers have a maximum, and the clock may be set while the sweeper sleeps. */
const longestSleep = 60 * 60 * 1000

/** How long the sweeper waits after a failure, in milliseconds. */
const pauseAfterFailure = 60 * 1000

/**
 * The longest sleep in a shared store, in milliseconds. Another process may write expiring records and exit before they
 * expire.
 */
const sharedSleep = 1000

/** How long the sweeper waits for a running write whose records have already expired, in milliseconds. */
const pauseForWrite = 10

// ---------------------------------------------------------------------------
// one batch
// ---------------------------------------------------------------------------

/** The deletions of one batch, and the reads that they were computed from. */
interface SweepBatch {
  readonly reads: ReadSet
  readonly writes: WriteSet
  /** The number of records that it deletes. */
  readonly records: number
}

/** Which due entries a batch has. */
interface BatchOptions {
  readonly maxRecords: number
  readonly skipsPending: boolean
}

/** Adds the deletion of an expired record with its index entries. */
const deleteExpired = Effect.fnUntraced(function*(
  { expiry }: Sweeper,
  reader: Reader,
  writes: WriteSet,
  { database, key }: ExpiryEntries.ExpiryEntry,
  entries: ReadonlyArray<RecordLayout.IndexEntry>
) {
  for (const indexEntry of entries) {
    for (const write of yield* ExpiryWrites.toDeleteEntry(expiry, reader, database, key, indexEntry)) {
      writes.set(...write)
    }
  }
  writes.expire(database, key)
})

/**
 * Makes a batch of the first due entries. Deletes their records that have expired. For a record that now lives longer
 * than its entry says, writes an entry at its time. The commit validates only that such a record exists: if it is written
 * again before the commit, the entry is still not after the record. So a record that is written all the time stops no
 * batch. With `skipsPending`, leaves out the records with a pending write.
 */
const findExpired = Effect.fnUntraced(function*(
  self: Sweeper,
  stored: Reader,
  { maxRecords, skipsPending }: BatchOptions
): Effect.fn.Return<SweepBatch, EngineFailure> {
  const { backend: { isPending, maxKeyBytes }, now: readTime } = self.expiry
  const now = readTime()
  const entryAt = (time: number, { database, key }: ExpiryEntries.ExpiryEntry): Write =>
    ExpiryEntries.toWrite(time, database, key, maxKeyBytes)
  const reads = new ReadSet()
  const writes = new WriteSet()
  const reader = recorded(stored, reads)
  let records = 0
  let range = ExpiryEntries.until(now)
  for (;;) {
    const request = { ...range, reverse: false, values: true, maxRecords, maxBytes: Infinity }
    const part = yield* stored.read(expiryDatabase, request)
    for (const found of part.records) {
      const entry = ExpiryEntries.parse(found)
      if (skipsPending && entry !== undefined && isPending(entry.database, entry.key)) continue
      writes.set(expiryDatabase, found[0], null)
      if (entry === undefined) continue
      const { database, key } = entry
      // An earlier entry of this batch has the same record.
      if (writes.get(database, key) !== undefined) continue
      const time = yield* stored.get(database, key, RecordLayout.timeOf)
      if (time !== undefined && time > now && (yield* reader.has(database, key))) {
        writes.set(...entryAt(time, entry))
        continue
      }
      const record = yield* reader.get(database, key, (bytes) => ({
        time: RecordLayout.timeOf(bytes),
        entries: RecordLayout.entriesOf(bytes)
      }))
      if (record?.time === undefined) continue
      if (record.time > now) {
        // The record was written again between the two reads.
        writes.set(...entryAt(record.time, entry))
        continue
      }
      yield* deleteExpired(self, reader, writes, entry, record.entries)
      records++
    }
    // A part can be empty although the range has more entries, because pending writes delete the entries of the part.
    if (part.rest === undefined || writes.size > 0) return { reads, writes, records }
    range = part.rest
  }
})

/**
 * Makes the next batch. Records with a pending write come last: in a full file that write may not fit, and the deletions
 * that depend on it cannot be committed without it.
 */
const nextBatch = Effect.fnUntraced(function*(
  self: Sweeper,
  maxRecords: number
): Effect.fn.Return<SweepBatch, EngineFailure> {
  const { reader } = self.expiry.backend
  const batch = yield* findExpired(self, reader, { maxRecords, skipsPending: true })
  return batch.writes.isEmpty ? yield* findExpired(self, reader, { maxRecords, skipsPending: false }) : batch
})

/** Deletes a batch. Returns the most records of the next batch: fewer after a conflict, and 0 if no entry is due. */
const sweepOnce = Effect.fnUntraced(function*(self: Sweeper, maxRecords: number) {
  const { backend } = self.expiry
  const { reads, records, writes } = yield* backend.whileReadable(nextBatch(self, maxRecords))
  if (writes.isEmpty) return 0
  const refusal = () =>
    self.state._tag === "Stopped" ? Effect.fail(new Closed({ path: self.path, what: "Store" })) : undefined
  const isCommitted = yield* backend.commit({ reads, writes }, () => refusal)
  if (!isCommitted) return Math.max(1, maxRecords >> 2)
  self.deleted += records
  return batchRecords
})

// ---------------------------------------------------------------------------
// when it sweeps
// ---------------------------------------------------------------------------

const sweep = (self: Sweeper): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Expiry.openDatabase(self.expiry, self.expiry.now())
    for (let next = batchRecords; next > 0;) {
      next = yield* sweepOnce(self, next)
      yield* Effect.yieldNow
    }
    yield* Expiry.refreshEarliest(self.expiry)
    // Records of a running write may have expired already.
    return self.expiry.unseen.writes.size > 0 ? pauseForWrite : 0
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause) || self.state._tag === "Stopped"
        ? Effect.succeed(pauseAfterFailure)
        : Effect.as(
          Effect.logWarning(`Records of the store at ${self.path} have expired and could not be deleted yet`, cause),
          pauseAfterFailure
        )
    ),
    Effect.flatMap((wait) =>
      Effect.sync(() => {
        if (self.state._tag === "Stopped") return
        self.state = { _tag: "Idle" }
        wake(self, wait)
      })
    )
  )

/** Schedules the next sweep: at the first expiry, but not before `atLeast` milliseconds have passed. */
const wake = (self: Sweeper, atLeast = 0): void => {
  const { expiry, fork, state } = self
  if (state._tag === "Sweeping" || state._tag === "Stopped") return
  // In a shared store, another process may write expiring records and exit before they expire.
  if (expiry.earliest === Infinity && !expiry.isShared) return
  const now = expiry.now()
  const longest = expiry.isShared ? sharedSleep : longestSleep
  const sleep = Math.max(atLeast, Math.min(expiry.earliest - now, longest))
  if (state._tag === "Sleeping") {
    if (state.until <= now + sleep) return
    state.fiber.interruptUnsafe()
  }
  const run = Effect.suspend(() => {
    self.state = { _tag: "Sweeping", fiber: self.state._tag === "Sleeping" ? self.state.fiber : undefined }
    return sweep(self)
  })
  // The fiber yields first, so that `state` is set before it runs.
  const fiber = fork(Effect.andThen(sleep > 0 ? Effect.sleep(sleep) : Effect.yieldNow, run))
  self.state = { _tag: "Sleeping", until: now + sleep, fiber }
}

/** Makes the sweeper of an open store, and starts it. */
export const make = (expiry: Expiry.Expiry, options: Pick<Sweeper, "path" | "fork">): Sweeper => {
  const self: Sweeper = { ...options, expiry, state: { _tag: "Idle" }, deleted: 0 }
  expiry.onEarlier = () => wake(self)
  wake(self)
  return self
}

/** Stops the sweeper before the store closes. A batch that a commit has already taken is committed. */
export const stop = (self: Sweeper): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { state } = self
    self.state = { _tag: "Stopped" }
    const fiber = state._tag === "Sleeping" || state._tag === "Sweeping" ? state.fiber : undefined
    return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(fiber))
  })
