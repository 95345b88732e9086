/**
 * Reads an open environment: as it is now, as it was before the running commit, and in snapshots.
 */
import type * as Exit from "effect/Exit"
import type { Reader, Snapshot } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { findDatabases } from "./lmdbDatabases.ts"
import { filesOf, type LmdbEnvironment, run } from "./lmdbEnvironment.ts"
import type { Files } from "./lmdbFiles.ts"
import { countPresent, readIn, share, type SharedReader } from "./lmdbReader.ts"
import { figure } from "./pageCount.ts"

/** Opens a read transaction, for all databases that it shows. */
export const openReader = (self: LmdbEnvironment, files: Files): SharedReader => {
  const shown = findDatabases(self, files)
  const transaction = shown.root.useReadTransaction()
  const counts = new Map(Array.from(self.countedNames, (name) => [name, countPresent(shown.databases.get(name))]))
  const opened = (): Files => {
    filesOf(self.mapped)
    return shown
  }
  const call = <A>(operation: string, read: () => A) => run(self, operation, read)
  return share(transaction, readIn(opened, transaction, call, counts))
}

/** The state that callers outside a commit may see. */
export const visible = (self: LmdbEnvironment): Reader => self.beforeCommit?.reader ?? self.present

/** The same for a read of one database, which another process may have created. */
export const visibleWith = (self: LmdbEnvironment, name: string): Reader => {
  const { files } = self.mapped
  if (files !== undefined && !files.databases.has(name)) run(self, "open a database", () => findDatabases(self, files))
  return visible(self)
}

export const openSnapshot = (self: LmdbEnvironment): Exit.Exit<Snapshot, EngineFailure> =>
  run(self, "snapshot", (files): Snapshot => {
    const shared = self.beforeCommit ?? openReader(self, files)
    if (self.beforeCommit !== undefined) shared.share()
    self.openSnapshots++
    return {
      ...shared.reader,
      release: () => {
        self.openSnapshots--
        shared.release()
      }
    }
  })

/** Finds the number of the last visible transaction. */
export const lastTransactionOf = (self: LmdbEnvironment): Exit.Exit<number, EngineFailure> =>
  run(self, "transactionId", ({ root }) => {
    // LMDB shows a commit before its promise resolves, and readers must not see it earlier.
    if (self.isCommitting) return self.lastTransaction
    // The library reads for the rest of a turn what its reader saw first: reads after this must see this transaction.
    root.resetReadTxn()
    self.lastTransaction = figure(root.getStats(), "lastTxnId")
    return self.lastTransaction
  })
