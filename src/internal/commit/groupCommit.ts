/**
 * Group commit: commits several atomic batches, and the pending writes before them, in one transaction of LMDB.
 *
 * All writes of an atomic batch are committed or none, and only if its precondition is true: everything that the batch
 * was computed from is unchanged. The batches of a group decide one after the other, inside one write transaction of
 * LMDB, and each sees the writes of the batches before it. So several transactions of a program share one wait for the
 * disk. If two of them conflict, the first one is committed. The transactions of the others run again before that
 * wait is over, on the state that this transaction is about to leave (`nextState.ts`).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Tracer from "effect/Tracer"
import type { Read, Reader, Step } from "../../Backend.ts"
import type { Batch, Reader as EngineReader, Write } from "../../Engine.ts"
import { type CommitError, type EngineFailure, MapFull } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { observed } from "../buffer/observedWrites.ts"
import { fromWrites, hasOnlyDeletions, toBatch, type Writes, WriteSet } from "../buffer/writeSet.ts"
import type { Work } from "../lmdb/mapGrowth.ts"
import { over } from "../reader/overlay.ts"
import * as Settled from "../settled.ts"
import * as Committer from "./committer.ts"
import type { ForeignCommits } from "./foreignCommits.ts"

/** Writes of which all are committed or none. */
export interface AtomicBatch {
  /** The expected writes. If the batch decides on other writes, those write the same records. */
  readonly writes: WriteSet
  /**
   * Decides, inside LMDB's write transaction, what the batch writes. Returns `undefined` if it writes nothing. Runs again
   * if the transaction is tried again: only the last run counts.
   */
  readonly decide: (present: EngineReader) => Exit.Exit<WriteSet | undefined, EngineFailure>
  /** Batches of a higher priority are decided first. */
  readonly priority: number
  /** How the batch becomes a part of the next state before it is committed. `undefined`: not at all. */
  readonly acceptance?: Acceptance | undefined
}

/** What predicts the result of a batch before its commit, and the callback for its acceptance. */
export interface Acceptance {
  /** What the batch was computed from. */
  readonly reads: Iterable<Read>
  /** Runs when it is accepted. */
  readonly onAccepted: () => void
}

/** Makes a batch that writes only if a precondition is true inside LMDB's write transaction. */
export const conditional = (
  writes: WriteSet,
  precondition: (present: Reader) => Effect.Effect<boolean, EngineFailure>,
  priority = 0,
  acceptance?: Acceptance
): AtomicBatch => ({
  writes,
  decide: (present) => Settled.map(Settled.exitOf(precondition(present)), (isTrue) => isTrue ? writes : undefined),
  priority,
  acceptance
})

/** An atomic batch that is one read-modify-write step. */
export interface StepBatch<A, E> extends AtomicBatch {
  /** The result of the last run of the step. Call it after the commit of the batch. */
  readonly outcome: () => Exit.Exit<A, E>
}

/**
 * Makes a batch that reads and writes inside LMDB's write transaction, during which no other process can
 * write. A step that fails or throws writes nothing. It does not fail the transaction, because other batches share it.
 */
export const stepBatch = <A, E>(
  step: (present: Reader) => Effect.Effect<Step<A>, E>,
  expected: Write
): StepBatch<A, E> => {
  let outcome: Exit.Exit<A, E> = Exit.die(new Error("the step was not run"))
  return {
    writes: fromWrites([expected]),
    decide: (present) => {
      const run = Result.try(() => step(present))
      const taken = Result.isFailure(run) ? Exit.die(run.failure) : Settled.exitOf(run.success)
      outcome = Settled.map(taken, ({ result }) => result)
      return Exit.succeed(
        Exit.isFailure(taken) || taken.value.writes.length === 0 ? undefined : fromWrites(taken.value.writes)
      )
    },
    priority: 0,
    outcome: () => outcome
  }
}

/**
 * Converts the error of a commit for the fiber that submitted a batch. The writes of a batch do not stay pending, as those
 * of a memtable do.
 */
const failureOf = ({ writes }: AtomicBatch) => (error: CommitError): CommitError =>
  error._tag === "MapFull"
    ? new MapFull({ limit: error.limit, used: error.used, pending: writes.size, outcome: "notMade" })
    : error

/** An atomic batch and the fiber that waits for it. */
export interface Submission {
  readonly batch: AtomicBatch
  /** Completes with `true` if the batch has written. */
  readonly outcome: Deferred.Deferred<boolean, CommitError>
  state:
    /** No commit has taken it. */
    | { readonly _tag: "Waiting" }
    /** The running commit includes it. `writes` is what it decided to write in its last run, if anything. */
    | { readonly _tag: "Committing"; readonly writes: WriteSet | undefined }
    /** Its `outcome` is complete, or will be at the end of the current turn of the event loop. */
    | { readonly _tag: "Ended"; readonly isMade: boolean }
  /** Whether its fiber still waits. It does not after an interruption. */
  isAwaited: boolean
  /** The span of that fiber. */
  readonly span: Tracer.AnySpan | undefined
  /** Whether the batch was accepted: it is decided before those that were not. */
  isAccepted: boolean
}

/** Makes a submission that no commit has taken. */
export const submissionOf = (batch: AtomicBatch, span: Tracer.AnySpan | undefined): Submission => ({
  batch,
  span,
  outcome: Deferred.makeUnsafe(),
  state: { _tag: "Waiting" },
  isAwaited: true,
  isAccepted: false
})

/** The functions and parts of the commit queue that a group commit uses. */
export interface GroupContext {
  readonly committer: Committer.Committer
  readonly foreignCommits: ForeignCommits
  /** Seals the active memtable if it has writes. */
  readonly seal: () => Memtable.Memtable | undefined
  /** Notes what the batches write, as soon as it is certain that it fits. */
  readonly onFitted: (writes: WriteSet) => void
  /** Ends the commit of a memtable. With `isReported`, a fiber receives its error. */
  readonly end: (
    memtable: Memtable.Memtable,
    exit: Exit.Exit<void, CommitError>,
    isReported: boolean
  ) => Effect.Effect<void>
}

const noWrites = new WriteSet()

/**
 * Ends the batches that write nothing, before the commit waits for the disk. Their transactions run again during that
 * wait. It runs inside LMDB's write transaction, so it resumes their fibers after the current turn of the event loop.
 */
const endUnwritten = (submissions: ReadonlyArray<Submission>): void => {
  for (const submission of submissions) {
    if (submission.state._tag !== "Committing" || submission.state.writes !== undefined) continue
    submission.state = { _tag: "Ended", isMade: false }
    queueMicrotask(() => Deferred.doneUnsafe(submission.outcome, Exit.succeed(false)))
  }
}

/** Lets each batch decide from the state after the pending writes, and collects the writes of all batches. */
const collectWrites = (
  submissions: ReadonlyArray<Submission>,
  pending: Writes,
  present: EngineReader
): Exit.Exit<WriteSet, EngineFailure> => {
  // The writes of a single batch need not be copied.
  const isSingle = submissions.length === 1
  let collected = new WriteSet()
  const state = over(collected, over(pending, present))
  for (const submission of submissions) {
    if (submission.state._tag === "Ended") continue
    const decided = submission.batch.decide(state)
    if (Exit.isFailure(decided)) return Exit.failCause(decided.cause)
    const writes = decided.value
    submission.state = { _tag: "Committing", writes }
    if (writes === undefined) continue
    if (isSingle) collected = writes
    else collected.addAll(writes)
  }
  return Exit.succeed(collected)
}

/** Makes what the transaction writes: the pending writes in `included`, and then the writes of the batches. */
const batchOf = (
  { onFitted }: GroupContext,
  submissions: ReadonlyArray<Submission>,
  collected: WriteSet,
  included: WriteSet
): Batch | undefined => {
  if (included.size === 0 && collected.isEmpty) return undefined
  const all = included.size === 0 ? collected : fromWrites(included)
  if (all !== collected) all.addAll(collected)
  return {
    ...toBatch(all),
    onFitted: () => {
      onFitted(collected)
      endUnwritten(submissions)
    }
  }
}

const writesOnlyDeletions = ({ state }: Submission): boolean =>
  state._tag !== "Committing" || state.writes === undefined || hasOnlyDeletions(state.writes)

/** Describes the commit of a group together with all writes of a memtable. */
const groupWork = (
  context: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable | undefined
): Work => {
  const pending = memtable?.writes ?? noWrites
  return {
    plan: (present, id) => {
      if (memtable !== undefined) Memtable.enterTransaction(memtable)
      return Settled.flatMap(
        context.foreignCommits.repair(pending, memtable?.foreignAtStart ?? 0, present, id),
        (repaired) =>
          Settled.map(
            collectWrites(submissions, repaired, present),
            (collected) => batchOf(context, submissions, collected, repaired)
          )
      )
    },
    size: submissions.reduce((size, { batch }) => size + batch.writes.size, pending.size),
    isFreeing: () => hasOnlyDeletions(pending) && submissions.every(writesOnlyDeletions)
  }
}

/**
 * Describes the commit of one batch ahead of the writes of a memtable, which the batch reads. Other fibers have seen the
 * batch after the writes that it has read, so these are committed with it. After a crash, the file would otherwise
 * have the batch without them.
 */
const aheadWork = (context: GroupContext, submission: Submission, memtable: Memtable.Memtable): Work => {
  const { foreignCommits } = context
  const { batch: { writes } } = submission
  const seen = memtable.foreignAtStart
  let included = Memtable.neededBy(memtable, writes, noWrites)
  return {
    plan: (present, id) => {
      Memtable.enterTransaction(memtable)
      const read = new WriteSet()
      return Settled.flatMap(foreignCommits.repair(memtable.writes, seen, present, id), (repaired) => {
        const pending = observed(repaired, (database, key, write) => read.set(database, key, write))
        return Settled.flatMap(collectWrites([submission], pending, present), (collected) => {
          included = Memtable.neededBy(memtable, writes, collected.isEmpty ? noWrites : read)
          return Settled.map(
            foreignCommits.repair(included, seen, present, id),
            (needed) => batchOf(context, [submission], collected, needed)
          )
        })
      })
    },
    size: writes.size + included.size,
    isFreeing: () => hasOnlyDeletions(included) && writesOnlyDeletions(submission)
  }
}

const commitWork = (
  { committer }: GroupContext,
  work: Work,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable | undefined
): Effect.Effect<void, CommitError> => {
  const spans = function*() {
    for (const { span } of submissions) if (span !== undefined) yield span
    yield* memtable?.spans ?? []
  }
  return Committer.commit(committer, work, spans)
}

const commitBatches = (
  context: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable | undefined
): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => commitWork(context, groupWork(context, submissions, memtable), submissions, memtable))

const isAwaited = (submissions: ReadonlyArray<Submission>): boolean =>
  submissions.some((submission) => submission.isAwaited && submission.state._tag !== "Ended")

/**
 * Whether a batch clears a database and the pending writes could not be committed, for whatever reason. The batch is then
 * committed before them: it would delete them anyway.
 */
const isFailedClear = ({ batch }: Submission, pending: Exit.Exit<void, CommitError>): boolean =>
  Exit.isFailure(pending) && batch.writes.cleared.size > 0

/** Commits one batch if the pending writes before it cannot be committed with it. */
const commitBefore = Effect.fnUntraced(function*(
  context: GroupContext,
  submission: Submission,
  memtable: Memtable.Memtable
): Effect.fn.Return<void, CommitError> {
  const ahead = Effect.suspend(() =>
    commitWork(context, aheadWork(context, submission, memtable), [submission], memtable)
  )
  const alone = yield* Effect.exit(ahead)
  if (Exit.isFailure(alone)) {
    const exit = yield* Effect.exit(Committer.commitMemtable(context.committer, memtable))
    yield* context.end(memtable, exit, submission.isAwaited)
    yield* exit
    return yield* commitBatches(context, [submission], undefined)
  }
  if (memtable.writes.size === 0) return yield* context.end(memtable, alone, submission.isAwaited)
  // The batch is committed, so its fiber must not receive an error of the older writes.
  const exit = yield* Effect.exit(Committer.commitMemtable(context.committer, memtable))
  yield* context.end(memtable, exit, false)
})

/** Commits a group together with a memtable. */
const commitAfter = Effect.fnUntraced(function*(
  context: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable
): Effect.fn.Return<void, CommitError> {
  const together = yield* Effect.exit(commitBatches(context, submissions, memtable))
  const [submission, ...others] = submissions
  if (
    submission !== undefined && others.length === 0 &&
    (Committer.didNotFit(together) || isFailedClear(submission, together))
  ) {
    return yield* commitBefore(context, submission, memtable)
  }
  const exit = Committer.didNotFit(together)
    ? yield* Effect.exit(Committer.commitMemtable(context.committer, memtable))
    : together
  yield* context.end(memtable, exit, isAwaited(submissions))
  yield* together
})

/** Commits atomic batches after the pending writes, and completes their submissions. */
export const commit: (
  context: GroupContext,
  submissions: ReadonlyArray<Submission>
) => Effect.Effect<void> = Effect.fnUntraced(function*(context, submissions) {
  const memtable = context.seal()
  const exit = yield* Effect.exit(
    memtable === undefined
      ? commitBatches(context, submissions, undefined)
      : commitAfter(context, submissions, memtable)
  )
  // Tries each batch alone, so that a batch that does not fit does not fail the others.
  if (submissions.length > 1 && Committer.didNotFit(exit)) {
    for (const submission of submissions) {
      if (submission.state._tag !== "Ended") yield* commit(context, [submission])
    }
    return
  }
  for (const submission of submissions) {
    const { batch, outcome, state } = submission
    if (state._tag === "Ended") continue
    const isMade = state._tag === "Committing" && state.writes !== undefined
    submission.state = { _tag: "Ended", isMade: isMade && Exit.isSuccess(exit) }
    Deferred.doneUnsafe(outcome, Exit.mapBoth(exit, { onFailure: failureOf(batch), onSuccess: () => isMade }))
  }
})
