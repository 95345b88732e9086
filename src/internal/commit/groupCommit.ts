/**
 * Group commit: takes several atomic batches, and the pending writes before them, to LMDB in
 * one transaction.
 *
 * An atomic batch is committed as one, and only if its precondition holds: that what it was
 * computed from is still what LMDB has. The batches of a group decide one after the other, inside
 * one write transaction of LMDB, and each sees the writes of those before it. So many transactions
 * of a program share one wait for the disk, and of those in conflict the first is committed.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { Batch, Plan, Reader as EngineReader, Write } from "../../Engine.ts"
import { type CommitError, type EngineFailure, MapFull } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { fromWrites, hasOnlyDeletions, WriteSet } from "../buffer/writeSet.ts"
import type { Work } from "../lmdb/mapGrowth.ts"
import { over } from "../reader/overlay.ts"
import * as Settled from "../settled.ts"
import * as Committer from "./committer.ts"
import type { ForeignCommits } from "./foreignCommits.ts"

/** Writes that are committed as one. */
export interface AtomicBatch {
  /** The writes that it is expected to make: a batch that decides otherwise writes to the same records. */
  readonly writes: WriteSet
  /**
   * Decides, inside LMDB's write transaction, what the batch writes; `undefined` where it writes
   * nothing, because its precondition does not hold. Runs again when the transaction is tried
   * again: only the last run counts.
   */
  readonly decide: (present: EngineReader) => Exit.Exit<WriteSet | undefined, EngineFailure>
  /** Batches of a higher priority are decided first. */
  readonly priority: number
}

/** Makes a batch that writes if a precondition holds inside LMDB's write transaction. */
export const conditional = (
  writes: WriteSet,
  holds: (present: Reader) => Effect.Effect<boolean, EngineFailure>,
  priority = 0
): AtomicBatch => ({
  writes,
  decide: (present) => Settled.map(Settled.exitOf(holds(present)), (isValid) => isValid ? writes : undefined),
  priority
})

/** An atomic batch that is one step of reading and writing. */
export interface StepBatch<A, E> extends AtomicBatch {
  /** What the last run of the step came to, once the batch was committed. */
  readonly outcome: () => Exit.Exit<A, E>
}

/**
 * Makes a batch that reads and writes inside LMDB's write transaction, where no other process can
 * write meanwhile. A step that fails or throws writes nothing, and does not fail the transaction,
 * which other batches share.
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

/** What the failure of a commit is to the fiber that submitted a batch: unlike pending writes, its own were not made. */
const failureOf = ({ writes }: AtomicBatch) => (error: CommitError): CommitError =>
  error._tag === "MapFull"
    ? new MapFull({ limit: error.limit, used: error.used, pending: writes.size, outcome: "notMade" })
    : error

/** An atomic batch and the fiber that waits for it. */
export interface Submission {
  readonly batch: AtomicBatch
  /** Completes with whether the batch wrote. */
  readonly outcome: Deferred.Deferred<boolean, CommitError>
  state:
    /** No commit has taken it. */
    | { readonly _tag: "Waiting" }
    /** A commit runs with it; `writes` is what it decided to write in the last run, if anything. */
    | { readonly _tag: "Taken"; readonly writes: WriteSet | undefined }
  /** Whether its fiber still waits, and was not interrupted. */
  isAwaited: boolean
}

/** Makes a submission that no commit has taken. */
export const submissionOf = (batch: AtomicBatch): Submission => ({
  batch,
  outcome: Deferred.makeUnsafe(),
  state: { _tag: "Waiting" },
  isAwaited: true
})

/** What a group commit works with. */
export interface GroupContext {
  readonly committer: Committer.Committer
  readonly foreignCommits: ForeignCommits
  /** Seals the active memtable, if it has writes. */
  readonly seal: () => Memtable.Memtable | undefined
  /** Ends the commit of a memtable; `isReported` says whether a fiber gets its error. */
  readonly end: (
    memtable: Memtable.Memtable,
    exit: Exit.Exit<void, CommitError>,
    isReported: boolean
  ) => Effect.Effect<void>
}

const noWrites = new WriteSet()

/**
 * Lets each batch decide by the state after the pending writes, and collects what they write.
 * `included` are the pending writes that the same transaction commits.
 */
const collectWrites = (
  submissions: ReadonlyArray<Submission>,
  pending: WriteSet,
  included: WriteSet,
  present: EngineReader
): Exit.Exit<Batch | undefined, EngineFailure> => {
  const [first, ...others] = submissions
  // The writes of a single batch need not be copied.
  const isSingle = first !== undefined && others.length === 0 && included.size === 0
  let collected = new WriteSet()
  const state = over(collected, over(pending, present))
  for (const submission of submissions) {
    const decided = submission.batch.decide(state)
    if (Exit.isFailure(decided)) return Exit.failCause(decided.cause)
    const writes = decided.value
    submission.state = { _tag: "Taken", writes }
    if (writes === undefined) continue
    if (isSingle) collected = writes
    else collected.addAll(writes)
  }
  if (included.size === 0) {
    return Exit.succeed(
      collected.isEmpty ? undefined : { clear: [...collected.cleared], writes: collected.toArray() }
    )
  }
  const all = fromWrites(included)
  all.addAll(collected)
  return Exit.succeed({ clear: [...all.cleared], writes: all.toArray() })
}

const writesOnlyDeletions = ({ state }: Submission): boolean =>
  state._tag !== "Taken" || state.writes === undefined || hasOnlyDeletions(state.writes)

/** The work of committing a group after a memtable, of which `included` is committed with it. */
const workOf = (
  { foreignCommits }: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable | undefined,
  included: WriteSet
): Work => {
  const seen = memtable?.seenForeign ?? 0
  const pending = memtable?.writes ?? noWrites
  const plan: Plan = (present, id) => {
    if (memtable !== undefined) Memtable.enterTransaction(memtable)
    return Settled.flatMap(foreignCommits.repair(pending, seen, present, id), (before) =>
      Settled.flatMap(
        included === pending ? Exit.succeed(before) : foreignCommits.repair(included, seen, present, id),
        (repaired) => collectWrites(submissions, before, repaired, present)
      ))
  }
  return {
    plan,
    size: submissions.reduce((size, { batch }) => size + batch.writes.size, included.size),
    isFreeing: () => hasOnlyDeletions(included) && submissions.every(writesOnlyDeletions)
  }
}

const commitBatches = (
  context: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable | undefined,
  included: WriteSet
): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => Committer.commit(context.committer, workOf(context, submissions, memtable, included)))

const isAwaited = (submissions: ReadonlyArray<Submission>): boolean =>
  submissions.some((submission) => submission.isAwaited)

/** A clear may overtake pending writes that cannot be committed, whatever the reason: it would delete them. */
const isFailedClear = ({ batch }: Submission, pending: Exit.Exit<void, CommitError>): boolean =>
  Exit.isFailure(pending) && batch.writes.cleared.size > 0

/** Commits one batch where the pending writes before it cannot be committed with it. */
const commitBefore = Effect.fnUntraced(function*(
  context: GroupContext,
  submission: Submission,
  memtable: Memtable.Memtable
): Effect.fn.Return<void, CommitError> {
  // A record and its index entries must be committed together: if the batch overwrites one of them, all are included.
  const included = Memtable.groupsOf(memtable, submission.batch.writes)
  const alone = yield* Effect.exit(commitBatches(context, [submission], memtable, included))
  if (Exit.isFailure(alone)) {
    const exit = yield* Effect.exit(Committer.commitMemtable(context.committer, memtable))
    yield* context.end(memtable, exit, submission.isAwaited)
    yield* exit
    return yield* commitBatches(context, [submission], undefined, noWrites)
  }
  if (memtable.writes.size === 0) return yield* context.end(memtable, alone, submission.isAwaited)
  // The batch is committed, so its fiber does not report an error of the older writes.
  const exit = yield* Effect.exit(Committer.commitMemtable(context.committer, memtable))
  yield* context.end(memtable, exit, false)
})

/** Commits a group together with a memtable. */
const commitAfter = Effect.fnUntraced(function*(
  context: GroupContext,
  submissions: ReadonlyArray<Submission>,
  memtable: Memtable.Memtable
): Effect.fn.Return<void, CommitError> {
  const together = yield* Effect.exit(commitBatches(context, submissions, memtable, memtable.writes))
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
      ? commitBatches(context, submissions, undefined, noWrites)
      : commitAfter(context, submissions, memtable)
  )
  // One by one: a batch that does not fit must not keep others from being committed.
  if (submissions.length > 1 && Committer.didNotFit(exit)) {
    for (const submission of submissions) yield* commit(context, [submission])
    return
  }
  for (const { batch, outcome, state } of submissions) {
    const onSuccess = () => state._tag === "Taken" && state.writes !== undefined
    Deferred.doneUnsafe(outcome, Exit.mapBoth(exit, { onFailure: failureOf(batch), onSuccess }))
  }
})
