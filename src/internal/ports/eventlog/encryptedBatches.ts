/**
 * The batches that clients have written to an encrypted server, by public key and store id.
 *
 * A batch has one number for each of its entries. Its key is the number of its last entry, so that a range from a number on
 * begins with the batch that has it.
 */
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import { type EncryptedBatch, EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as PortCollection from "../portCollection.ts"
import * as Heads from "./heads.ts"
import * as Server from "./server.ts"

const openBatches = PortCollection.make("effect.EventLogServerEncrypted.batches", {
  key: Schema.Tuple([Schema.String, Schema.Int]),
  value: EncryptedRemoteBatch
})

/** The number under which each entry was first stored. */
const openIds = PortCollection.make("effect.EventLogServerEncrypted.ids", {
  key: Schema.Tuple([Schema.String, EventJournal.EntryId]),
  value: Schema.Int
})

/** The highest number that was stored in each hour since 1970. */
const openHours = PortCollection.make("effect.EventLogServerEncrypted.hours", {
  key: Schema.Tuple([Schema.String, Schema.Int]),
  value: Schema.Int
})

/** The batches of a server. */
export interface EncryptedBatches {
  readonly server: Server.Server
  readonly batches: Effect.Success<typeof openBatches>
  readonly ids: Effect.Success<typeof openIds>
  readonly hours: Effect.Success<typeof openHours>
}

/** Opens the batches of a server. */
export const open = Effect.fnUntraced(function*(server: Server.Server) {
  const self: EncryptedBatches = {
    server,
    batches: yield* openBatches,
    ids: yield* openIds,
    hours: yield* openHours
  }
  return self
})

/** The first number of each list, as in Effect's memory storage. */
export const firstSequence = 0

/** The number of the last entry of a batch. */
export const lastOf = ({ entryIds, sequence }: EncryptedRemoteBatch): number => sequence + entryIds.length - 1

const hourMillis = 3_600_000

/** The latest hour that had ended `lag` milliseconds ago. */
const hourBefore = (now: number, lag: number): number => Math.floor((now - lag) / hourMillis) - 1

/**
 * Notes when a number was stored, inside a transaction. Of the hours that had ended `lag` milliseconds ago, only the latest
 * is kept.
 */
export const noteTime = Effect.fnUntraced(function*(
  { hours }: EncryptedBatches,
  list: string,
  { lag, last, now }: { readonly last: number; readonly now: number; readonly lag: number }
) {
  const hour = Math.floor(now / hourMillis)
  const isKnown = yield* hours.has([list, hour])
  yield* hours.put([list, hour], last)
  if (isKnown) return
  const latest = yield* hours.last({ prefix: [list], lte: [list, hourBefore(now, lag)] })
  if (Option.isSome(latest)) yield* hours.deleteRange({ prefix: [list], lt: latest.value[0] })
})

/** The highest number of a list that was stored in an hour that had ended `lag` milliseconds ago. */
export const lagHead = ({ hours }: EncryptedBatches, list: string, now: number, lag: number) =>
  Effect.map(
    hours.collect({ prefix: [list], lte: [list, hourBefore(now, lag)] }),
    // An hour can have lower numbers than an earlier one if the clock was set back.
    (lasts) => Math.max(firstSequence - 1, ...lasts)
  )

/** The highest number of a list. */
export const head = ({ server: { heads, kind } }: EncryptedBatches, list: string) =>
  Effect.map(Heads.read(heads, [kind, list], { next: firstSequence }), ({ next }) => next - 1)

/** Stores a batch under the next numbers of its list, inside a transaction. */
export const append = Effect.fnUntraced(function*(
  { batches, server }: EncryptedBatches,
  list: string,
  { encryptedBatch, entryIds, iv }: EncryptedBatch
) {
  const sequence = yield* Server.takeNumbers(server, list, firstSequence, entryIds.length)
  const stored: EncryptedRemoteBatch = { sequence, entryIds, iv, encryptedBatch }
  yield* batches.put([list, lastOf(stored)], stored)
  return stored
})

/** Stores a batch, inside a transaction, unless all of its entries were stored before. */
const appendNew = Effect.fnUntraced(function*(self: EncryptedBatches, list: string, batch: EncryptedBatch) {
  const keys = batch.entryIds.map((id) => [list, id] as const)
  const { missing } = yield* self.ids.getMany(keys)
  if (missing.length === 0) return undefined
  const stored = yield* append(self, list, batch)
  for (const [index, key] of keys.entries()) {
    yield* self.ids.update(key, (first) => Option.isSome(first) ? first : Option.some(stored.sequence + index))
  }
  return stored
})

/** Stores the batches that are new, inside a transaction, and returns them. */
export const appendAllNew = Effect.fnUntraced(function*(
  self: EncryptedBatches,
  list: string,
  batches: ReadonlyArray<EncryptedBatch>,
  time: { readonly now: number; readonly lag: number }
) {
  const stored: Array<EncryptedRemoteBatch> = []
  for (const batch of batches) {
    const added = yield* appendNew(self, list, batch)
    if (added !== undefined) stored.push(added)
  }
  const last = stored.at(-1)
  if (last !== undefined) yield* noteTime(self, list, { ...time, last: lastOf(last) })
  return stored
})

/** Reads where entries were first stored. */
export const firstStored = Effect.fnUntraced(function*(
  { ids }: EncryptedBatches,
  list: string,
  entryIds: ReadonlyArray<EventJournal.EntryId>
) {
  const keys = entryIds.map((entryId) => [list, entryId] as const)
  const { found } = yield* ids.getMany(keys)
  return keys.flatMap((key) => {
    const sequence = found.get(key)
    return sequence === undefined ? [] : [{ entryId: key[1], sequence }]
  })
})

/** Reads the batches of a list that end after a number, and not after `through`. */
export const readAfter = (
  { batches }: EncryptedBatches,
  list: string,
  after: number,
  { limit, through }: { readonly limit?: number; readonly through?: number } = {}
) =>
  batches.collect({
    prefix: [list],
    gt: [list, after],
    ...(through === undefined ? {} : { lte: [list, through] as const }),
    ...(limit === undefined ? {} : { limit })
  })

/** Finds the batch of a list that begins with a number. */
export const find = ({ batches }: EncryptedBatches, list: string, sequence: number) =>
  Effect.map(
    batches.first({ prefix: [list], gte: [list, sequence] }),
    (found) => Option.isSome(found) && found.value[1].sequence === sequence ? found.value[1] : undefined
  )

/** Tells whether a batch of a list ends with a number. */
export const isEnd = ({ batches }: EncryptedBatches, list: string, sequence: number) => batches.has([list, sequence])

/** Deletes at most `limit` of the batches of a list that do not end after a number. Returns how many it has deleted. */
export const deleteThrough = ({ batches }: EncryptedBatches, list: string, through: number, limit: number) =>
  batches.deleteRange({ prefix: [list], lte: [list, through], limit })
