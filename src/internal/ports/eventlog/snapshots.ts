/**
 * The batches of compacted snapshots, in sets. A set is first staged, part by part, and does not change once it is active.
 *
 * The places of the batches are records of their own, so that the commit of a set writes only these.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { EncryptedBatch, type EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption"
import * as Schema from "effect/Schema"
import * as PortCollection from "../portCollection.ts"

/** The set, and the position of the batch. */
const Key = Schema.Tuple([Schema.String, Schema.Int])

const openBatches = PortCollection.make("effect.EventLogServerEncrypted.snapshots", { key: Key, value: EncryptedBatch })

const Place = Schema.Struct({
  set: Schema.String,
  position: Schema.Int,
  /** The number of entries of the batch. */
  count: Schema.Int,
  /** The number of its first entry, if the set was committed. */
  sequence: Schema.UndefinedOr(Schema.Int)
})

/** The place of a batch in its set. */
export type Place = typeof Place.Type

const openPlaces = PortCollection.make("effect.EventLogServerEncrypted.places", {
  key: Key,
  value: Place,
  indexes: {
    /** By the number of the last entry. */
    byLast: {
      key: Key,
      of: ({ count, sequence, set }) => sequence === undefined ? undefined : [set, sequence + count - 1]
    }
  }
})

/** The sets of a store. */
export interface Snapshots {
  readonly batches: Effect.Success<typeof openBatches>
  readonly places: Effect.Success<typeof openPlaces>
}

/** Opens the sets. */
export const open = Effect.gen(function*() {
  const self: Snapshots = { batches: yield* openBatches, places: yield* openPlaces }
  return self
})

/** A segment begins at a multiple of this position, as in Effect's other implementations. */
export const positionsPerSegment = 2 ** 20

/** The number of segments that a set can have. */
export const maxSegments = Math.floor(Number.MAX_SAFE_INTEGER / positionsPerSegment)

/** Stages the batches of a segment, inside a transaction. Returns how many were not staged before. */
export const stage = Effect.fnUntraced(function*(
  { batches, places }: Snapshots,
  set: string,
  segment: number,
  added: ReadonlyArray<EncryptedBatch>
) {
  const first = segment * positionsPerSegment
  const { missing } = yield* places.getMany(added.map((_, index) => [set, first + index] as const))
  const positions = new Set(missing.map(([, position]) => position))
  const staged = added.flatMap((batch, index) => {
    const position = first + index
    return positions.has(position) ? [{ key: [set, position] as const, position, batch }] : []
  })
  yield* batches.putMany(
    staged.map(({ batch: { encryptedBatch, entryIds, iv }, key }) => [key, { entryIds, iv, encryptedBatch }])
  )
  yield* places.putMany(
    staged.map(({ batch, key, position }) => [
      key,
      { set, position, count: batch.entryIds.length, sequence: undefined }
    ])
  )
  return staged.length
})

/** Reads the places of a set, in the order of the positions. */
export const placesOf = ({ places }: Snapshots, set: string) => places.collect({ prefix: [set] })

/** Gives the batches of a set their numbers, inside a transaction. */
export const number = ({ places }: Snapshots, placed: ReadonlyArray<Place & { readonly sequence: number }>) =>
  places.putMany(placed.map((place) => [[place.set, place.position], place]))

const readPlaces = Effect.fnUntraced(function*({ batches }: Snapshots, places: ReadonlyArray<Place>) {
  const keys = places.map(({ position, set }) => [set, position] as const)
  const { found } = yield* batches.getMany(keys)
  return Arr.zip(keys, places).flatMap(([key, { position, sequence }]) => {
    const batch = found.get(key)
    return batch === undefined ? [] : [{ position, sequence: sequence ?? 0, batch }]
  })
})

/** Reads at most `limit` batches of a set, from the first position after `after` on. A staged batch has the number 0. */
export const readAfter = Effect.fnUntraced(function*(self: Snapshots, set: string, after: number, limit: number) {
  return yield* readPlaces(self, yield* self.places.collect({ prefix: [set], gt: [set, after], limit }))
})

/** Reads at most `limit` batches of a committed set, from the one that has a number on, or the first after it. */
export const readFrom = Effect.fnUntraced(function*(self: Snapshots, set: string, from: number, limit: number) {
  const places = yield* self.places.indexes.byLast.collect({ prefix: [set], gte: [set, from], limit })
  return (yield* readPlaces(self, places)).map(
    ({ batch: { encryptedBatch, entryIds, iv }, sequence }): EncryptedRemoteBatch => ({
      sequence,
      entryIds,
      iv,
      encryptedBatch
    })
  )
})

/** Finds the batch of a committed set that begins with a number. */
export const find = Effect.fnUntraced(function*(self: Snapshots, set: string, sequence: number) {
  const [batch] = yield* readFrom(self, set, sequence, 1)
  return batch?.sequence === sequence ? batch : undefined
})

/** Deletes at most `limit` batches of a set. Returns how many it has deleted: fewer than `limit` if none is left. */
export const deleteSome = Effect.fnUntraced(function*({ batches, places }: Snapshots, set: string, limit: number) {
  const deleted = yield* batches.deleteRange({ prefix: [set], limit })
  yield* places.deleteRange({ prefix: [set], limit })
  return deleted
})
