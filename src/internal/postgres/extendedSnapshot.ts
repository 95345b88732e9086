/**
 * A snapshot that holds no connection: what a transaction reads, statement by statement.
 *
 * Each answer of the server has the number of the last commit. As long as it is the number of the first answer, all answers
 * are of one state. When another commit was made, one statement checks everything that was read so far. If that is
 * unchanged, the snapshot is extended: everything was read in the state of that statement too. Otherwise the snapshot is outdated: the
 * fiber that reads is interrupted, before it gets an answer of another state, and the transaction runs again.
 *
 * The pending writes of this process are those of the moment at which the snapshot was opened. Those that were committed
 * since are read from the server.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { Read, Reader, TransactionSnapshot } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { ReadSet, recorded } from "../reader/readSet.ts"
import * as Settled from "../settled.ts"
import * as LiveReader from "./liveReader.ts"
import type * as PendingLayers from "./pendingLayers.ts"
import * as ReadBatches from "./readBatches.ts"
import * as ReadConditions from "./readConditions.ts"
import type { ServerReader } from "./serverReader.ts"
import * as SnapshotReads from "./snapshotReads.ts"
import { released } from "./snapshots.ts"

/** What extended snapshots read from. */
export interface Source {
  readonly committed: ServerReader
  /** Checks what was read. */
  readonly checks: ReadBatches.ReadBatches
  /** Whether the last answer of a snapshot was of another state than the answer before: then reads should check at once. */
  isMoving: boolean
}

/** What was read before another read began, as conditions that the statement of that read has checked. */
interface EarlierReads {
  readonly reads: ReadConditions.Group
  /** The number of reads of the snapshot, to see whether there are more by now. */
  readonly size: number
  /** The token for which they are conditions. */
  readonly token: number
}

/** What a read has found, until it is known whether it is of the state of the snapshot. */
interface Candidate extends ReadBatches.Stamp {
  readonly reads: SnapshotReads.SnapshotReads
  /** Whether all reads before it hold in its state; `undefined` if that is not known. */
  readonly extends: boolean | undefined
  /** `Accepted`: it is of that state. `Changed`: it is of an earlier state, and has changed since. */
  outcome: "Unknown" | "Accepted" | "Changed"
}

/** An open snapshot. */
interface ExtendedSnapshot {
  readonly source: Source
  /** The writes that were pending when it was opened, the newest first. */
  readonly layers: ReadonlyArray<PendingLayers.Layer>
  /** What was read in its state. */
  readonly reads: SnapshotReads.SnapshotReads
  /** The last commit of its state; `undefined` before the first answer of the server. */
  number: number | undefined
  /** The last commit of this process in its state. */
  token: number
  /** Extends it: one fiber after the other. */
  readonly permit: Semaphore.Semaphore
  isExtending: boolean
  /** What other fibers have read while it was being extended. */
  readonly waiting: Set<Candidate>
  isOutdated: boolean
  isReleased: boolean
}

// ---------------------------------------------------------------------------
// the state of the snapshot
// ---------------------------------------------------------------------------

const accept = (self: ExtendedSnapshot, candidate: Candidate): void => {
  SnapshotReads.addAll(self.reads, candidate.reads)
  candidate.outcome = "Accepted"
}

/** Whether reads are the same in every state with the commits of this process up to a token. */
const needNothing = (reads: SnapshotReads.SnapshotReads, token: number): boolean =>
  SnapshotReads.conditionsAt(reads, token)?.length === 0

/**
 * Accepts a candidate if it is of the state of the snapshot. The first answer of the server decides which state that is, and
 * an answer that has checked everything before it extends the snapshot to its state.
 */
const acceptAtOnce = (self: ExtendedSnapshot, candidate: Candidate): boolean => {
  const { number, reads, token } = candidate
  if (number !== undefined) {
    if (self.number !== undefined) self.source.isMoving = self.number !== number
    if (candidate.extends === true || (self.number === undefined && needNothing(self.reads, token))) {
      self.number = number
      self.token = token
    }
  }
  const isOfState = number === undefined ? needNothing(reads, self.token) : self.number === number
  if (isOfState) accept(self, candidate)
  return isOfState
}

/** Interrupts the fiber: it must not go on, and its transaction runs again. */
const outdate = (self: ExtendedSnapshot): Effect.Effect<never> => {
  self.isOutdated = true
  return Effect.interrupt
}

/** Whether the same pending writes are on the server in the states of two tokens. */
const haveSameLayers = ({ layers }: ExtendedSnapshot, one: number, other: number): boolean =>
  layers.every(({ isIncluded }) => isIncluded(one) === isIncluded(other))

/**
 * Extends the snapshot to the present state, and decides about all waiting candidates. `token` is that of the last commit of
 * this process in that state, as far as is known.
 */
const extend = Effect.fnUntraced(function*(
  self: ExtendedSnapshot,
  token: number
): Effect.fn.Return<void, EngineFailure> {
  const known = SnapshotReads.conditionsAt(self.reads, token)
  if (known === undefined) return yield* outdate(self)
  const candidates = [...self.waiting]
  const groups = candidates.map(({ reads }) => SnapshotReads.conditionsAt(reads, token))
  const checked = yield* ReadBatches.read(self.source.checks, [], [known, ...groups.map((reads) => reads ?? [])])
  // Pending writes were committed meanwhile, so these were not the conditions of this state.
  if (!haveSameLayers(self, token, checked.token)) return yield* extend(self, checked.token)
  if (checked.failed?.has(0) !== false) return yield* outdate(self)
  self.number = checked.number
  self.token = checked.token
  for (const [at, candidate] of candidates.entries()) {
    if (groups[at] === undefined || checked.failed.has(at + 1)) candidate.outcome = "Changed"
    else accept(self, candidate)
  }
})

const refusal = (self: ExtendedSnapshot): Effect.Effect<never, EngineFailure> | undefined => {
  if (self.isReleased) return released
  return self.isOutdated ? Effect.interrupt : undefined
}

/** Decides about a candidate while no other fiber extends the snapshot. */
const decide = (self: ExtendedSnapshot, candidate: Candidate): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => {
    const refused = refusal(self)
    if (refused !== undefined) return refused
    if (candidate.outcome !== "Unknown" || acceptAtOnce(self, candidate)) return Effect.void
    self.isExtending = true
    return Effect.ensuring(
      extend(self, Math.max(self.token, candidate.token)),
      Effect.sync(() => {
        self.isExtending = false
      })
    )
  })

/** Decides about a candidate. Returns whether it was accepted. */
const admit = (self: ExtendedSnapshot, candidate: Candidate): Effect.Effect<boolean, EngineFailure> => {
  if (!self.isExtending && acceptAtOnce(self, candidate)) return Exit.succeed(true)
  self.waiting.add(candidate)
  return Effect.ensuring(
    Effect.map(self.permit.withPermit(decide(self, candidate)), () => candidate.outcome === "Accepted"),
    Effect.sync(() => self.waiting.delete(candidate))
  )
}

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** An answer of the server, or that only pending writes are needed. */
interface Answer extends ReadBatches.Stamp, LiveReader.Answered {
  /** What was asked for on the server, if that is more than the read itself. */
  readonly asked?: Iterable<Read>
  /** What the same statement has checked, and whether that does not hold. */
  readonly checked?: { readonly earlier: EarlierReads; readonly hasFailed: boolean } | undefined
}

/** The most earlier reads that a read checks at once. */
const mostEarlier = 64

/** What a read should check at once: few reads of keys, while others commit. */
const earlierOf = ({ reads, source, token }: ExtendedSnapshot): EarlierReads | undefined => {
  if (!source.isMoving || reads.size === 0 || reads.size > mostEarlier) return undefined
  const conditions = SnapshotReads.conditionsAt(reads, token)
  return conditions?.every(ReadConditions.isOfKey) === true
    ? { reads: conditions, size: reads.size, token }
    : undefined
}

/** Whether everything that was read before an answer holds in its state; `undefined` if that was not checked. */
const holdsEarlier = (self: ExtendedSnapshot, { checked, token }: Answer): boolean | undefined => {
  if (checked === undefined || self.isExtending) return undefined
  const { earlier, hasFailed } = checked
  return earlier.size === self.reads.size && haveSameLayers(self, earlier.token, token) ? !hasFailed : undefined
}

/** Reads again and again, until the answer is of the state of the snapshot. `use` reads the answer under the pending writes. */
const readWith = <A>(
  self: ExtendedSnapshot,
  ask: (layers: ReadonlyArray<PendingLayers.Layer>) => Effect.Effect<Answer, EngineFailure>,
  use: (reader: Reader) => Effect.Effect<A, EngineFailure>
): Effect.Effect<A, EngineFailure> =>
  Effect.suspend(() => {
    const refused = refusal(self)
    if (refused !== undefined) return refused
    return Effect.flatMap(ask(SnapshotReads.layersAt(self.layers, self.token)), (answer) => {
      const refusedMeanwhile = refusal(self)
      if (refusedMeanwhile !== undefined) return refusedMeanwhile
      const isExtension = holdsEarlier(self, answer)
      if (isExtension === false && answer.number !== self.number) return outdate(self)
      const layers = SnapshotReads.layersAt(self.layers, answer.token)
      const [reads, onServer] = [new ReadSet(), new ReadSet()]
      const base = LiveReader.answeredReader(answer)
      const stored = layers.length === 0 || answer.part === undefined ? base : recorded(base, onServer)
      const found = Settled.exitOf(use(recorded(LiveReader.overlaid(layers, stored, answer.token), reads)))
      const candidate: Candidate = {
        token: answer.token,
        number: answer.number,
        reads: SnapshotReads.make(layers, answer.number === undefined, reads, answer.asked ?? onServer),
        extends: isExtension,
        outcome: "Unknown"
      }
      return Effect.flatMap(admit(self, candidate), (isAccepted) => isAccepted ? found : readWith(self, ask, use))
    })
  })

/** What pending writes alone answer. */
const pendingAnswer = ({ token }: ExtendedSnapshot): Exit.Exit<Answer> => Exit.succeed({ token, number: undefined })

const readerOf = (self: ExtendedSnapshot): Reader => {
  const { committed } = self.source
  const askKeys =
    (database: string, keys: ReadonlyArray<ByteString>, values: boolean) =>
    (layers: ReadonlyArray<PendingLayers.Layer>): Effect.Effect<Answer, EngineFailure> => {
      if (keys.every((key) => layers.some((layer) => SnapshotReads.decides(layer, database, key)))) {
        return pendingAnswer(self)
      }
      const earlier = earlierOf(self)
      const groups = earlier === undefined ? [] : [earlier.reads]
      return Effect.map(committed.keys(database, keys, values, groups), ({ failed, found, number, token }) => ({
        token,
        number,
        found: new Map(keys.map((key, at) => [key, found[at]])),
        checked: earlier === undefined || failed === undefined ? undefined : { earlier, hasFailed: failed.has(0) }
      }))
    }
  return {
    get: (database, key, decode) =>
      readWith(self, askKeys(database, [key], true), (reader) => reader.get(database, key, decode)),
    getMany: (database, keys, decode) =>
      readWith(self, askKeys(database, keys, true), (reader) => reader.getMany(database, keys, decode)),
    has: (database, key) => readWith(self, askKeys(database, [key], false), (reader) => reader.has(database, key)),
    read: (database, request) =>
      readWith(
        self,
        () =>
          Effect.map(committed.part(database, request), (part) => ({ token: part.token, number: part.number, part })),
        (reader) => reader.read(database, request)
      ),
    count: (database) =>
      readWith(
        self,
        (layers) => {
          const keys = [
            ...new Set(layers.flatMap(({ writes }) => Array.from(writes.entriesOf(database), ([key]) => key)))
          ]
          return Effect.map(committed.count(database, keys), ({ count, exist, number, token }) => {
            const asked = new ReadSet()
            asked.addCount(database, count)
            for (const [at, key] of keys.entries()) asked.addExistence(database, key, exist[at] === true)
            const found = new Map(keys.map((key, at) => [key, exist[at] === true ? true as const : undefined]))
            return { token, number, count, found, asked }
          })
        },
        (reader) => reader.count(database)
      )
  }
}

/** Opens a snapshot of the present state and of some pending writes. It asks the server nothing yet. */
export const open = (source: Source, layers: ReadonlyArray<PendingLayers.Layer>): TransactionSnapshot => {
  const self: ExtendedSnapshot = {
    source,
    layers,
    reads: new Map(),
    number: undefined,
    token: 0,
    permit: Semaphore.makeUnsafe(1),
    isExtending: false,
    waiting: new Set(),
    isOutdated: false,
    isReleased: false
  }
  return {
    ...readerOf(self),
    isTentative: false,
    isOutdated: () => self.isOutdated,
    release: () => {
      self.isReleased = true
    }
  }
}
