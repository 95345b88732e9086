/**
 * The next number of each numbered list of entries: of a journal, or of a store id on a server.
 *
 * Each write of entries also writes the head of its list, so two writers of one list conflict, and a commit that adds to a
 * list is a change of its head. Fibers that follow a list wait on a latch, which such a commit opens. Then they read the
 * entries of the list from the store. So a follower sees entries only after their commit, and misses none.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PollOptions } from "../../../Change.ts"
import type * as Collection from "../../../Collection.ts"
import { Store } from "../../../Store.ts"
import type { StoreService } from "../../../StoreService.ts"
import * as Damage from "../damage.ts"
import { followCommits } from "../followCommits.ts"
import * as PollInterval from "../pollInterval.ts"
import * as PortCollection from "../portCollection.ts"

const Kind = Schema.Literals(["journal", "unencrypted", "encrypted"])

/** What kind of list it is, and the key of the list. */
const Key = Schema.Tuple([Kind, Schema.String])

/** The key of a list. */
export type HeadKey = typeof Key.Type

const Head = Schema.Struct({
  /** The number of the next entry. */
  next: Schema.Int,
  /** The highest id in a journal. */
  latest: Schema.optionalKey(EventJournal.EntryId)
})

/** The head of a list. */
export type Head = typeof Head.Type

const open = PortCollection.make("effect.EventLog.heads", { key: Key, value: Head })

/** The heads of a store, and the fibers of this process that follow them. */
export interface Heads {
  readonly store: StoreService
  readonly records: Effect.Success<typeof open>
  /** The latches of the followers, by the key of the list. */
  readonly followers: Map<string, Set<Latch.Latch>>
}

const nameOf = ([kind, list]: HeadKey): string => `${kind}/${list}`

/** Opens the latches of the followers of some lists, or of all lists. */
const wake = ({ followers }: Heads, keys: ReadonlyArray<HeadKey> | undefined): void => {
  const names = keys?.map(nameOf) ?? [...followers.keys()]
  for (const name of names) followers.get(name)?.forEach((latch) => latch.openUnsafe())
}

/** Wakes followers after each commit that may concern them, until the store closes. */
const follow = (self: Heads, pollOptions: PollOptions): Effect.Effect<void> =>
  followCommits({
    store: self.store,
    pollOptions,
    changes: self.records.changes(),
    onChange: (keys) => wake(self, keys),
    damage: Damage.make(),
    consequence: "The key of a list of entries of an event log is damaged. Its followers do not get its entries"
  }).pipe(
    Effect.ignore,
    // The followers find that the store is closed.
    Effect.ensuring(Effect.sync(() => wake(self, undefined)))
  )

/** Opens the heads, and follows their changes until the scope closes. */
export const make = Effect.fnUntraced(
  function*(options: PollOptions): Effect.fn.Return<Heads, Collection.OpenError, Store | Scope.Scope> {
    yield* PollInterval.check(options)
    const self: Heads = { store: yield* Store, records: yield* open, followers: new Map() }
    yield* Effect.forkScoped(follow(self, options), { startImmediately: true })
    return self
  }
)

/** Reads the head of a list. A list without entries has the given head. */
export const read = (self: Heads, key: HeadKey, empty: Head) =>
  Effect.map(self.records.get(key), Option.getOrElse(() => empty))

/** Makes a latch that commits to a list open, until the scope closes. */
const subscribe = (self: Heads, key: HeadKey): Effect.Effect<Latch.Latch, never, Scope.Scope> => {
  const name = nameOf(key)
  return Effect.acquireRelease(
    Effect.sync(() => {
      const latch = Latch.makeUnsafe(false)
      const latches = self.followers.get(name) ?? new Set()
      latches.add(latch)
      self.followers.set(name, latches)
      return latch
    }),
    (latch) =>
      Effect.sync(() => {
        const latches = self.followers.get(name)
        latches?.delete(latch)
        if (latches?.size === 0) self.followers.delete(name)
      })
  )
}

/**
 * Streams what `readFrom` returns from a number on: first what is stored, and then what each commit adds. `readFrom` also
 * returns the number from which to read next.
 */
export const tail = <A, E, R>(
  self: Heads,
  key: HeadKey,
  first: number,
  readFrom: (from: number) => Effect.Effect<readonly [items: ReadonlyArray<A>, next: number], E, R>
): Stream.Stream<A, E, R> =>
  subscribe(self, key).pipe(
    Effect.map((latch) => {
      const nextPart = (from: number): Effect.Effect<readonly [Arr.NonEmptyReadonlyArray<A>, number], E, R> =>
        Effect.suspend(() => {
          // Closed before the read: a commit after the read opens the latch again.
          latch.closeUnsafe()
          return readFrom(from)
        }).pipe(
          Effect.flatMap(([items, next]) =>
            Arr.isReadonlyArrayNonEmpty(items)
              ? Effect.succeed([items, next] as const)
              : Effect.andThen(latch.await, nextPart(next))
          )
        )
      return Stream.flattenArray(Stream.unfold(first, nextPart))
    }),
    Stream.unwrap
  )
