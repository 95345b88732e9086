/**
 * The writes of several batches. Each batch is a version.
 *
 * A view shows the writes up to one version, even if more are added later. Making a view copies nothing. Freezing a set of
 * writes would copy it once for each batch.
 */
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { inRange, type PendingEntry, type PendingWrite, type Writes, type WriteSet } from "./writeSet.ts"

interface Version {
  readonly number: number
  readonly write: PendingWrite
}

/** The versions of one database, the oldest first. */
interface DatabaseVersions {
  readonly byKey: Map<ByteString, Array<Version>>
  /** The versions that cleared the database before their writes. */
  readonly clears: Array<number>
}

/** The writes of several batches. */
export interface VersionedWrites {
  readonly databases: Map<string, DatabaseVersions>
  /** The number of batches that were added. */
  version: number
}

/** Makes writes without a version. */
export const make = (): VersionedWrites => ({ databases: new Map(), version: 0 })

const databaseOf = (self: VersionedWrites, database: string): DatabaseVersions => {
  const known = self.databases.get(database)
  if (known !== undefined) return known
  const added: DatabaseVersions = { byKey: new Map(), clears: [] }
  self.databases.set(database, added)
  return added
}

/** Adds the writes of a batch as the next version. */
export const add = (self: VersionedWrites, writes: WriteSet): void => {
  const number = ++self.version
  for (const database of writes.cleared) databaseOf(self, database).clears.push(number)
  for (const [database, key, write] of writes) {
    const { byKey } = databaseOf(self, database)
    const versions = byKey.get(key)
    if (versions === undefined) byKey.set(key, [{ number, write }])
    else versions.push({ number, write })
  }
}

/** The version of the last clear up to a version; 0 if the database was not cleared. */
const clearBefore = (versions: DatabaseVersions | undefined, number: number): number =>
  versions?.clears.findLast((clear) => clear <= number) ?? 0

/** The last write of a key up to a version, unless its database was cleared after it. */
const writeAt = (
  versions: ReadonlyArray<Version> | undefined,
  number: number,
  cleared: number
): PendingWrite | undefined => {
  const last = versions?.findLast((version) => version.number <= number)
  return last === undefined || last.number < cleared ? undefined : last.write
}

/** Shows the writes up to the present version. */
export const view = ({ databases, version }: VersionedWrites): Writes => {
  const entriesOf = function*(database: string): Generator<PendingEntry> {
    const versions = databases.get(database)
    if (versions === undefined) return
    const cleared = clearBefore(versions, version)
    for (const [key, ofKey] of versions.byKey) {
      const write = writeAt(ofKey, version, cleared)
      if (write !== undefined) yield [key, write]
    }
  }
  const shown: Writes = {
    get: (database, key) => {
      const versions = databases.get(database)
      return writeAt(versions?.byKey.get(key), version, clearBefore(versions, version))
    },
    isCleared: (database) => clearBefore(databases.get(database), version) > 0,
    entriesOf,
    range: (database, range: KeyRange) => inRange(entriesOf(database), range),
    freeze: () => shown
  }
  return shown
}
