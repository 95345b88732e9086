/**
 * Which requests can be decided by the same call: none of them may write what another one reads or writes.
 */
import type { Read } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { qualifiedKey, type WriteSet } from "../buffer/writeSet.ts"
import { contains } from "../key/keyRange.ts"
import { fingerprint } from "../reader/readSet.ts"

/** A request, as far as conflicts are concerned. */
export interface Request {
  readonly reads: Iterable<Read>
  readonly writes: WriteSet
}

/** What some requests write. */
export interface Group {
  readonly written: Set<string>
  readonly keysByDatabase: Map<string, Array<ByteString>>
  readonly cleared: Set<string>
}

/** Makes a group without requests. */
export const make = (): Group => ({
  written: new Set(),
  keysByDatabase: new Map(),
  cleared: new Set()
})

const readsWritten = ({ cleared, keysByDatabase, written }: Group, read: Read): boolean => {
  if (cleared.has(read.database)) return true
  switch (read._tag) {
    case "Value":
    case "Existence":
      return written.has(qualifiedKey(read.database, read.key))
    case "Count":
      return keysByDatabase.has(read.database)
    case "Range":
      return keysByDatabase.get(read.database)?.some((key) => contains(read.range, key)) === true
  }
}

/** Whether a write is of a key that the group writes. The group may read it: those requests are decided before it. */
const overwrites = ({ cleared, written }: Group, [database, key]: Write): boolean =>
  cleared.has(database) || written.has(qualifiedKey(database, key))

/** Whether a request can be decided by the call of a group, after the requests of the group. */
export const fits = (group: Group, { reads, writes }: Request): boolean => {
  for (const read of reads) if (readsWritten(group, read)) return false
  for (const write of writes) if (overwrites(group, write)) return false
  for (const database of writes.cleared) {
    if (group.cleared.has(database) || group.keysByDatabase.has(database)) return false
  }
  return true
}

/** Adds a request to a group. */
export const add = (group: Group, { writes }: Request): void => {
  for (const database of writes.cleared) group.cleared.add(database)
  for (const [database, key] of writes) {
    group.written.add(qualifiedKey(database, key))
    const keys = group.keysByDatabase.get(database)
    if (keys === undefined) group.keysByDatabase.set(database, [key])
    else keys.push(key)
  }
}

/** Whether what a request has read of a key differs from what was written. */
const isChanged = (read: Read, made: WriteSet): boolean => {
  if (read._tag !== "Value" && read._tag !== "Existence") return false
  const write = made.get(read.database, read.key)
  const present = write === undefined ? made.isCleared(read.database) ? null : undefined : write
  if (present === undefined) return false
  return read._tag === "Existence"
    ? read.exists !== (present !== null)
    : read.fingerprint !== (present === null ? undefined : fingerprint(present))
}

/** Whether a commit has changed what a request has read. Then no later commit can make the request. */
export const isRefutedBy = ({ reads }: Request, made: WriteSet): boolean => {
  for (const read of reads) if (isChanged(read, made)) return true
  return false
}
