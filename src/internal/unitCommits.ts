/**
 * Commits of units: writes that are made as one, and only if what they go by still
 * holds when they are made.
 *
 * Units that wait while a commit runs, or are asked for in one turn, are committed together, in one transaction of
 * the engine that looks at them one after the other: each sees the writes of those
 * before it. So many transactions share one wait for the disk, and of those that
 * are in conflict the first is made.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Batch, Plan, Reader, Write } from "../Engine.ts"
import { type EngineFailure, MapFull } from "../StoreError.ts"
import type { CommitError, Work } from "./committer.ts"
import * as Generation from "./generation.ts"
import type { OtherCommits } from "./otherCommits.ts"
import { over } from "./overlay.ts"
import { type CommitContext, isMapFull, type PendingCommits } from "./pendingCommits.ts"
import { structuresName } from "./structureDefinitions.ts"
import { fromWrites, hasOnlyDeletions, WriteSet } from "./writeSet.ts"

/** Writes that are made as one. */
export interface Unit {
  /** What it is expected to write: where the transaction decides otherwise, the same records all the same. */
  readonly writes: WriteSet
  /**
   * Decides inside of the transaction what it writes; `undefined` where it writes nothing, because what it goes by
   * does not hold. It is run again when the transaction is tried again: only the last run counts.
   */
  readonly decide: (present: Reader) => Result.Result<WriteSet | undefined, EngineFailure>
  /** Units of a higher rank are looked at first. */
  readonly rank: number
}

/** What a step of reading and writing comes to. */
export interface Step<A> {
  readonly result: A
  /** What is written, as one. */
  readonly writes: ReadonlyArray<Write>
}

/** Commits of units. */
export interface UnitCommits {
  /**
   * Commits a unit, after the writes that are pending; `false` when it was decided inside of
   * the transaction that it writes nothing. Whether it is refused is asked in the same step in which it is taken:
   * between two steps of its caller the store may close, and nobody would commit it.
   */
  readonly commitUnit: <E>(
    unit: Unit,
    refusal: () => Effect.Effect<never, E> | undefined
  ) => Effect.Effect<boolean, CommitError | E>
  /** Whether a unit that writes to one of the same keys is being committed: what it writes is visible to nobody yet. */
  readonly isInUnit: (writes: ReadonlyArray<Write>) => boolean
  /** Waits until no unit is being committed. */
  readonly awaitUnit: Effect.Effect<void>
  /** Waits for all units that were asked for. What commits them ends with the store. */
  readonly finish: Effect.Effect<void>
}

/** A unit that is made if a condition holds inside of the transaction. */
export const conditionalUnit = (
  writes: WriteSet,
  holds: (present: Reader) => Result.Result<boolean, EngineFailure>,
  rank = 0
): Unit => ({ writes, decide: (present) => Result.map(holds(present), (isMade) => isMade ? writes : undefined), rank })

/** A unit that is one step of reading and writing. */
export interface StepUnit<A, E> extends Unit {
  /** What the last run of the step came to, once the unit was committed. */
  readonly outcome: () => Exit.Exit<A, E>
}

/**
 * A unit that reads and writes inside of the transaction, where no process can write meanwhile. A step that fails
 * or throws writes nothing, and is no failure of the transaction, which others share.
 */
export const stepUnit = <A, E>(
  step: (present: Reader) => Result.Result<Step<A>, E>,
  expected: Write
): StepUnit<A, E> => {
  let outcome: Exit.Exit<A, E> = Exit.die(new Error("the step was not run"))
  return {
    writes: fromWrites([expected]),
    decide: (present) => {
      const run = Result.try(() => step(present))
      if (Result.isFailure(run)) {
        outcome = Exit.die(run.failure)
        return Result.succeed(undefined)
      }
      const taken = run.success
      outcome = Result.isFailure(taken) ? Exit.fail(taken.failure) : Exit.succeed(taken.success.result)
      return Result.succeed(
        Result.isFailure(taken) || taken.success.writes.length === 0 ? undefined : fromWrites(taken.success.writes)
      )
    },
    rank: 0,
    outcome: () => outcome
  }
}

/** What the failure of a commit is to the caller of a unit: other than pending writes, these were not made. */
const ofUnit = ({ writes }: Unit) => (error: CommitError): CommitError =>
  error._tag === "MapFull"
    ? new MapFull({ limit: error.limit, used: error.used, pending: writes.size, outcome: "notMade" })
    : error

/** A unit that is to be committed. */
interface Request {
  readonly unit: Unit
  readonly outcome: Deferred.Deferred<boolean, CommitError>
  isBegun: boolean
  /** Whether its caller still wants to know. */
  isAwaited: boolean
  /** What it writes, as the last look at it decided; `undefined` where it writes nothing. */
  made: WriteSet | undefined
}

/** Units that are being committed. */
interface Group {
  readonly requests: ReadonlyArray<Request>
  readonly settled: Deferred.Deferred<void>
}

const noWrites = new WriteSet()

/** Decides what the units of a group write, behind pending writes of which some are made with them. */
const decide = (
  requests: ReadonlyArray<Request>,
  pending: WriteSet,
  withThem: WriteSet,
  present: Reader
): Result.Result<Batch | undefined, EngineFailure> => {
  const [first, ...others] = requests
  // One that stands alone need not be copied.
  const isSingle = first !== undefined && others.length === 0 && withThem.size === 0
  let made = new WriteSet()
  const seen = over(made, over(pending, present))
  for (const request of requests) {
    const decided = request.unit.decide(seen)
    if (Result.isFailure(decided)) return Result.fail(decided.failure)
    request.made = decided.success
    if (request.made === undefined) continue
    if (isSingle) made = request.made
    else made.addAll(request.made)
  }
  if (withThem.size === 0) {
    return Result.succeed(made.isEmpty ? undefined : { clear: [...made.cleared], writes: made.toArray() })
  }
  const all = fromWrites(withThem)
  all.addAll(made)
  return Result.succeed({ clear: [...all.cleared], writes: all.toArray() })
}

/** The work of making those units of a group that hold, behind a generation of which some writes are made with them. */
const workOf = (
  requests: ReadonlyArray<Request>,
  generation: Generation.Generation | undefined,
  withThem: WriteSet,
  { complete }: OtherCommits
): Work => {
  const since = generation?.since ?? 0
  const pending = generation?.writes ?? noWrites
  const plan: Plan = (present, transactionId) => {
    if (generation !== undefined) generation.isInTransaction = true
    return Result.flatMap(complete(pending, since, present, transactionId), (before) =>
      Result.flatMap(
        withThem === pending ? Result.succeed(before) : complete(withThem, since, present, transactionId),
        (made) => decide(requests, before, made, present)
      ))
  }
  return {
    plan,
    size: requests.reduce((size, { unit }) => size + unit.writes.size, withThem.size),
    isFreeing: () =>
      hasOnlyDeletions(withThem) && requests.every(({ made }) => made === undefined || hasOnlyDeletions(made))
  }
}

const isAwaited = (requests: ReadonlyArray<Request>): boolean => requests.some((request) => request.isAwaited)

/** A clear goes ahead of pending writes that cannot be committed, whatever the reason: they would be deleted anyway. */
const isFailedClear = ({ unit }: Request, pending: Exit.Exit<void, CommitError>): boolean =>
  Exit.isFailure(pending) && unit.writes.cleared.size > 0

/** Makes what commits the units of a store. */
export const make = (
  { committer, fork, oneCommit, options, otherCommits }: CommitContext,
  { commitWrites, observe, settle, withGeneration }: PendingCommits
): UnitCommits => {
  const waiting: Array<Request> = []
  let isRequested = false
  let group: Group | undefined

  const commitUnits = (
    requests: ReadonlyArray<Request>,
    generation: Generation.Generation | undefined,
    withThem: WriteSet
  ): Effect.Effect<void, CommitError> =>
    Effect.suspend(() => {
      const work = workOf(requests, generation, withThem, otherCommits)
      return observe(committer.commit(work), work.size)
    })

  /** Commits a unit where the pending writes before it cannot be. */
  const commitBefore = Effect.fnUntraced(function*(
    request: Request,
    generation: Generation.Generation
  ): Effect.fn.Return<void, CommitError> {
    // A pending group is only right as a whole: what the unit writes over takes the rest of its group along.
    const groups = Generation.groupsOf(generation, request.unit.writes)
    const alone = yield* Effect.exit(commitUnits([request], generation, groups))
    if (Exit.isFailure(alone)) {
      const exit = yield* Effect.exit(commitWrites(generation))
      yield* settle(generation, exit, request.isAwaited)
      yield* exit
      return yield* commitUnits([request], undefined, noWrites)
    }
    if (generation.writes.size === 0) return yield* settle(generation, alone, request.isAwaited)
    // The unit is committed: what becomes of the older writes is not its caller's concern.
    yield* settle(generation, yield* Effect.exit(commitWrites(generation)), false)
  })

  /** Commits a group whose writes come after those of a generation. */
  const commitAfter = Effect.fnUntraced(function*(
    requests: ReadonlyArray<Request>,
    generation: Generation.Generation
  ): Effect.fn.Return<void, CommitError> {
    const first = yield* Effect.exit(commitUnits(requests, generation, generation.writes))
    const [request, ...others] = requests
    if (request !== undefined && others.length === 0 && (isMapFull(first) || isFailedClear(request, first))) {
      return yield* commitBefore(request, generation)
    }
    yield* settle(
      generation,
      isMapFull(first) ? yield* Effect.exit(commitWrites(generation)) : first,
      isAwaited(requests)
    )
    yield* first
  })

  const commitRequests = (requests: ReadonlyArray<Request>): Effect.Effect<void, CommitError> =>
    withGeneration((generation) =>
      generation === undefined ? commitUnits(requests, undefined, noWrites) : commitAfter(requests, generation)
    )

  const run: (requests: ReadonlyArray<Request>) => Effect.Effect<void> = Effect.fnUntraced(function*(requests) {
    const exit = yield* Effect.exit(commitRequests(requests))
    // Each by itself: one that does not fit keeps no other from being made.
    if (requests.length > 1 && isMapFull(exit)) {
      for (const request of requests) yield* run([request])
      return
    }
    for (const { made, outcome, unit } of requests) {
      Deferred.doneUnsafe(outcome, Exit.mapBoth(exit, { onFailure: ofUnit(unit), onSuccess: () => made !== undefined }))
    }
  })

  /** Takes those who wait, by their rank, as many as make a batch. */
  const takeRequests = (): ReadonlyArray<Request> => {
    waiting.sort((a, b) => b.unit.rank - a.unit.rank)
    let bytes = 0
    let count = 0
    for (const { unit } of waiting) {
      if (count > 0 && bytes + unit.writes.bytes > options.batchBytes) break
      bytes += unit.writes.bytes
      count++
      // A step of the same transaction could read a record of it, and only definitions that are committed are known.
      if (unit.writes.entriesOf(structuresName).size > 0) break
    }
    const taken = waiting.splice(0, count)
    for (const request of taken) request.isBegun = true
    return taken
  }

  const commitGroup = Effect.suspend(() => {
    const settled = Deferred.makeUnsafe<void>()
    // Who writes to one of their keys from here on comes after them.
    group = { requests: waiting, settled }
    const runTaken = Effect.suspend(() => {
      isRequested = false
      const requests = takeRequests()
      group = { requests, settled }
      return requests.length === 0 ? Effect.void : run(requests)
    })
    // Units that are asked for in the same turn are one group.
    return Effect.ensuring(
      Effect.andThen(Effect.yieldNow, runTaken),
      Effect.sync(() => {
        group = undefined
        Deferred.doneUnsafe(settled, Exit.void)
      })
    )
  })

  const requestGroup = (): void => {
    if (isRequested || waiting.length === 0) return
    isRequested = true
    fork(Effect.uninterruptible(oneCommit.withPermit(Effect.andThen(commitGroup, Effect.sync(requestGroup)))))
  }

  return {
    commitUnit: <E>(unit: Unit, refusal: () => Effect.Effect<never, E> | undefined) =>
      Effect.suspend((): Effect.Effect<boolean, CommitError | E> => {
        const refused = refusal()
        if (refused !== undefined) return refused
        const request: Request = {
          unit,
          outcome: Deferred.makeUnsafe(),
          isBegun: false,
          isAwaited: true,
          made: unit.writes
        }
        waiting.push(request)
        requestGroup()
        return Effect.onInterrupt(Deferred.await(request.outcome), () => {
          request.isAwaited = false
          if (request.isBegun) return Effect.ignore(Deferred.await(request.outcome))
          waiting.splice(waiting.indexOf(request), 1)
          Deferred.doneUnsafe(request.outcome, Exit.succeed(false))
          return Effect.void
        })
      }),
    isInUnit: (writes) => {
      if (group === undefined) return false
      const { requests } = group
      return writes.some(([database, key]) => requests.some(({ unit }) => unit.writes.touches(database, key)))
    },
    awaitUnit: Effect.suspend(() => group === undefined ? Effect.void : Deferred.await(group.settled)),
    finish: Effect.gen(function*() {
      for (const { outcome } of [...(group?.requests ?? []), ...waiting]) yield* Effect.exit(Deferred.await(outcome))
    })
  }
}
