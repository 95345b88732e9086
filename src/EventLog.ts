/**
 * Keeps the journal and the identity of Effect's `EventLog`, and the storage of its servers, in a store.
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
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLog from "effect/eventlog/EventLog"
import type { StoreId } from "effect/eventlog/EventLogMessage"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as EventLogServerUnencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { OpenError } from "./Collection.ts"
import * as EncryptedStorage from "./internal/ports/eventlog/encryptedStorage.ts"
import * as Identity from "./internal/ports/eventlog/identity.ts"
import * as Journal from "./internal/ports/eventlog/journal.ts"
import type { KeptError } from "./internal/ports/eventlog/kept.ts"
import * as Mappings from "./internal/ports/eventlog/storeMappings.ts"
import * as UnencryptedStorage from "./internal/ports/eventlog/unencryptedStorage.ts"
import type { Store } from "./Store.ts"

/**
 * Options of a journal, or of the storage of a server.
 *
 * @category options
 * @since 0.2.0
 */
export interface EventLogOptions {
  /** Keeps several journals, or several servers, of one store apart. Default: `"default"`. */
  readonly name?: string | undefined
  /**
   * The time between two checks for commits of other processes. It has an effect only if the store has the option
   * `shared`. Default: 50 milliseconds.
   */
  readonly pollInterval?: Duration.Input | undefined
}

const named = ({ name = "default", pollInterval }: EventLogOptions) => [name, { pollInterval }] as const

/**
 * Makes an event journal in the store of the context. Fails if its collections cannot be opened.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeJournal = Effect.fnUntraced(
  function*(
    options: EventLogOptions = {}
  ): Effect.fn.Return<EventJournal.EventJournal["Service"], OpenError, Store | Scope.Scope> {
    const self = yield* Journal.make(...named(options))
    return EventJournal.EventJournal.of({
      entries: Journal.entries(self),
      entriesById: (ids) => Journal.entriesById(self, ids),
      write: ({ effect, ...entry }) =>
        Journal.writeMany(self, { entries: [entry], effect: ([first]) => effect(first) }),
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
  options?: EventLogOptions
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

/**
 * Makes the storage of an unencrypted server in the store of the context.
 *
 * **Details**
 *
 * Entries are on disk when `write` or `withTransaction` returns. What a handler writes to collections of the same store is
 * committed with its entries. The sequences of each store id begin with 1. A stream of changes has the entries that other
 * processes commit too, and ends when the store closes. The methods of a server storage have no error of their own: an
 * error of the store is a defect, and a client tries again later.
 *
 * **Gotchas**
 *
 * `withTransaction` runs one effect at a time. If somebody else changes what the handlers have read, they run again.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeStorageUnencrypted = (
  options: EventLogOptions = {}
): Effect.Effect<EventLogServerUnencrypted.Storage["Service"], OpenError | KeptError, Store | Scope.Scope> =>
  UnencryptedStorage.make(...named(options))

/**
 * Provides the storage of an unencrypted server in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStorageUnencrypted = (
  options?: EventLogOptions
): Layer.Layer<EventLogServerUnencrypted.Storage, OpenError | KeptError, Store> =>
  Layer.effect(EventLogServerUnencrypted.Storage, makeStorageUnencrypted(options))

/**
 * Options of the storage of an encrypted server.
 *
 * @category options
 * @since 0.2.0
 */
export interface EncryptedStorageOptions extends EventLogOptions {
  /**
   * How old batches must be before clients can compact them, and how long what a snapshot has replaced is kept. Defaults:
   * those of `EventLogServerEncrypted.makeCompactionConfig`. All processes that share the store must have the same.
   */
  readonly compaction?: EventLogServerEncrypted.CompactionOptions | undefined
}

/**
 * Makes the storage of an encrypted server in the store of the context.
 *
 * **Details**
 *
 * Batches are on disk when `write` returns. A batch whose entries are all stored already is passed over. The sequences of
 * each public key and store id begin with 0. A stream of changes has what other processes commit too, and ends when the store
 * closes. An error of the store is a defect, and a client tries again later.
 *
 * Each method of `compaction`, except the streams, is one transaction, which is on disk when the method returns. What a
 * snapshot has replaced is deleted in the background, `grace` after the commit of the snapshot.
 *
 * **Gotchas**
 *
 * Options of `compaction` that cannot be right are a defect, as in Effect's other implementations. So is a `begin` through a
 * number with which no stored batch ends, and a `commit` whose numbers do not rise up to that number. The server of Effect
 * makes no such calls.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeStorageEncrypted = (
  options: EncryptedStorageOptions = {}
): Effect.Effect<EventLogServerEncrypted.Storage["Service"], OpenError | KeptError, Store | Scope.Scope> =>
  EncryptedStorage.make(...named(options), options.compaction)

/**
 * Provides the storage of an encrypted server in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStorageEncrypted = (
  options?: EncryptedStorageOptions
): Layer.Layer<EventLogServerEncrypted.Storage, OpenError | KeptError, Store> =>
  Layer.effect(EventLogServerEncrypted.Storage, makeStorageEncrypted(options))

/**
 * Says which store of a server the store ids of each identity mean. An identity without a mapping has no store.
 *
 * **Details**
 *
 * Changes are on disk when the call returns. All calls fail with `EventLogServerStoreError`, reason `PersistenceFailure`.
 *
 * **Example** (Two devices that share a store)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbEventLog from "effect-lmdb/EventLog"
 * import { EventLogMessage, EventLogServerUnencrypted } from "effect/eventlog"
 *
 * const storeId = EventLogMessage.StoreId.make("default")
 * const family = EventLogMessage.StoreId.make("family-1")
 *
 * const program = Effect.gen(function*() {
 *   const mappings = yield* LmdbEventLog.StoreMappings
 *   yield* mappings.assign({ publicKey: "ada", storeId, to: family })
 *   yield* mappings.assign({ publicKey: "grace", storeId, to: family })
 *   const mapping = yield* EventLogServerUnencrypted.StoreMapping
 *   yield* Console.log(yield* mapping.resolve({ publicKey: "grace", storeId })) // => family-1
 *   yield* Console.log(yield* mapping.hasStore({ publicKey: "eve", storeId })) // => false
 * })
 *
 * const Live = LmdbEventLog.layerStoreMapping().pipe(Layer.provide(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @category services
 * @since 0.2.0
 */
export class StoreMappings extends Context.Service<StoreMappings, {
  /** Lets a store id of an identity mean a store of the server, in place of the one that it meant before. */
  readonly assign: (options: {
    readonly publicKey: string
    readonly storeId: StoreId
    readonly to: StoreId
  }) => Effect.Effect<void, EventLogServerUnencrypted.EventLogServerStoreError>

  /** Takes a store away from an identity. What is in the store stays. */
  readonly unassign: (options: {
    readonly publicKey: string
    readonly storeId: StoreId
  }) => Effect.Effect<void, EventLogServerUnencrypted.EventLogServerStoreError>

  /** Lists the mappings of an identity. */
  readonly list: (
    publicKey: string
  ) => Effect.Effect<
    ReadonlyArray<{ readonly storeId: StoreId; readonly to: StoreId }>,
    EventLogServerUnencrypted.EventLogServerStoreError
  >
}>()("effect-lmdb/EventLog/StoreMappings") {}

const makeMappings = Effect.fnUntraced(function*({ name = "default" }: Pick<EventLogOptions, "name">) {
  const self: Mappings.StoreMappings = { records: yield* Mappings.open, name }
  const mapping = EventLogServerUnencrypted.StoreMapping.of({
    resolve: (selection) => Mappings.resolve(self, selection),
    hasStore: (selection) => Effect.map(Mappings.find(self, selection), Option.isSome)
  })
  const mappings = StoreMappings.of({
    assign: (options) => Mappings.assign(self, options),
    unassign: (selection) => Mappings.unassign(self, selection),
    list: (publicKey) => Mappings.list(self, publicKey)
  })
  return Context.make(EventLogServerUnencrypted.StoreMapping, mapping).pipe(Context.add(StoreMappings, mappings))
})

/**
 * Provides the mapping of store ids in the store of the context, and `StoreMappings`, which changes it.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStoreMapping = (
  options?: Pick<EventLogOptions, "name">
): Layer.Layer<EventLogServerUnencrypted.StoreMapping | StoreMappings, OpenError, Store> =>
  Layer.effectContext(makeMappings(options ?? {}))
