/**
 * Tracks which definition of each collection may write.
 *
 * Opening a collection with other schemas or indexes takes it over. A later write by the earlier definition would
 * be missing from the new indexes, or have the old version. A write that waits for room or for its commit may have
 * begun before the takeover. So each batch of writes keeps the number of takeovers at its beginning, and is checked again
 * when it is committed.
 */
import type { WriteSet } from "../buffer/writeSet.ts"
import { collectionDatabase } from "../databases.ts"

/** The definitions that may write to the collections of a store. */
export interface OpenDefinitions {
  /** The signature of the definition that may write, by the name of the collection. */
  readonly signatures: Map<string, string>
  /** The number of the last takeover of a collection, by the database of its records. */
  readonly lastTakeovers: Map<string, number>
  /** The number of takeovers of collections since the store was opened. */
  takeovers: number
}

/** The signature of a collection that another process has taken over. No definition has it. */
const givenUp = ""

/** Makes the definitions of a store in which no collection was opened yet. */
export const make = (): OpenDefinitions => ({ signatures: new Map(), lastTakeovers: new Map(), takeovers: 0 })

const set = (self: OpenDefinitions, name: string, signature: string): void => {
  const before = self.signatures.get(name)
  if (before === signature) return
  self.signatures.set(name, signature)
  if (before === undefined) return
  self.takeovers++
  self.lastTakeovers.set(collectionDatabase(name), self.takeovers)
}

/** Whether the definition with this signature may write to a collection. */
export const isCurrent = ({ signatures }: OpenDefinitions, name: string, signature: string): boolean =>
  signatures.get(name) === signature

/** Lets only the definition with this signature write to a collection. Returns a function that undoes this. */
export const take = (self: OpenDefinitions, name: string, signature: string): () => void => {
  const before = self.signatures.get(name)
  set(self, name, signature)
  return () => {
    if (before !== undefined && isCurrent(self, name, signature)) self.signatures.set(name, before)
  }
}

/** Lets no definition of this process write to a collection, because another process has taken it over. */
export const giveUp = (self: OpenDefinitions, name: string): void => set(self, name, givenUp)

/** Whether another process has taken a collection over. */
export const isGivenUp = (self: OpenDefinitions, name: string): boolean => isCurrent(self, name, givenUp)

/** Whether none of the collections that these writes belong to was taken over after the given number of takeovers. */
export const permits = (self: OpenDefinitions, writes: WriteSet, takeovers: number): boolean => {
  if (takeovers === self.takeovers) return true
  for (const [database, last] of self.lastTakeovers) {
    if (last > takeovers && (writes.isCleared(database) || writes.entriesOf(database).size > 0)) return false
  }
  return true
}
