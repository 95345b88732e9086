/**
 * The records of all event journals in a store: the entries, and how far each remote is.
 *
 * Each entry has a number in the order of the commits, beside its id, which is in the order of creation. An upload takes
 * the entries after a number, so that it finds an old entry that was imported late.
 */
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

/** The name of the journal, and the id of the entry. */
const EntryKey = Schema.Tuple([Schema.String, EventJournal.EntryId])

const StoredEntry = Schema.Struct({
  journal: Schema.String,
  id: EventJournal.EntryId,
  event: Schema.String,
  primaryKey: Schema.String,
  payload: Schema.Uint8Array,
  /** The number in the order of the commits. */
  sequence: Schema.Int,
  /** The remote from which it was imported. */
  source: Schema.optionalKey(Schema.Uint8Array)
})

type StoredEntry = typeof StoredEntry.Type

/** The key of all entries of a journal that can conflict with each other. */
const groupOf = (journal: string, event: string, primaryKey: string): string =>
  storageKey(JSON.stringify([journal, event, primaryKey]))

const openEntries = PortCollection.make("effect.EventJournal.entries", {
  key: EntryKey,
  value: StoredEntry,
  indexes: {
    bySequence: { key: Schema.Tuple([Schema.String, Schema.Int]), of: ({ journal, sequence }) => [journal, sequence] },
    byGroup: {
      key: Schema.Tuple([Schema.String, EventJournal.EntryId]),
      of: ({ event, id, journal, primaryKey }) => [groupOf(journal, event, primaryKey), id]
    }
  }
})

const Progress = Schema.Struct({
  remoteId: Schema.Uint8Array,
  /** The number of the last entry that the remote has, or 0. */
  uploaded: Schema.Int,
  /** The sequence of the remote that was not seen yet. */
  nextSequence: Schema.Int
})

/** How far a remote is. */
export type Progress = typeof Progress.Type

const openRemotes = PortCollection.make("effect.EventJournal.remotes", {
  key: Schema.Tuple([Schema.String, Schema.String]),
  value: Progress
})

/** Opens the collections. */
export const open = Effect.all({ entries: openEntries, remotes: openRemotes })

/** One of the journals of a store. */
export interface JournalRecords extends Effect.Success<typeof open> {
  /** The name that its keys begin with. */
  readonly name: string
}

/** Returns the key of the progress of a remote. */
export const remoteKey = ({ name }: JournalRecords, remoteId: EventJournal.RemoteId) =>
  [name, storageKey(Hex.encode(remoteId))] as const

/** The progress of a remote that the journal has not met. */
export const noProgress = (remoteId: EventJournal.RemoteId): Progress => ({ remoteId, uploaded: 0, nextSequence: 0 })

const entryOf = ({ event, id, payload, primaryKey }: StoredEntry): EventJournal.Entry =>
  new EventJournal.Entry({ id, event, primaryKey, payload }, { disableChecks: true })

/** Returns the records of entries, numbered from `sequence` on. */
export const recordsOf = (
  { name }: JournalRecords,
  entries: ReadonlyArray<EventJournal.Entry>,
  sequence: number,
  source?: EventJournal.RemoteId
) =>
  entries.map(({ event, id, payload, primaryKey }, index) => {
    const record = { journal: name, id, event, primaryKey, payload, sequence: sequence + index }
    return [[name, id], source === undefined ? record : { ...record, source }] as const
  })

/** Reads all entries in the order of their ids. */
export const all = ({ entries, name }: JournalRecords) =>
  entries.values({ prefix: [name] }).pipe(Stream.map(entryOf), Stream.runCollect)

/** Reads the entries with these ids, and `undefined` where there is none. */
export const byId = Effect.fnUntraced(function*(
  { entries, name }: JournalRecords,
  ids: ReadonlyArray<EventJournal.EntryId>
) {
  const keys = ids.map((id) => [name, id] as const)
  const { found } = yield* entries.getMany(keys)
  return keys.map((key) => {
    const value = found.get(key)
    return value === undefined ? undefined : entryOf(value)
  })
})

/** Tells whether the journal has an entry. */
export const has = ({ entries, name }: JournalRecords, id: EventJournal.EntryId) => entries.has([name, id])

/** Reads the stored entries that have the event and primary key of one of the given entries, and an id after `lowest`. */
export const inGroupsOf = (
  { entries, name }: JournalRecords,
  of: ReadonlyArray<EventJournal.Entry>,
  lowest: EventJournal.EntryId
) =>
  Effect.map(
    Effect.forEach(
      new Set(of.map(({ event, primaryKey }) => groupOf(name, event, primaryKey))),
      (group) =>
        entries.indexes.byGroup.values({ prefix: [group], gt: [group, lowest] }).pipe(
          Stream.map(entryOf),
          Stream.runCollect
        )
    ),
    (groups) => groups.flat()
  )

/** Reads the entries whose number is at least `from`, in the order of the numbers, that pass a test of their source. */
export const numberedFrom = (
  { entries, name }: JournalRecords,
  from: number,
  isWanted: (source: Uint8Array | undefined) => boolean
) =>
  entries.indexes.bySequence.values({ prefix: [name], gte: [name, from] }).pipe(
    Stream.filter(({ source }) => isWanted(source)),
    Stream.map(entryOf),
    Stream.runCollect
  )
