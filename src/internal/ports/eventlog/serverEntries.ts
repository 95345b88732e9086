/** The entries of all unencrypted server storages in a store, numbered for each store id. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

/** The list of the store id, and the number of the entry. */
const Key = Schema.Tuple([Schema.String, Schema.Int])

const StoredEntry = Schema.Struct({
  list: Schema.String,
  id: EventJournal.EntryId,
  event: Schema.String,
  primaryKey: Schema.String,
  payload: Schema.Uint8Array,
  sequence: Schema.Int
})

type StoredEntry = typeof StoredEntry.Type

const groupOf = (list: string, { event, primaryKey }: Pick<StoredEntry, "event" | "primaryKey">): string =>
  storageKey(JSON.stringify([list, event, primaryKey]))

const ById = Schema.Tuple([Schema.String, EventJournal.EntryId])

/** Opens the collection. */
export const open = PortCollection.make("effect.EventLogServerUnencrypted", {
  key: Key,
  value: StoredEntry,
  indexes: {
    byId: { key: ById, of: ({ id, list }) => [list, id], unique: true },
    byGroup: { key: ById, of: (entry) => [groupOf(entry.list, entry), entry.id] }
  }
})

type Entries = Effect.Success<typeof open>

const remoteEntryOf = ({ event, id, payload, primaryKey, sequence }: StoredEntry): EventJournal.RemoteEntry =>
  new EventJournal.RemoteEntry({
    remoteSequence: sequence,
    entry: new EventJournal.Entry({ id, event, primaryKey, payload }, { disableChecks: true })
  }, { disableChecks: true })

const collect = <E, R>(values: Stream.Stream<StoredEntry, E, R>) => Stream.runCollect(Stream.map(values, remoteEntryOf))

const bySequence = Order.mapInput(
  Order.Number,
  ({ remoteSequence }: EventJournal.RemoteEntry) => remoteSequence
)

/** Stores entries of a list, numbered from `first` on. Fails with `UniqueViolation` if one of the ids is there. */
export const insert = Effect.fnUntraced(function*(
  entries: Entries,
  list: string,
  first: number,
  added: ReadonlyArray<EventJournal.Entry>
) {
  const records = added.map(({ event, id, payload, primaryKey }, index): StoredEntry => ({
    list,
    id,
    event,
    primaryKey,
    payload,
    sequence: first + index
  }))
  yield* entries.putMany(records.map((record) => [[list, record.sequence], record]))
  return records.map(remoteEntryOf)
})

/** Reads the entries of a list from a number on, in the order of the numbers. */
export const numberedFrom = (entries: Entries, list: string, from: number) =>
  collect(entries.values({ prefix: [list], gte: [list, from] }))

/** Reads the entries of a list whose ids are not before `lowest`, in the order of the numbers. */
export const createdFrom = (entries: Entries, list: string, lowest: EventJournal.EntryId) =>
  Effect.map(
    collect(entries.indexes.byId.values({ prefix: [list], gte: [list, lowest] })),
    (found) => Arr.sort(found, bySequence)
  )

/**
 * Reads the entries of a list that have the id of an entry of a batch, and those that have the event and the primary key of
 * one and an id that is not before `lowest`, in the order of the numbers.
 */
export const relatedTo = Effect.fnUntraced(function*(
  entries: Entries,
  list: string,
  batch: ReadonlyArray<EventJournal.Entry>,
  lowest: EventJournal.EntryId
) {
  const found = new Map<number, EventJournal.RemoteEntry>()
  for (const { id } of batch) {
    const same = yield* entries.indexes.byId.get([list, id])
    if (Option.isSome(same)) found.set(same.value.sequence, remoteEntryOf(same.value))
  }
  for (const group of new Set(batch.map((entry) => groupOf(list, entry)))) {
    const related = yield* collect(entries.indexes.byGroup.values({ prefix: [group], gte: [group, lowest] }))
    for (const entry of related) found.set(entry.remoteSequence, entry)
  }
  return Arr.sort(found.values(), bySequence)
})
