/**
 * What a transaction has read: as conditions on the server, in each of the states that its snapshot may be extended to.
 *
 * A transaction reads what is on the server, and the writes of this process that were pending when it began over that. A
 * commit of this process moves pending writes to the server. So the same read is a different condition after such a
 * commit: what was read from a pending write must then be on the server.
 */
import type { Read } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import type { ReadSet } from "../reader/readSet.ts"
import type { Layer } from "./pendingLayers.ts"

/** One read of a transaction. */
interface SnapshotRead {
  /** What the transaction has read. */
  readonly read: Read
  /** The pending writes that it depends on. */
  readonly layers: ReadonlyArray<Layer>
  /** What was read on the server, as long as all of these writes are pending. */
  readonly onServer: ReadonlyArray<Read>
}

/** The reads of a transaction, each once. */
export type SnapshotReads = Map<string, SnapshotRead>

/** Identifies a read. Two reads of the same state with the same name have the same result. */
const nameOf = (read: Read): string => {
  switch (read._tag) {
    case "Value":
    case "Existence":
      return `${read._tag}/${read.database}\0${read.key}`
    case "Count":
      return `${read._tag}/${read.database}`
    case "Range":
      return JSON.stringify([read.database, read.range, read.values])
  }
}

/** Whether a layer decides alone what a key has. */
export const decides = ({ writes }: Layer, database: string, key: ByteString): boolean =>
  writes.get(database, key) !== undefined || writes.isCleared(database)

/** Whether a layer writes to a database. */
const writesTo = ({ writes }: Layer, database: string): boolean => {
  if (writes.isCleared(database)) return true
  for (const _ of writes.entriesOf(database)) return true
  return false
}

/** Whether the result of a read depends on a layer. */
const isDependent = (read: Read, layer: Layer): boolean => {
  switch (read._tag) {
    case "Value":
    case "Existence":
      return decides(layer, read.database, read.key)
    case "Count":
      return writesTo(layer, read.database)
    case "Range":
      return layer.writes.isCleared(read.database) || layer.writes.range(read.database, read.range).length > 0
  }
}

/** Returns the layers that an answer with this token does not include. */
export const layersAt = (layers: ReadonlyArray<Layer>, token: number): ReadonlyArray<Layer> =>
  layers.filter(({ isIncluded }) => !isIncluded(token))

/**
 * Makes the reads of one answer. `layers` are those that it does not include. If the answer is the same in every state,
 * only the reads are kept that depend on layers.
 */
export const make = (
  layers: ReadonlyArray<Layer>,
  isOfEveryState: boolean,
  reads: ReadSet,
  onServer: Iterable<Read>
): SnapshotReads => {
  const made: SnapshotReads = new Map()
  for (const read of reads) {
    const dependent = layers.filter((layer) => isDependent(read, layer))
    if (isOfEveryState && dependent.length === 0) continue
    const isOfKey = read._tag === "Value" || read._tag === "Existence"
    // A pending write decides alone what its key has.
    made.set(nameOf(read), {
      read,
      layers: dependent,
      onServer: dependent.length === 0 || isOfKey ? [] : [...onServer]
    })
  }
  return made
}

/** Adds reads of the same state. */
export const addAll = (self: SnapshotReads, reads: SnapshotReads): void => {
  for (const [name, read] of reads) self.set(name, read)
}

/**
 * Returns what must be on the server in a state in which it has the commits of this process up to a token. Returns
 * `undefined` if that cannot be told: a count or a range depends on some pending writes that were committed since,
 * and on others that were not.
 */
export const conditionsAt = (reads: SnapshotReads, token: number): ReadonlyArray<Read> | undefined => {
  const conditions: Array<Read> = []
  for (const { layers, onServer, read } of reads.values()) {
    const pending = layers.length === 0 ? 0 : layersAt(layers, token).length
    if (pending === 0) conditions.push(read)
    else if (pending === layers.length) conditions.push(...onServer)
    // Older writes are committed first, and the newest write of a key is the one that was read.
    else if (read._tag === "Count" || read._tag === "Range") return undefined
  }
  return conditions
}
