/**
 * Follows the commits that may have changed a collection: those of this process by its changes, those of others by polling.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { Change, PollOptions } from "../../Change.ts"
import type { ChangesMissed, Closed, KeyEncoding } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"
import * as Damage from "./damage.ts"

interface FollowOptions<K> {
  readonly store: StoreService
  readonly pollOptions: PollOptions
  /** The changes of the collection. */
  readonly changes: Stream.Stream<Change<K, unknown, unknown>, KeyEncoding | ChangesMissed | Closed>
  /** Is called with the keys that may have changed, or with `undefined` if all may have. */
  readonly onChange: (keys: ReadonlyArray<K> | undefined) => void
  readonly damage: Damage.Damage
  /** What follows for a record whose key does not decode, for the log. */
  readonly consequence: string
}

/** Follows the commits until the store closes. */
export const followCommits = <K>(
  { changes, consequence, damage, onChange, pollOptions, store }: FollowOptions<K>
) => {
  const all = Effect.sync(() => onChange(undefined))

  const ownCommits: Effect.Effect<void, Closed> = Stream.runForEachArray(changes, (part) =>
    Effect.sync(() => {
      const keys = part.flatMap((change) => change._tag === "Clear" ? [] : [change.key])
      onChange(keys.length < part.length ? undefined : keys)
    })).pipe(
      // A key that does not decode ends the stream, and the changes after it are missed.
      Effect.catchTag("KeyEncoding", (error) => Effect.andThen(Damage.report(damage, error, consequence), again())),
      Effect.catchTag("ChangesMissed", () => again())
    )

  // It subscribes again before it calls `onChange`, so that what is read then has all that was missed.
  const again = () => Effect.all([ownCommits, all], { concurrency: "unbounded", discard: true })

  const otherCommits = Stream.runForEach(store.commits(pollOptions), ({ isOwn }) => isOwn ? Effect.void : all).pipe(
    Effect.tapError((error) =>
      error._tag === "Closed"
        ? Effect.void
        : Effect.logWarning("Failed to follow the commits of other processes", error)
    ),
    Effect.retry({ schedule: Schedule.spaced(500), while: ({ _tag }) => _tag !== "Closed" })
  )

  return Effect.all([ownCommits, otherCommits], { concurrency: "unbounded", discard: true }).pipe(
    Effect.withTracerEnabled(false)
  )
}
