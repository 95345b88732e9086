/**
 * An event journal in a store.
 *
 *     write             ids after the latest, the caller's effect, the entries   one transaction
 *     writeFromRemote   new entries, conflicts, the caller's effect, the entries one transaction
 *     upload            entries after the checkpoint | the caller's effect | the checkpoint
 *
 * The caller's effect runs inside the transaction of its entries: what it writes to the store is committed with them.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as EventJournal from "effect/eventlog/EventJournal"
import type { StoreId } from "effect/eventlog/EventLogMessage"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { PollOptions } from "../../../Change.ts"
import type { OpenError } from "../../../Collection.ts"
import { Store } from "../../../Store.ts"
import type { StoreService } from "../../../StoreService.ts"
import { withTransaction } from "../callerFailure.ts"
import { replaceErrors } from "../portError.ts"
import { storageKey } from "../storageKey.ts"
import * as Heads from "./heads.ts"
import * as Records from "./journalRecords.ts"
import * as MemoryJournal from "./memoryJournal.ts"

type Methods = EventJournal.EventJournal["Service"]

/** A journal, and its locks. */
export interface Journal {
  readonly store: StoreService
  /** The context in which it was made, outside of all transactions. */
  readonly context: Context.Context<never>
  readonly records: Records.JournalRecords
  readonly heads: Heads.Heads
  readonly headKey: Heads.HeadKey
  readonly locks: Map<StoreId, Semaphore.Semaphore>
}

/** Opens a journal, and follows its commits until the scope closes. */
export const make = Effect.fnUntraced(
  function*(
    name: string,
    options: PollOptions
  ): Effect.fn.Return<Journal, OpenError, Store | Scope.Scope> {
    const heads = yield* Heads.make(options)
    const records = { ...(yield* Records.open), name: storageKey(name) }
    return {
      store: yield* Store,
      context: yield* Effect.context(),
      records,
      heads,
      headKey: ["journal", records.name],
      locks: new Map()
    }
  }
)

/** Numbers begin with 1: a remote that has nothing has uploaded number 0. */
const emptyHead: Heads.Head = { next: 1 }

const readHead = ({ headKey, heads }: Journal) => Heads.read(heads, headKey, emptyHead)

const maxId = Order.max(EventJournal.EntryIdOrder)
const minId = Order.min(EventJournal.EntryIdOrder)

/** Gives the error of journals in place of others. */
const toError = (method: string) => (cause: unknown) =>
  cause instanceof EventJournal.EventJournalError ? cause : new EventJournal.EventJournalError({ method, cause })

const fail = (method: string) => (cause: unknown) => Effect.fail(toError(method)(cause))

const orFail = (method: string) => replaceErrors(toError(method))

/** Stores new entries, inside a transaction. */
const append = Effect.fnUntraced(function*(
  self: Journal,
  entries: ReadonlyArray<EventJournal.Entry>,
  source?: EventJournal.RemoteId
) {
  const head = yield* readHead(self)
  const { latest } = head
  const ids = entries.map(({ id }) => id)
  yield* self.records.entries.putMany(Records.recordsOf(self.records, entries, head.next, source))
  yield* self.heads.records.put(self.headKey, {
    next: head.next + entries.length,
    latest: (latest === undefined ? ids : [latest, ...ids]).reduce(maxId)
  })
})

/** Writes local entries. An attempt after a conflict keeps their ids, unless a higher one was stored meanwhile. */
export const writeMany = <A, E, R>(
  self: Journal,
  { effect, entries }: {
    readonly entries: Arr.NonEmptyReadonlyArray<MemoryJournal.NewEntry>
    readonly effect: (entries: Arr.NonEmptyReadonlyArray<EventJournal.Entry>) => Effect.Effect<A, E, R>
  }
): Effect.Effect<A, EventJournal.EventJournalError | E, R> =>
  Effect.suspend(() => {
    let made: Arr.NonEmptyReadonlyArray<EventJournal.Entry> | undefined
    return withTransaction(
      self.store,
      (caller) =>
        Effect.gen(function*() {
          const { latest } = yield* readHead(self)
          if (made === undefined || (latest !== undefined && EventJournal.EntryIdOrder(made[0].id, latest) <= 0)) {
            made = yield* MemoryJournal.localEntries(latest, entries)
          }
          const result = yield* caller(effect(made))
          yield* append(self, made)
          return result
        }),
      fail("writeMany")
    )
  })

/** Splits entries of a remote into those that the journal has and the others. Of an id that comes twice, the first counts. */
const splitByKnown = Effect.fnUntraced(function*(
  { records }: Journal,
  entries: ReadonlyArray<EventJournal.RemoteEntry>
) {
  const seen = new Set<string>()
  const added: Array<EventJournal.RemoteEntry> = []
  const known: Array<EventJournal.Entry> = []
  for (const remoteEntry of entries) {
    const { entry } = remoteEntry
    if (yield* Records.has(records, entry.id)) known.push(entry)
    else if (!seen.has(entry.idString)) {
      seen.add(entry.idString)
      added.push(remoteEntry)
    }
  }
  return { added, known }
})

const setNextSequence = (
  self: Journal,
  remoteId: EventJournal.RemoteId,
  next: (current: number) => number
) =>
  self.records.remotes.update(Records.remoteKey(self.records, remoteId), (current) => {
    const progress = Option.getOrElse(current, () => Records.noProgress(remoteId))
    const nextSequence = next(progress.nextSequence)
    return nextSequence > progress.nextSequence ? Option.some({ ...progress, nextSequence }) : current
  }, { durable: true })

/** Imports entries of a remote. */
export const writeFromRemote = (
  self: Journal,
  { compact, effect, entries, remoteId }: Parameters<Methods["writeFromRemote"]>[0]
): ReturnType<Methods["writeFromRemote"]> =>
  withTransaction(
    self.store,
    (caller) =>
      Effect.gen(function*() {
        const { added, known } = yield* splitByKnown(self, entries)
        const imported = added.map(({ entry }) => entry)
        const compacted = compact === undefined ? imported : yield* caller(compact(added))
        if (compacted.length > 0) {
          // A compacted entry takes the place of an imported one, whose id may be lower.
          const lowest = [...compacted, ...imported].map(({ id }) => id).reduce(minId)
          const stored = yield* Records.inGroupsOf(self.records, compacted, lowest)
          const pairs = yield* MemoryJournal.pairsOf(stored, compacted)
          yield* caller(effect(pairs))
        }
        if (imported.length > 0) yield* append(self, imported, remoteId)
        const next = entries.reduce((highest, { remoteSequence }) => Math.max(highest, remoteSequence + 1), 0)
        yield* setNextSequence(self, remoteId, () => next)
        return { imported, duplicateEntries: known }
      }),
    fail("writeFromRemote")
  ).pipe(
    Effect.tap(({ imported }) => warnIfAhead(imported)),
    Effect.map(({ duplicateEntries }) => ({ duplicateEntries }))
  )

const dayMillis = 24 * 60 * 60 * 1000

/** Warns if an imported id is more than a day ahead of the clock. Later local ids follow it. */
const warnIfAhead = Effect.fnUntraced(function*(imported: ReadonlyArray<EventJournal.Entry>) {
  if (!Arr.isReadonlyArrayNonEmpty(imported)) return
  const latest = imported.reduce(Order.max(EventJournal.Entry.Order))
  const ahead = latest.createdAtMillis - (yield* Clock.currentTimeMillis)
  if (ahead <= dayMillis) return
  yield* Effect.logWarning(`Imported an entry whose id is ${Math.round(ahead / 3_600_000)} hours ahead of the clock`)
    .pipe(Effect.annotateLogs({ service: "EventJournal", entryId: latest.idString }))
})

const readPending = Effect.fnUntraced(function*(self: Journal, remoteId: EventJournal.RemoteId) {
  const { records } = self
  const progress = yield* records.remotes.get(Records.remoteKey(records, remoteId))
  const { uploaded } = Option.getOrElse(progress, () => Records.noProgress(remoteId))
  const last = (yield* readHead(self)).next - 1
  if (last <= uploaded) return undefined
  const own = Hex.encode(remoteId)
  const entries = yield* Records.numberedFrom(
    records,
    uploaded + 1,
    (source) => source === undefined || Hex.encode(source) !== own
  )
  return { entries: Arr.sort(entries, EventJournal.Entry.Order), last }
})

/** Runs an effect with the entries that a remote does not have. If it succeeds, the remote has them. */
export const withRemoteUncommited = Effect.fnUntraced(function*<A, E, R>(
  self: Journal,
  remoteId: EventJournal.RemoteId,
  f: (entries: Arr.NonEmptyReadonlyArray<EventJournal.Entry>) => Effect.Effect<A, E, R>
): Effect.fn.Return<Option.Option<A>, EventJournal.EventJournalError | E, R> {
  const { records, store } = self
  const pending = yield* store.withTransaction(readPending(self, remoteId)).pipe(orFail("withRemoteUncommited"))
  if (pending === undefined) return Option.none()
  const { entries, last } = pending
  // Uploads can end in another order than they began.
  const save = records.remotes.update(Records.remoteKey(records, remoteId), (current) => {
    const progress = Option.getOrElse(current, () => Records.noProgress(remoteId))
    return last > progress.uploaded ? Option.some({ ...progress, uploaded: last }) : current
  }, { durable: true }).pipe(orFail("withRemoteUncommited"))
  return yield* Effect.uninterruptibleMask((restore) =>
    restore(Arr.isReadonlyArrayNonEmpty(entries) ? Effect.asSome(f(entries)) : Effect.succeedNone).pipe(
      Effect.tap(save)
    )
  )
})

/** Moves a sequence over the acknowledged ones that follow it without a gap. */
const advance = (current: number, acks: ReadonlyArray<EventJournal.RemoteAck>, firstSequence: number): number => {
  const acknowledged = new Set(acks.map(({ sequence }) => sequence))
  let next = Math.max(current, firstSequence)
  while (acknowledged.has(next)) next++
  return next
}

export const writeRemoteAcks = (
  self: Journal,
  { acks, firstSequence, remoteId }: Parameters<Methods["writeRemoteAcks"]>[0]
): Effect.Effect<void, EventJournal.EventJournalError> =>
  setNextSequence(self, remoteId, (current) => advance(current, acks, firstSequence ?? 0)).pipe(
    Effect.asVoid,
    orFail("writeRemoteAcks")
  )

export const nextRemoteSequence = (
  { records }: Journal,
  remoteId: EventJournal.RemoteId
): Effect.Effect<number, EventJournal.EventJournalError> =>
  records.remotes.get(Records.remoteKey(records, remoteId)).pipe(
    Effect.map((progress) => Option.getOrElse(progress, () => Records.noProgress(remoteId)).nextSequence),
    orFail("nextRemoteSequence")
  )

/** Deletes all entries and forgets all remotes. The numbers go on, so that those who follow the journal miss nothing. */
export const destroy = (self: Journal): Effect.Effect<void, EventJournal.EventJournalError> => {
  const { headKey, heads, records, store } = self
  return store.withTransaction(Effect.gen(function*() {
    const { next } = yield* readHead(self)
    yield* records.entries.deleteRange({ prefix: [records.name] })
    yield* records.remotes.deleteRange({ prefix: [records.name] })
    yield* heads.records.put(headKey, { next })
  })).pipe(orFail("destroy"))
}

export const entries = ({ records }: Journal) => Records.all(records).pipe(orFail("entries"))

export const entriesById = ({ records }: Journal, ids: ReadonlyArray<EventJournal.EntryId>) =>
  Records.byId(records, ids).pipe(orFail("entriesById"))

/** Lets one effect at a time run for a store id, in this process. */
export const withLock = ({ locks }: Journal, storeId: StoreId) => {
  const lock = locks.get(storeId) ?? Semaphore.makeUnsafe(1)
  locks.set(storeId, lock)
  return <A, E, R>(effect: Effect.Effect<A, E, R>) => lock.withPermit(effect)
}

/** Publishes the local entries from a number on, each after its commit, until the store closes. */
const publish = (self: Journal, pubsub: PubSub.PubSub<EventJournal.Entry>, first: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    let next = first
    const published = Effect.suspend(() =>
      Stream.runForEachArray(
        Heads.tail(self.heads, self.headKey, next, (from) => {
          next = from
          return self.store.withTransaction(Effect.gen(function*() {
            const local = yield* Records.numberedFrom(self.records, from, (source) => source === undefined)
            return [local, (yield* readHead(self)).next] as const
          }))
        }),
        (committed) => PubSub.publishAll(pubsub, committed)
      )
    )
    return published.pipe(
      Effect.tapError((error) =>
        error._tag === "Closed" ? Effect.void : Effect.logWarning("Failed to follow an event journal", error)
      ),
      Effect.retry({ schedule: Schedule.spaced(500), while: ({ _tag }) => _tag !== "Closed" }),
      Effect.ignore
    )
  })

/** Runs an effect outside of the transaction of the caller: a subscription may be made in one, and outlives it. */
const outside = <A, E>({ context }: Journal, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.updateContext<A, E, never, never>(effect, () => context)

/** Subscribes to the local entries that are committed from now on, by this process or by others. */
export const changes = Effect.fnUntraced(
  function*(self: Journal): Effect.fn.Return<PubSub.Subscription<EventJournal.Entry>, never, Scope.Scope> {
    const pubsub = yield* PubSub.unbounded<EventJournal.Entry>()
    const subscription = yield* PubSub.subscribe(pubsub)
    const { next } = yield* outside(self, readHead(self)).pipe(orFail("changes"), Effect.orDie)
    yield* Effect.forkScoped(outside(self, publish(self, pubsub, next)).pipe(Effect.withTracerEnabled(false)), {
      startImmediately: true
    })
    return subscription
  }
)
