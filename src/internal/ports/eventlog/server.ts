/**
 * What both kinds of server storage have in common: the id of the server, the keys with which clients sign, and the list of
 * a store id, whose next number is its head.
 *
 * The methods of a server storage fail with nothing, so an error of the store is a defect.
 */
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PollOptions } from "../../../Change.ts"
import type { OpenError } from "../../../Collection.ts"
import { Store } from "../../../Store.ts"
import { Closed } from "../../../StoreError.ts"
import type { StoreService } from "../../../StoreService.ts"
import { storageKey } from "../storageKey.ts"
import * as Heads from "./heads.ts"
import * as Kept from "./kept.ts"

/** A server storage. */
export interface Server {
  readonly store: StoreService
  readonly kind: "unencrypted" | "encrypted"
  readonly name: string
  readonly heads: Heads.Heads
  readonly kept: Effect.Success<typeof Kept.open>
  readonly remoteId: EventJournal.RemoteId
}

/** Opens a server storage, and follows its commits until the scope closes. The id of the server is made once. */
export const make = Effect.fnUntraced(
  function*(
    kind: Server["kind"],
    name: string,
    options: PollOptions
  ): Effect.fn.Return<Server, OpenError | Kept.KeptError, Store | Scope.Scope> {
    const kept = yield* Kept.open
    const made = Effect.sync(() => ({ id: "", bytes: EventJournal.makeRemoteIdUnsafe() }))
    const { bytes } = yield* Kept.keepFirst(kept, [`${kind} server`, name, ""], made)
    return {
      store: yield* Store,
      kind,
      name,
      heads: yield* Heads.make(options),
      kept,
      remoteId: EventJournal.RemoteId.make(bytes)
    }
  },
  Effect.withTracerEnabled(false)
)

/** Makes errors of the store defects, and begins no spans. */
export const orDie = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
  effect.pipe(Effect.withTracerEnabled(false), Effect.orDie)

/** Returns the key with which a client signs: the first that was given for it. */
export const sessionKey = (
  { kept, kind, name }: Server,
  publicKey: string,
  signingPublicKey: Uint8Array
): Effect.Effect<Uint8Array<ArrayBuffer>> =>
  Kept.keepFirst(
    kept,
    [`${kind} session`, name, publicKey],
    Effect.succeed({ id: publicKey, bytes: signingPublicKey })
  ).pipe(Effect.map(({ bytes }) => Uint8Array.from(bytes)), orDie)

/** Returns the key of the list with these ids: a store id, or a public key and a store id. */
export const listOf = ({ name }: Server, ...ids: ReadonlyArray<string>): string =>
  storageKey(JSON.stringify([name, ...ids]))

/** Takes the next numbers of a list, inside a transaction. Returns the first of them. */
export const takeNumbers = Effect.fnUntraced(function*(
  { heads, kind }: Server,
  list: string,
  first: number,
  count: number
) {
  const { next } = yield* Heads.read(heads, [kind, list], { next: first })
  yield* heads.records.put([kind, list], { next: next + count })
  return next
})

/** Streams a list from a number on, until the store closes. */
export const follow = <A, E>(
  { heads, kind }: Server,
  list: string,
  from: number,
  readFrom: (from: number) => Effect.Effect<readonly [items: ReadonlyArray<A>, next: number], E | Closed>
): Stream.Stream<A> =>
  Heads.tail(heads, [kind, list], from, (next) => Effect.withTracerEnabled(readFrom(next), false)).pipe(
    Stream.catchIf((error) => error instanceof Closed, () => Stream.empty),
    Stream.orDie
  )
