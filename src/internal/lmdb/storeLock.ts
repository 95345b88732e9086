/**
 * The lock that keeps other processes from opening a store, where LMDB would let them share it.
 *
 * A process enters the store when it opens it, and stays in it until it closes it. The processes
 * in a store are readers and either one writer or several writers that share the store.
 * `storeLockFile.ts` explains the locks that a process takes.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { randomInt } from "node:crypto"
import { hostname } from "node:os"
import * as process from "node:process"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { StoreOpening } from "../../StoreOpening.ts"
import { openFailed } from "./file/fileAccess.ts"
import * as LockWaiting from "./lockWaiting.ts"
import * as PackageCopies from "./packageCopies.ts"
import * as StoreHolders from "./storeHolders.ts"
import * as StoreLockFile from "./storeLockFile.ts"
import { isFree, type LockHandle, tryLock, unlock } from "./storeLockFile.ts"

/** How a store is locked. */
export interface LockRequest {
  /** The path of the store, for messages. */
  readonly path: string
  /** The canonical path of the database file. */
  readonly file: string
  /** The path of the file that is locked. */
  readonly lockFile: string
  /** Whether the store is locked at all. */
  readonly lock: boolean
  readonly readOnly: boolean
  /** Whether other processes may write at the same time. */
  readonly shared: boolean
  /** How long to wait for other processes. */
  readonly lockTimeout: Duration.Duration
  /** The permissions of the lock file if it is created. */
  readonly fileMode: number
}

/** The lock of a store that this process has entered. */
export interface StoreLock {
  /** Whether this process had to wait, because another process had the store open. */
  readonly hasWaited: boolean
  /** Identifies this opening of the store; `undefined` without a lock, and where only whole files can be locked. */
  readonly opened: StoreOpening | undefined
  /** The other processes that have the store open, readers included, where the platform shows them. */
  readonly others: () => ReadonlyArray<StoreHolders.Line>
  /**
   * Whether no other process has the store open for writing. If so, no other process can open it for writing until this
   * one has left it. `false` without a lock. Ask before leaving the store.
   */
  readonly isLastWriter: () => boolean
  /** Runs an effect while no other process opens the files of LMDB, creates databases or commits. */
  readonly alone: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure, R>
  /** Like `alone`, for opening a store: fails if it has to wait for longer than `lockTimeout`. */
  readonly opening: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure | OpenFailed, R>
  /** Runs a commit while no other process opens the files of LMDB. */
  readonly committing: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure, R>
}

// ---------------------------------------------------------------------------
// entering
// ---------------------------------------------------------------------------

/** Takes the lock of the writers, unless this process only reads. */
const enterAsWriter = (
  handle: LockHandle,
  { readOnly, shared }: LockRequest,
  others: ReadonlyArray<StoreHolders.Line>
): StoreHolders.Conflict | undefined =>
  readOnly || tryLock(handle, StoreLockFile.writers, shared)
    ? undefined
    : { kind: "writing", holders: others.filter((line) => !line.readOnly) }

/** Takes the byte of this process's PID namespace, if no process of another namespace is in the store. */
const enterNamespace = (
  handle: LockHandle,
  namespace: string,
  others: ReadonlyArray<StoreHolders.Line>
): StoreHolders.Conflict | undefined => {
  const own = StoreLockFile.namespaceByte(namespace)
  const [first, count] = StoreLockFile.namespaces
  if (!isFree(handle, [first, own - first]) || !isFree(handle, [own + 1, first + count - own - 1])) {
    return { kind: "namespace", holders: others.filter((line) => line.namespace !== namespace) }
  }
  tryLock(handle, [own, 1], true)
  return undefined
}

/** Takes all locks that this process keeps while it has the store open. The process must have the gate. */
const enterAtGate = (handle: LockHandle, request: LockRequest): StoreHolders.Conflict | undefined => {
  const others = StoreLockFile.otherLines(handle)
  const { id, namespace } = handle.line
  const foreign = namespace === undefined ? undefined : enterNamespace(handle, namespace, others)
  if (foreign !== undefined) return foreign
  const conflict = enterAsWriter(handle, request, others)
  if (conflict !== undefined) {
    if (namespace !== undefined) unlock(handle, StoreLockFile.namespaces)
    return conflict
  }
  tryLock(handle, StoreLockFile.holderOf(id))
  StoreLockFile.writeLines(handle, [...others, handle.line])
  return undefined
}

/** Enters where only whole files can be locked. */
const enterByWholeFile = (handle: LockHandle, request: LockRequest): StoreHolders.Conflict | undefined => {
  const others = StoreLockFile.otherLines(handle)
  const conflict = enterAsWriter(handle, request, others)
  if (conflict === undefined && !request.readOnly) StoreLockFile.writeLines(handle, [...others, handle.line])
  return conflict
}

/** Takes all locks of a process in the store, or none and returns the conflict. */
const takeLocks = (handle: LockHandle, request: LockRequest): StoreHolders.Conflict | undefined => {
  if (!StoreLockFile.hasRanges) return enterByWholeFile(handle, request)
  if (!tryLock(handle, StoreLockFile.gate)) return { kind: "opening", holders: StoreLockFile.readLines(handle) }
  const conflict = enterAtGate(handle, request)
  unlock(handle, StoreLockFile.gate)
  return conflict
}

const withoutLocks = (path: string) => (cause: unknown): OpenFailed =>
  openFailed(
    path,
    "LockUnavailable",
    `this file system has no locks: ${Predicate.isError(cause) ? cause.message : String(cause)}. ` +
      "With `lock: false` the store opens without a lock, and the program must make sure that no other process " +
      "has it open",
    cause
  )

/** Describes this process in the lock file. */
const makeLine = ({ readOnly, shared }: LockRequest): StoreHolders.Line => {
  const namespace = StoreLockFile.namespaceOfProcess()
  return {
    processId: process.pid,
    host: hostname(),
    since: DateTime.makeUnsafe(LockWaiting.clock.currentTimeMillisUnsafe()),
    shared,
    readOnly,
    id: randomInt(StoreLockFile.holderCount),
    ...(namespace === undefined ? {} : { namespace })
  }
}

/** Enters the store until the scope closes, and returns whether this process had to wait. */
const enter = Effect.fnUntraced(function*(
  handle: LockHandle | undefined,
  request: LockRequest,
  opener: StoreHolders.Opener & { readonly line: StoreHolders.Line }
): Effect.fn.Return<boolean, OpenFailed, Scope.Scope> {
  const { file, lockTimeout, path } = request
  let isEntered = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if (isEntered) PackageCopies.leave(file)
    })
  )
  const attempt = Effect.try({
    try: (): StoreHolders.Conflict | undefined => {
      if (PackageCopies.isOpenElsewhere(file)) return { kind: "copy", holders: [opener.line] }
      const conflict = handle === undefined ? undefined : takeLocks(handle, request)
      if (conflict !== undefined) return conflict
      PackageCopies.enter(file)
      isEntered = true
      return undefined
    },
    catch: withoutLocks(path)
  })
  return yield* LockWaiting.untilEntered(attempt, opener, lockTimeout)
})

/**
 * Locks a store until the scope closes. Waits while another process has the store open in a way that excludes this
 * one, and fails after `lockTimeout`.
 */
export const acquire = Effect.fnUntraced(function*(
  request: LockRequest
): Effect.fn.Return<StoreLock, OpenFailed, Scope.Scope> {
  const { lock, lockTimeout, path, readOnly, shared } = request
  const line = makeLine(request)
  const opener = { path, shared, readOnly, line }
  const handle = lock ? yield* StoreLockFile.open(request, line) : undefined
  const hasWaited = yield* enter(handle, request, opener)
  const others = () => handle === undefined ? [] : StoreLockFile.otherLines(handle)
  // A process that shares the store makes its lock exclusive, which succeeds only if no other process has a share.
  const isLastWriter = () => handle !== undefined && !readOnly && (!shared || tryLock(handle, StoreLockFile.writers))
  if (handle === undefined || !StoreLockFile.hasRanges) {
    return {
      hasWaited,
      opened: undefined,
      others,
      isLastWriter,
      alone: (use) => use,
      opening: (use) => use,
      committing: (use) => use
    }
  }
  const locks = LockWaiting.make(handle)
  const deadline: LockWaiting.Deadline<OpenFailed> = {
    millis: Math.max(Duration.toMillis(lockTimeout), LockWaiting.gateMillis),
    error: () => StoreHolders.refusal({ kind: "opening", holders: StoreLockFile.otherLines(handle) }, opener)
  }
  return {
    hasWaited,
    opened: StoreLockFile.openingOf(handle),
    others,
    isLastWriter,
    alone: (use) => LockWaiting.alone(locks, use),
    opening: (use) => LockWaiting.alone(locks, use, deadline),
    committing: (use) => LockWaiting.committing(locks, use)
  }
})
