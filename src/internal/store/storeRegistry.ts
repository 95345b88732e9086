/**
 * The stores that are open in this process, by their file.
 *
 * The engine must not open one file twice in a process, so all who open a path
 * hold the same store: it closes with its last holder.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Backend } from "../../Backend.ts"
import { Engine } from "../../Engine.ts"
import { type CommitError, OpenFailed } from "../../StoreError.ts"
import * as KeyCodec from "../key/keyCodec.ts"
import { withLostWrites } from "./lostWrites.ts"
import * as OpenStore from "./openStore.ts"
import { disagreement } from "./optionAgreement.ts"
import type { StoreHandle } from "./storeAccess.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** A store that is open, and who holds it. */
interface OpenStore {
  readonly core: OpenStore.OpenStore
  readonly engine: Engine["Service"]
  readonly scope: Scope.Closeable
  holders: number
}

/** What is known of a file while anybody opens, holds or closes the store there. */
interface Slot {
  /** Opening and closing follow one another. */
  readonly turn: Semaphore.Semaphore
  users: number
  open: OpenStore | undefined
}

const slots = new Map<string, Slot>()

/** Runs an effect in the turn of a file. Waits for it as `restore` says. */
const withSlot = <A, E, R>(
  file: string,
  use: (slot: Slot) => Effect.Effect<A, E, R>,
  restore: Restore = (effect) => effect
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const slot = slots.get(file) ?? { turn: Semaphore.makeUnsafe(1), users: 0, open: undefined }
      slots.set(file, slot)
      slot.users++
      return slot
    }),
    (slot) =>
      Effect.uninterruptible(
        Effect.scopedWith((scope) => Effect.andThen(restore(Scope.provide(slot.turn.takeScoped(1), scope)), use(slot)))
      ),
    (slot) =>
      Effect.sync(() => {
        slot.users--
        if (slot.users === 0 && slot.open === undefined) slots.delete(file)
      })
  )

/** As many links as systems follow before they call it a loop. */
const mostLinks = 40

/** The one name of a path: by its nearest part that exists, and by where links lead that lead nowhere yet. */
const canonicalPath: (
  path: string,
  links?: number
) => Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(given: string, links = 0) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const absolute = path.resolve(given)
    const parent = path.dirname(absolute)
    const real = yield* Effect.option(fs.realPath(absolute))
    if (Option.isSome(real)) return real.value
    const target = links < mostLinks ? yield* Effect.option(fs.readLink(absolute)) : Option.none()
    if (Option.isSome(target)) return yield* canonicalPath(path.resolve(parent, target.value), links + 1)
    if (parent === absolute) return absolute
    return path.join(yield* canonicalPath(parent, links), path.basename(absolute))
  }
)

/** Lets an effect be interrupted inside of a part that cannot be. */
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Runs an effect in a span that does not show its result: a tracer could print the keys and values in an open store. */
const withOpenSpan = <A, E, R>(effect: Effect.Effect<A, E, R>, path: string): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const result = Deferred.makeUnsafe<A>()
    const opening = Effect.flatMap(effect, (opened) => Effect.asVoid(Deferred.succeed(result, opened)))
    return Effect.andThen(
      Effect.withSpan(opening, "Store.open", { attributes: { path } }),
      Deferred.await(result)
    )
  })

const openNew = Effect.fnUntraced(function*(
  options: ResolvedOptions,
  restore: Restore
): Effect.fn.Return<OpenStore, OpenFailed, Engine> {
  const engine = yield* Engine
  const scope = yield* Scope.make()
  const core = yield* OpenStore.make(options).pipe(
    Scope.provide(scope),
    restore,
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  return { core, engine, scope, holders: 0 }
}, (effect, options) => withOpenSpan(effect, options.path))

const enter = Effect.fnUntraced(function*(slot: Slot, options: ResolvedOptions, restore: Restore) {
  const engine = yield* Engine
  const open = slot.open ?? (yield* openNew(options, restore))
  if (open.engine !== engine) {
    return yield* new OpenFailed({
      reason: { _tag: "AlreadyOpen", detail: "the same path is open in this process on another engine" },
      path: options.path
    })
  }
  const different = disagreement(open.core.options, options)
  if (different !== undefined) return yield* different
  slot.open = open
  open.holders++
  return open.core
})

/** What a hold is made of. */
type Held = Pick<StoreHandle, "core" | "keys" | "options">

/** Commits what is pending for a holder that leaves others behind: they keep what could not be committed. */
const commitFor = ({ core: { backend }, options }: Held, isStrict: boolean): Effect.Effect<void, CommitError> => {
  if (options.readOnly) return Effect.void
  // It is closed by the last holder alone.
  return isStrict
    ? Effect.catchTag(backend.flush, "Closed", () => Effect.void)
    : backend.flushQuietly
}

/** Makes the last commit and closes the store. */
const finish = ({ core, scope }: OpenStore, slot: Slot): Effect.Effect<void, CommitError> =>
  Effect.ensuring(
    core.finish,
    Effect.andThen(
      Scope.close(scope, Exit.void),
      Effect.sync(() => {
        slot.open = undefined
      })
    )
  )

/** Gives up one hold: the last one closes the store, every other one commits what is pending. */
const leave = (slot: Slot, held: Held, isStrict: boolean): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => {
    const { open } = slot
    if (open === undefined) return Effect.void
    open.holders--
    return open.holders > 0
      ? Effect.withSpan(commitFor(held, isStrict), "Store.close")
      // The span ends before the error has keys in it.
      : Effect.mapError(Effect.withSpan(finish(open, slot), "Store.close"), withLostWrites(held))
  })

/** One hold on an open store. */
export interface Hold extends StoreHandle {
  /**
   * Gives the hold up; later calls wait for the first. Fails when the last commit of the store fails.
   * While there are other holders, only a strict call fails: the error of their writes is left for them.
   */
  readonly release: (isStrict: boolean) => Effect.Effect<void, CommitError>
}

/** Makes a hold, which `giveUp` gives up. */
const makeHold = (
  core: OpenStore.OpenStore,
  options: ResolvedOptions,
  giveUp: (held: Held, isStrict: boolean) => Effect.Effect<void, CommitError>
): Hold => {
  const held: Held = { core, options, keys: KeyCodec.make({ ...options.key, maxBytes: core.backend.maxKeyBytes }) }
  const released = Deferred.makeUnsafe<void>()
  const listeners = new Set<() => void>()
  let isClosed = false
  const tell = Effect.sync(() => {
    for (const listener of listeners) listener()
  })
  return {
    ...held,
    isClosed: () => isClosed,
    onReleased: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    release: (isStrict) =>
      Effect.uninterruptible(Effect.suspend(() => {
        if (isClosed) return Deferred.await(released)
        isClosed = true
        return Effect.ensuring(giveUp(held, isStrict), Effect.andThen(tell, Deferred.succeed(released, undefined)))
      }))
  }
}

const enterFile = Effect.fnUntraced(
  function*(
    options: ResolvedOptions,
    restore: Restore
  ): Effect.fn.Return<Hold, OpenFailed, Engine | FileSystem.FileSystem | Path.Path> {
    const { fileName } = yield* Engine
    const { basename, dirname, join } = yield* Path.Path
    const file = yield* canonicalPath(options.subdirectory ? join(options.path, fileName) : options.path)
    // By any path, a file has the same lock files: they are named by the place of the file, and by its name.
    const subdirectory = basename(file) === fileName
    const own: ResolvedOptions = { ...options, path: subdirectory ? dirname(file) : file, subdirectory }
    const core = yield* withSlot(file, (slot) => enter(slot, own, restore), restore)
    return makeHold(core, own, (held, isStrict) => withSlot(file, (slot) => leave(slot, held, isStrict)))
  },
  Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer))
)

/** Whether the fiber is being interrupted, asked where it cannot be. */
const isInterrupted = Effect.map(Effect.exit(Effect.interruptible(Effect.void)), Exit.isFailure)

/**
 * Gives a hold up, at the end of its scope or before. Where that loses writes, it dies or logs, as the
 * option `closeFailure` says.
 */
export const close = (
  { options, release }: Hold,
  ending: Exit.Exit<unknown, unknown> = Exit.void
): Effect.Effect<void> => {
  const log = (cause: Cause.Cause<CommitError>) =>
    Effect.logError(`The store at ${options.path} closed and its last commit failed`, cause)
  const closing = options.closeFailure === "log"
    ? Effect.catchCause(release(false), log)
    : Effect.tapCause(release(false), (cause) =>
      Effect.flatMap(isInterrupted, (interrupted) =>
        // Effect reports no defect of a fiber that is interrupted, and `runPromise` reports only the first of two
        // failures. Without the log nobody would see this one.
        interrupted || Exit.isFailure(ending) ? log(cause) : Effect.void))
  return Effect.uninterruptible(Effect.orDie(closing))
}

/**
 * Opens the store at a path until the scope closes, or joins those who hold it already. What waits for other
 * processes, or for another fiber that opens the same path, can be interrupted.
 */
export const hold = (options: ResolvedOptions): Effect.Effect<Hold, OpenFailed, Engine | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => Effect.acquireRelease(enterFile(options, restore), close))

/** Opens a store on a backend of its own. */
const openOn = Effect.fnUntraced(function*<E, R>(
  options: ResolvedOptions,
  makeBackend: Effect.Effect<Backend, E, R>,
  restore: Restore
) {
  const scope = yield* Scope.make()
  const core = yield* Effect.flatMap(makeBackend, (backend) => OpenStore.fromBackend(options, backend)).pipe(
    Scope.provide(scope),
    restore,
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  return makeHold(core, options, (held) =>
    Effect.mapError(
      Effect.withSpan(Effect.ensuring(core.finish, Scope.close(scope, Exit.void)), "Store.close"),
      withLostWrites(held)
    ))
}, (effect, options) => withOpenSpan(effect, options.path))

/** Opens a store on the backend that an effect makes, until the scope closes. No other hold shares it. */
export const holdOn = <E, R>(
  options: ResolvedOptions,
  makeBackend: Effect.Effect<Backend, E, R>
): Effect.Effect<Hold, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => Effect.acquireRelease(openOn(options, makeBackend, restore), close))
