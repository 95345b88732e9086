/**
 * Follows the change log: gives the commits of all processes after a transaction, and then the new commits.
 *
 * It reads all changes from the log, also those that are committed while it waits. So it misses none between old and new
 * changes, and a slow follower needs no memory.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CommittedChanges, LogSubscriptionOptions, Subscription } from "../../Backend.ts"
import { ChangesMissed, type EngineFailure } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import * as ChangeLog from "./changeLog.ts"
import type { LoggedTransaction } from "./changeLogRecord.ts"
import * as CommitEvents from "./commitEvents.ts"

/** The changes of a transaction that a follower subscribes to; `undefined` if it has none. */
const changesOf = (
  { databases, transactionId }: LoggedTransaction,
  { before = "nothing", contains, database }: LogSubscriptionOptions
): CommittedChanges | undefined => {
  const changed = databases.find(({ name }) => name === database)
  const writes = changed?.writes.filter(([key]) => contains(key)) ?? []
  if (changed === undefined || (!changed.isCleared && writes.length === 0)) return undefined
  return {
    transactionId,
    isCleared: changed.isCleared,
    expired: changed.expired,
    writes: before === "value" ? writes : writes.map(([key, value, found]) => [key, value, found !== false])
  }
}

/** Subscribes to the log, until the scope closes. */
export const make = Effect.fnUntraced(function*(
  events: CommitEvents.CommitEvents,
  { path }: { readonly path: string },
  options: LogSubscriptionOptions
): Effect.fn.Return<Subscription<EngineFailure>, ChangesMissed | EngineFailure, Scope.Scope> {
  const { before, pollInterval, since } = options
  // However many commits there were, they cause one read. So the queue keeps only the last.
  const commits = yield* CommitEvents.subscribe(events, { pollInterval, capacity: 1 })
  let position = since
  let isEnded = false
  let queued: ReadonlyArray<CommittedChanges> = []

  const missed = Effect.suspend(() => Effect.fail(new ChangesMissed({ path, capacity: 0, since: position })))

  /** Reads the next part of the log. Returns `false` at its end. */
  const readFrom = (snapshot: CommitEvents.EngineSnapshot): Effect.Effect<boolean, ChangesMissed | EngineFailure> =>
    Settled.flatMap(
      ChangeLog.readAfter(snapshot, position, before === "value"),
      (part): Effect.Effect<boolean, ChangesMissed> => {
        if (part === undefined) return missed
        const hasMore = part.position > position
        position = part.position
        queued = part.transactions.flatMap((transaction) => changesOf(transaction, options) ?? [])
        return Effect.succeed(hasMore)
      }
    )

  const readMore = CommitEvents.withSnapshot(events, readFrom)

  /** Reads more while the store is open. After the close, ends the subscription: the log keeps what was not read. */
  const readOpen = Effect.catchTag(
    readMore,
    "EngineFailure",
    (error): Effect.Effect<never, EngineFailure | Cause.Done> => isEnded ? Cause.done() : Effect.fail(error)
  )

  const take: Subscription<EngineFailure>["take"] = Effect.suspend((): Subscription<EngineFailure>["take"] => {
    const [next, ...rest] = queued
    if (next !== undefined) {
      queued = rest
      return Effect.succeed(next)
    }
    return Effect.flatMap(readOpen, (hasMore) => hasMore ? take : Effect.andThen(commits.take, take))
  })

  yield* CommitEvents.withSnapshot(
    events,
    (snapshot) => since > snapshot.transactionId ? missed : Effect.asVoid(readFrom(snapshot))
  )
  return {
    take,
    end: () => {
      isEnded = true
      commits.end()
    }
  }
})
