/** Writes that tell which of them a reader has found. */
import type { ByteString } from "../../Key.ts"
import type { PendingWrite, Writes } from "./writeSet.ts"

/** Shows the same writes, and calls `onRead` with each one that is read. */
export const observed = (
  writes: Writes,
  onRead: (database: string, key: ByteString, write: PendingWrite) => void
): Writes => ({
  get: (database, key) => {
    const write = writes.get(database, key)
    if (write !== undefined) onRead(database, key, write)
    return write
  },
  isCleared: (database) => writes.isCleared(database),
  entriesOf: (database) => {
    const entries = [...writes.entriesOf(database)]
    for (const [key, write] of entries) onRead(database, key, write)
    return entries
  },
  range: (database, range) => {
    const entries = writes.range(database, range)
    for (const [key, write] of entries) onRead(database, key, write)
    return entries
  },
  freeze: () => observed(writes.freeze(), onRead)
})
