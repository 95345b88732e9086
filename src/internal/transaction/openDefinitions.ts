/**
 * By which definition each collection of a store may be written at present.
 *
 * A collection that is opened with other schemas or indexes is taken over: what an earlier
 * definition still writes would lack in the indexes or be of another version. A write that
 * waits, for room or for its commit, may have begun before that. So a unit of writes
 * remembers how many collections had been taken over when it began, and is looked at again
 * when it is committed.
 */
import type { WriteSet } from "../buffer/writeSet.ts"
import { collectionDatabase } from "../databases.ts"

/** The definitions by which collections may be written. */
export interface OpenDefinitions {
  /** Whether a collection may be written by the definition with this signature. */
  readonly isCurrent: (name: string, signature: string) => boolean
  /** Lets only the definition with this signature write to a collection. Gives what undoes that. */
  readonly take: (name: string, signature: string) => () => void
  /** Lets no definition of this process write to a collection: another process has taken it over. */
  readonly giveUp: (name: string) => void
  /** Whether another process has taken a collection over. */
  readonly isGivenUp: (name: string) => boolean
  /** How often collections were taken over so far. */
  readonly takeovers: () => number
  /** Whether no collection that a unit of writes writes to was taken over since it began, after this many takeovers. */
  readonly permits: (writes: WriteSet, takeovers: number) => boolean
}

/** No definition has this signature. */
const givenUp = ""

/** Makes what is known before any collection is opened. */
export const make = (): OpenDefinitions => {
  const signatures = new Map<string, string>()
  /** How many takeovers there had been when a collection was taken over last, by the database of its records. */
  const lastOf = new Map<string, number>()
  let count = 0

  const set = (name: string, signature: string): void => {
    const before = signatures.get(name)
    if (before === signature) return
    signatures.set(name, signature)
    if (before === undefined) return
    count++
    lastOf.set(collectionDatabase(name), count)
  }

  return {
    isCurrent: (name, signature) => signatures.get(name) === signature,
    take: (name, signature) => {
      const before = signatures.get(name)
      set(name, signature)
      return () => {
        if (before !== undefined && signatures.get(name) === signature) signatures.set(name, before)
      }
    },
    giveUp: (name) => set(name, givenUp),
    isGivenUp: (name) => signatures.get(name) === givenUp,
    takeovers: () => count,
    permits: (writes, takeovers) => {
      if (takeovers === count) return true
      for (const [database, last] of lastOf) {
        if (last > takeovers && (writes.isCleared(database) || writes.entriesOf(database).size > 0)) return false
      }
      return true
    }
  }
}
