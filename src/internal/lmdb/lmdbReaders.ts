/**
 * Lists the processes that have a store open, and the slots of LMDB's table of readers.
 */
import type * as Exit from "effect/Exit"
import type { EngineReaders, ReaderSlot } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { type LmdbEnvironment, run } from "./lmdbEnvironment.ts"
import { toHolder } from "./storeHolders.ts"

/** Reads a line of LMDB's list: a process, a thread, and the transaction that it reads, or `-`. */
const slotIn = (line: string): ReadonlyArray<ReaderSlot> => {
  const [, processId, transaction] = /^\s*(\d+)\s+[\da-f]+\s+(\d+|-)\s*$/.exec(line) ?? []
  return processId === undefined || transaction === undefined
    ? []
    : [{ processId: Number(processId), transactionId: transaction === "-" ? undefined : Number(transaction) }]
}

/** Lists the other processes that have the store open, and all slots that are taken. */
export const list = (self: LmdbEnvironment): Exit.Exit<EngineReaders, EngineFailure> =>
  run(self, "list the readers", ({ root }) => ({
    processes: self.lock.others().map(toHolder),
    slots: root.readerList().split("\n").flatMap(slotIn)
  }))

/** Frees the slots of processes that have ended. Returns their number. */
export const clear = (self: LmdbEnvironment): Exit.Exit<number, EngineFailure> =>
  run(self, "free reader slots", ({ root }) => root.readerCheck())
