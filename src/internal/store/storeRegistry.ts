/**
 * The stores that are open in this process, by their file.
 *
 * A process must not open a file of LMDB twice. So if a store is open, opening it again returns another handle on the
 * same store. The store closes when its last handle is released.
 */
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Backend } from "../../Backend.ts"
import { Engine } from "../../Engine.ts"
import { type CommitError, OpenFailed } from "../../StoreError.ts"
import * as KeyCodec from "../key/keyCodec.ts"
import { provideFiles } from "../lateModule.ts"
import { withLostWrites } from "./lostWrites.ts"
import * as OpenStore from "./openStore.ts"
import { disagreement } from "./optionAgreement.ts"
import type { StoreHandle } from "./storeAccess.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An open store, and how many handles it has. */
interface SharedStore {
  readonly core: OpenStore.OpenStore
  readonly engine: Engine["Service"]
  readonly scope: Scope.Closeable
  handles: number
}

/** The entry of a file. It exists while a fiber opens, uses or closes the store there. */
interface FileEntry {
  /** A fiber that opens or closes the store has the only permit. */
  readonly permit: Semaphore.Semaphore
  /** How many fibers have the permit or wait for it. */
  users: number
  shared: SharedStore | undefined
}

const entries = new Map<string, FileEntry>()

/** Runs an effect with the permit of a file. `restore` makes the wait for the permit interruptible. */
const withEntry = <A, E, R>(
  file: string,
  use: (entry: FileEntry) => Effect.Effect<A, E, R>,
  restore: Restore = (effect) => effect
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const entry = entries.get(file) ?? { permit: Semaphore.makeUnsafe(1), users: 0, shared: undefined }
      entries.set(file, entry)
      entry.users++
      return entry
    }),
    (entry) =>
      Effect.uninterruptible(
        Effect.scopedWith((scope) =>
          Effect.andThen(restore(Scope.provide(entry.permit.takeScoped(1), scope)), use(entry))
        )
      ),
    (entry) =>
      Effect.sync(() => {
        entry.users--
        if (entry.users === 0 && entry.shared === undefined) entries.delete(file)
      })
  )

/** How many symbolic links are followed: Linux reports a loop after 40. */
const mostLinks = 40

/**
 * Returns the canonical name of a path that may not exist yet: resolves the part of it that exists, and links whose target
 * does not exist.
 */
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

/** Makes an effect interruptible inside an uninterruptible region. */
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Runs an effect in a span that does not carry its result: a tracer could print the keys and values of the store. */
const withOpenSpan = <A, E, R>(effect: Effect.Effect<A, E, R>, path: string): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const result = Deferred.makeUnsafe<A>()
    const opening = Effect.flatMap(effect, (opened) => Effect.asVoid(Deferred.succeed(result, opened)))
    return Effect.andThen(
      Effect.withSpan(opening, "Store.open", { attributes: { path } }),
      Deferred.await(result)
    )
  })

// ---------------------------------------------------------------------------
// opening
// ---------------------------------------------------------------------------

const openNew = Effect.fnUntraced(function*(
  options: ResolvedOptions,
  restore: Restore
): Effect.fn.Return<SharedStore, OpenFailed, Engine> {
  const engine = yield* Engine
  const scope = yield* Scope.make()
  const core = yield* OpenStore.make(options).pipe(
    Scope.provide(scope),
    restore,
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  return { core, engine, scope, handles: 0 }
}, (effect, options) => withOpenSpan(effect, options.path))

/** Opens the store of a file, or adds a handle to the store that is already open. */
const join = Effect.fnUntraced(function*(entry: FileEntry, options: ResolvedOptions, restore: Restore) {
  const engine = yield* Engine
  const shared = entry.shared ?? (yield* openNew(options, restore))
  if (shared.engine !== engine) {
    return yield* new OpenFailed({
      reason: { _tag: "AlreadyOpen", detail: "this process has the same path open on another engine" },
      path: options.path
    })
  }
  const different = disagreement(shared.core.options, options)
  if (different !== undefined) return yield* different
  entry.shared = shared
  shared.handles++
  return shared.core
})

// ---------------------------------------------------------------------------
// releasing
// ---------------------------------------------------------------------------

/** The parts of a handle that never change. */
type HandleParts = Pick<StoreHandle, "core" | "keys" | "options">

/** Commits the pending writes before a handle is released that is not the last one. A failed commit leaves them pending. */
const commitPending = (
  { core: { backend }, options }: HandleParts,
  isStrict: boolean
): Effect.Effect<void, CommitError> => {
  if (options.readOnly) return Effect.void
  // Only the release of the last handle closes the backend.
  return isStrict
    ? Effect.catchTag(backend.flush, "Closed", () => Effect.void)
    : backend.flushQuietly
}

/** Makes the last commit and closes the store. */
const closeStore = ({ core, scope }: SharedStore, entry: FileEntry): Effect.Effect<void, CommitError> =>
  Effect.ensuring(
    core.finish,
    Effect.andThen(
      Scope.close(scope, Exit.void),
      Effect.sync(() => {
        entry.shared = undefined
      })
    )
  )

/** Releases one handle. Releasing the last handle closes the store. Releasing another one commits the pending writes. */
const leave = (entry: FileEntry, parts: HandleParts, isStrict: boolean): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => {
    const { shared } = entry
    if (shared === undefined) return Effect.void
    shared.handles--
    return shared.handles > 0
      ? Effect.withSpan(commitPending(parts, isStrict), "Store.close")
      // The keys are added to the error outside the span, so that a tracer does not record them.
      : Effect.mapError(Effect.withSpan(closeStore(shared, entry), "Store.close"), withLostWrites(parts))
  })

/** A handle that the fiber which opened it releases. */
export interface OwnedHandle extends StoreHandle {
  /**
   * Releases the handle; later calls wait for the first. Fails if the last commit of the store fails.
   * While the store has other handles, only a strict call fails with the error of a commit. Otherwise the next
   * write of another handle reports it.
   */
  readonly release: (isStrict: boolean) => Effect.Effect<void, CommitError>
}

/** Makes a handle that `leaveStore` releases. */
const makeHandle = (
  core: OpenStore.OpenStore,
  options: ResolvedOptions,
  leaveStore: (parts: HandleParts, isStrict: boolean) => Effect.Effect<void, CommitError>
): OwnedHandle => {
  const parts: HandleParts = {
    core,
    options,
    keys: KeyCodec.make({ ...options.key, maxBytes: core.backend.maxKeyBytes })
  }
  const released = Deferred.makeUnsafe<void>()
  const listeners = new Set<() => void>()
  let isClosed = false
  const notify = Effect.sync(() => {
    for (const listener of listeners) listener()
  })
  return {
    ...parts,
    isClosed: () => isClosed,
    onReleased: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    release: (isStrict) =>
      Effect.uninterruptible(Effect.suspend(() => {
        if (isClosed) return Deferred.await(released)
        isClosed = true
        return Effect.ensuring(
          leaveStore(parts, isStrict),
          Effect.andThen(notify, Deferred.succeed(released, undefined))
        )
      }))
  }
}

// ---------------------------------------------------------------------------
// handles
// ---------------------------------------------------------------------------

const openHandle = Effect.fnUntraced(
  function*(
    options: ResolvedOptions,
    restore: Restore
  ): Effect.fn.Return<OwnedHandle, OpenFailed, Engine | FileSystem.FileSystem | Path.Path> {
    const { fileName } = yield* Engine
    const { basename, dirname, join: joinPaths } = yield* Path.Path
    const file = yield* canonicalPath(options.subdirectory ? joinPaths(options.path, fileName) : options.path)
    // The lock files are named after the folder and the name of the file, so they are the same for every path to it.
    const subdirectory = basename(file) === fileName
    const own: ResolvedOptions = { ...options, path: subdirectory ? dirname(file) : file, subdirectory }
    const core = yield* withEntry(file, (entry) => join(entry, own, restore), restore)
    return makeHandle(core, own, (parts, isStrict) => withEntry(file, (entry) => leave(entry, parts, isStrict)))
  },
  (effect, { path }) => provideFiles(path)(effect)
)

/** Whether the fiber is being interrupted. It can be asked in an uninterruptible region. */
const isInterrupted = Effect.map(Effect.exit(Effect.interruptible(Effect.void)), Exit.isFailure)

/**
 * Closes a handle, at the end of its scope or before. If the last commit fails and writes are lost, dies with the error
 * or logs it, by the option `closeFailure`.
 */
export const close = (
  { options, release }: OwnedHandle,
  ending: Exit.Exit<unknown, unknown> = Exit.void
): Effect.Effect<void> => {
  const log = (cause: Cause.Cause<CommitError>) =>
    Effect.logError(`The store at ${options.path} closed and its last commit failed`, cause)
  const closing = options.closeFailure === "log"
    ? Effect.catchCause(release(false), log)
    : Effect.tapCause(release(false), (cause) =>
      Effect.flatMap(isInterrupted, (interrupted) =>
        // Effect reports no defect of an interrupted fiber, and `runPromise` reports only the first of two failures.
        // In both cases only the log shows this error.
        interrupted || Exit.isFailure(ending) ? log(cause) : Effect.void))
  return Effect.uninterruptible(Effect.orDie(closing))
}

/**
 * Opens the store at a path until the scope closes, or returns another handle on it if it is open. The wait for other
 * processes, and for another fiber that opens the same path, can be interrupted.
 */
export const open = (options: ResolvedOptions): Effect.Effect<OwnedHandle, OpenFailed, Engine | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => Effect.acquireRelease(openHandle(options, restore), close))

// ---------------------------------------------------------------------------
// stores on a backend
// ---------------------------------------------------------------------------

/** Opens a store on a backend, with its only handle. */
const openHandleOn = Effect.fnUntraced(function*<E, R>(
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
  return makeHandle(core, options, (parts) =>
    Effect.mapError(
      Effect.withSpan(Effect.ensuring(core.finish, Scope.close(scope, Exit.void)), "Store.close"),
      withLostWrites(parts)
    ))
}, (effect, options) => withOpenSpan(effect, options.path))

/** Opens a store on the backend that an effect makes, until the scope closes. The store has no other handle. */
export const openOn = <E, R>(
  options: ResolvedOptions,
  makeBackend: Effect.Effect<Backend, E, R>
): Effect.Effect<OwnedHandle, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => Effect.acquireRelease(openHandleOn(options, makeBackend, restore), close))
