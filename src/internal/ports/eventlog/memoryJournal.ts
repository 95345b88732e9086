/**
 * What Effect's memory journal decides about entries: the ids of local entries, and the order and the conflicts of
 * imported ones.
 *
 * The functions of Effect that do this are internal to it. So a memory journal is made for each call, gets the stored
 * entries that matter, and is dropped. It takes the place of a compacted entry from what Effect keeps about the `Entry`
 * object, so that the objects go through it as they are.
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as References from "effect/References"

type Journal = EventJournal.EventJournal["Service"]

/** An entry before it has an id. */
export type NewEntry = Omit<Parameters<Journal["write"]>[0], "effect">

/** An imported entry, and the stored entries that conflict with it. */
export type Pair = Parameters<Parameters<Journal["writeFromRemote"]>[0]["effect"]>[0][number]

const remoteId = EventJournal.makeRemoteIdUnsafe()

/** Makes a memory journal with entries. */
const holding = Effect.fnUntraced(function*(entries: ReadonlyArray<EventJournal.Entry>) {
  const journal = yield* EventJournal.makeMemory
  if (entries.length > 0) {
    yield* journal.writeFromRemote({
      remoteId,
      entries: entries.map((entry, remoteSequence) =>
        new EventJournal.RemoteEntry({ entry, remoteSequence }, { disableChecks: true })
      ),
      effect: () => Effect.void
    })
  }
  return journal
})

/** The memory journal warns of ids that are ahead of the clock. The stored ones have been warned of. */
const silently = Effect.provideService(References.MinimumLogLevel, "None")

const noBytes = new Uint8Array()

/** Makes local entries, whose ids are higher than `latest`. */
export const localEntries = (
  latest: EventJournal.EntryId | undefined,
  entries: Arr.NonEmptyReadonlyArray<NewEntry>
): Effect.Effect<Arr.NonEmptyReadonlyArray<EventJournal.Entry>, EventJournal.EventJournalError> =>
  holding(
    latest === undefined
      ? []
      : [new EventJournal.Entry({ id: latest, event: "", primaryKey: "", payload: noBytes }, { disableChecks: true })]
  ).pipe(
    Effect.flatMap((journal) => journal.writeMany({ entries, effect: Effect.succeed })),
    silently
  )

/** Puts new entries into the order in which they are applied, each with the stored entries that conflict with it. */
export const pairsOf = (
  stored: ReadonlyArray<EventJournal.Entry>,
  entries: ReadonlyArray<EventJournal.Entry>
): Effect.Effect<ReadonlyArray<Pair>, EventJournal.EventJournalError> =>
  Effect.gen(function*() {
    const journal = yield* holding(stored)
    let pairs: ReadonlyArray<Pair> = []
    yield* journal.writeFromRemote({
      remoteId,
      entries: [],
      compact: () => Effect.succeed(entries),
      effect: (all) =>
        Effect.sync(() => {
          pairs = all
        })
    })
    return pairs
  }).pipe(silently)
