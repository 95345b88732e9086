/**
 * Keeps the journal and the identity of Effect's `EventLog` in a store.
 *
 * It is the subpath `effect-lmdb/EventLog`.
 *
 * **Details**
 *
 * - The handlers of an `EventLog` run inside the transaction that stores their entries. What they write to collections of
 *   the same store is committed together with the entries, or not at all. That needs no `HandlerTransaction`. With
 *   `HandlerTransaction`, which is a transaction inside the other, it stays so.
 * - An entry is on disk when its write returns, and so is the progress of a remote.
 * - Local ids are higher than all ids in the journal, also if another process or a device whose clock is ahead made them.
 * - With the option `shared` of the store, several processes write to one journal. `changes` has the local entries of all
 *   of them.
 * - Every failure of a journal is an `EventJournalError`. Its `cause` is the error of the store.
 *
 * **Gotchas**
 *
 * If another fiber or process changes what a handler has read, the transaction conflicts. Then the handlers run again, with
 * the same entries. What they do besides calls on the store is not undone.
 *
 * **Example** (A journal, and what its handlers store)
 *
 * ```ts
 * import { Console, Effect, Layer, Option, Schema } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 * import * as LmdbEventLog from "effect-lmdb/EventLog"
 * import { EventGroup, EventLog } from "effect/eventlog"
 *
 * const Visits = Collection.make("visits", { key: Schema.String, value: Schema.Int })
 *
 * const Pages = EventGroup.empty.add({ tag: "Visited", primaryKey: (page) => page, payload: Schema.String })
 *
 * const PagesLive = EventLog.group(Pages, (handlers) =>
 *   handlers.handle("Visited", ({ payload: page }) =>
 *     Effect.gen(function*() {
 *       const visits = yield* Visits
 *       yield* visits.update(page, (count) => Option.some(Option.getOrElse(count, () => 0) + 1))
 *     }).pipe(Effect.orDie)))
 *
 * const schema = EventLog.schema(Pages)
 *
 * const program = Effect.gen(function*() {
 *   const log = yield* EventLog.EventLog
 *   yield* log.write({ schema, event: "Visited", payload: "home" })
 *   const visits = yield* Visits
 *   yield* Console.log(yield* visits.getOrFail("home"), (yield* log.entries).length) // => 1 1
 * })
 *
 * const Live = EventLog.layer(schema, PagesLive).pipe(
 *   Layer.provide([LmdbEventLog.layerJournal(), LmdbEventLog.layerIdentity()]),
 *   Layer.provideMerge(Store.layerTemp())
 * )
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @since 0.2.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLog from "effect/eventlog/EventLog"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { OpenError } from "./Collection.ts"
import * as Identity from "./internal/ports/eventlog/identity.ts"
import * as Journal from "./internal/ports/eventlog/journal.ts"
import type { KeptError } from "./internal/ports/eventlog/kept.ts"
import type { Store } from "./Store.ts"

/**
 * Options of a journal.
 *
 * @category options
 * @since 0.2.0
 */
export interface JournalOptions {
  /** Keeps several journals of one store apart. Default: `"default"`. */
  readonly name?: string | undefined
  /**
   * The time between two checks for commits of other processes. It has an effect only if the store has the option
   * `shared`. Default: 50 milliseconds.
   */
  readonly pollInterval?: Duration.Input | undefined
}

/**
 * Makes an event journal in the store of the context. Fails if its collections cannot be opened.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeJournal = Effect.fnUntraced(
  function*(
    options: JournalOptions = {}
  ): Effect.fn.Return<EventJournal.EventJournal["Service"], OpenError, Store | Scope.Scope> {
    const self = yield* Journal.make(options.name ?? "default", { pollInterval: options.pollInterval })
    return EventJournal.EventJournal.of({
      entries: Journal.entries(self),
      entriesById: (ids) => Journal.entriesById(self, ids),
      write: ({ effect, ...entry }) => Journal.writeMany(self, { entries: [entry], effect: ([first]) => effect(first) }),
      writeMany: (writeOptions) => Journal.writeMany(self, writeOptions),
      writeFromRemote: (importOptions) => Journal.writeFromRemote(self, importOptions),
      withRemoteUncommited: (remoteId, f) => Journal.withRemoteUncommited(self, remoteId, f),
      writeRemoteAcks: (ackOptions) => Journal.writeRemoteAcks(self, ackOptions),
      nextRemoteSequence: (remoteId) => Journal.nextRemoteSequence(self, remoteId),
      changes: Journal.changes(self),
      destroy: Journal.destroy(self),
      withLock: (storeId) => Journal.withLock(self, storeId)
    })
  }
)

/**
 * Provides `EventJournal` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerJournal = (
  options?: JournalOptions
): Layer.Layer<EventJournal.EventJournal, OpenError, Store> =>
  Layer.effect(EventJournal.EventJournal, makeJournal(options))

/**
 * Options of an identity.
 *
 * @category options
 * @since 0.2.0
 */
export interface IdentityOptions<R = never> {
  /** The name of the identity in the store. Default: `"default"`. */
  readonly name?: string | undefined
  /** Makes the identity if the store has none. Default: `EventLog.makeIdentity` with Web Crypto. */
  readonly generate?: Effect.Effect<EventLog.Identity["Service"], never, R> | undefined
}

/**
 * Returns an identity: the one that the store has, or a new one, which is on disk when it is returned. Fails with
 * `ValueDecoding` if the stored one is damaged.
 *
 * **Gotchas**
 *
 * The private key is in the file as it is. Open the store with an `encryptionKey` if others can read the file.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeIdentity = <R = never>(
  options: IdentityOptions<R> = {}
): Effect.Effect<EventLog.Identity["Service"], OpenError | KeptError, Store | R> =>
  Identity.make<R>(options.name ?? "default", options.generate ?? Identity.generate)

/**
 * Provides an `Identity` that is made once, and is the same each time that the store is opened.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerIdentity = <R = never>(
  options?: IdentityOptions<R>
): Layer.Layer<EventLog.Identity, OpenError | KeptError, Store | R> =>
  Layer.effect(EventLog.Identity, makeIdentity(options))
