/**
 * Commits to an open environment, and shows readers the state before the commit until it ends.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ABORT } from "lmdb"
import { type Batch, EngineFull, type Plan } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as CloseRecord from "./file/closeRecord.ts"
import { type LmdbEnvironment, openedFiles, run } from "./lmdbEnvironment.ts"
import { failure } from "./lmdbErrors.ts"
import { type Files, isWritable } from "./lmdbFiles.ts"
import { mustResize } from "./lmdbResize.ts"
import { openReader } from "./lmdbSnapshots.ts"
import { type Decide, decideBy, type Outcome, transact } from "./lmdbTransaction.ts"

/** Shows readers the result of a commit from now on. */
const endCommit = (self: LmdbEnvironment): void => {
  self.beforeCommit?.release()
  self.beforeCommit = undefined
  self.isCommitting = false
}

/** Runs a plan in a write transaction, and commits the batch that it returns. */
const commitPlan = (self: LmdbEnvironment, files: Files, plan: Plan): Effect.Effect<Outcome, EngineFailure> =>
  Effect.suspend(() => {
    const { file, identity, inTransaction, mapped: { mapSize } } = self
    let batch: Batch | undefined
    const decide: Decide = (transactionId) => {
      const refused = identity.refusal("commit")
      if (refused !== undefined) throw refused
      batch = decideBy(plan, inTransaction, transactionId)
      return batch
    }
    const end = (outcome: Outcome): Outcome => {
      endCommit(self)
      if (typeof outcome === "number") {
        self.lastTransaction = outcome
        batch?.onWritten?.()
      }
      return outcome
    }
    return Effect.tryPromise({
      try: () => {
        // Frees the slots of processes that died while they read. Their slots would keep LMDB from reusing pages.
        files.root.readerCheck()
        // If the reader table is full, the commit runs without this reader: writing matters more than reads meanwhile.
        const reader = run(self, "snapshot", () => openReader(self, files))
        self.isCommitting = true
        self.beforeCommit = Exit.isSuccess(reader) ? reader.value : undefined
        if (!isWritable(files)) throw new Error("the database is read-only")
        return transact(files, { mapSize, file, abort: ABORT }, decide).then(end)
      },
      catch: (cause) => {
        endCommit(self)
        // After an error of the disk, nobody knows what is in the file.
        self.closeRecord.isSound = false
        return failure("commit")(cause)
      }
    })
  })

/** Commits to a file whose close record is empty. */
const commitChecked = (
  self: LmdbEnvironment,
  plan: Plan
): Effect.Effect<number | undefined, EngineFull | EngineFailure> =>
  openedFiles(self, "commit").pipe(
    Effect.flatMap((files): Effect.Effect<Outcome, EngineFailure> => {
      const { mapSize } = self.mapped
      return mustResize(self)
        ? Effect.succeed(new EngineFull({ mapSize, needed: mapSize }))
        : self.lock.committing(commitPlan(self, files, plan))
    }),
    Effect.flatMap((outcome) => outcome instanceof EngineFull ? Effect.fail(outcome) : Effect.succeed(outcome)),
    Effect.uninterruptible
  )

export const commit = (
  self: LmdbEnvironment,
  plan: Plan
): Effect.Effect<number | undefined, EngineFull | EngineFailure> =>
  Effect.suspend(() =>
    self.closeRecord.isEmptied
      ? commitChecked(self, plan)
      // A closed environment must not change the record that its close, or a later one, has written.
      : Effect.uninterruptible(Effect.andThen(
        openedFiles(self, "commit"),
        Effect.andThen(CloseRecord.beforeCommit(self.closeRecord), commitChecked(self, plan))
      ))
  )
