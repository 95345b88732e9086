// oxlint-disable-next-line typescript/triple-slash-reference -- each project that reads this file needs the declaration
/// <reference path="./fsNativeExtensions.d.ts" />
/**
 * The lock that keeps processes apart which LMDB would let share a store.
 *
 * It is a lock of the kernel on a file of its own beside the data, which ends with its
 * process however that ends. The file is never LMDB's own lock file: closing a descriptor
 * of that drops the locks that LMDB has on it.
 *
 * Bytes far beyond the end of the file stand for several locks:
 *
 * - `gate`: one process at a time enters, or opens the files of LMDB.
 * - `openings` and `commits`: a commit shares both, and an opening of LMDB's files takes them alone,
 *   `openings` first, so that no commit begins while it waits for those that run. LMDB reads the number of
 *   the last transaction when it opens a file, and writes it into memory that all processes share: a
 *   commit in between would be undone by the next one.
 * - `writers`: a process that writes holds it, alone or shared with others.
 * - `namespaces`: every process, readers too, holds the byte of its PID namespace, and
 *   enters only when no other byte is held. LMDB takes a reader for dead, and uses its
 *   pages again, when it does not find the reader's process id in its own namespace.
 * - `holders`: every process holds a byte of its own as long as its line in the file is true.
 *
 * macOS locks whole files only. There the file is the lock of the writers, and the others
 * are left out: it has no PID namespaces.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Buffer } from "node:buffer"
import { createHash, randomInt } from "node:crypto"
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync
} from "node:fs"
import { hostname } from "node:os"
import * as process from "node:process"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import { refuse } from "./file/fileAccess.ts"
import { failure, refuse as refuseToOpen } from "./lmdbErrors.ts"
import * as PackageCopies from "./packageCopies.ts"
import * as StoreHolders from "./storeHolders.ts"

type Native = typeof import("fs-native-extensions")

/** What a store is locked for. */
export interface LockRequest {
  /** The path of the store, for messages. */
  readonly path: string
  /** The one name of the database file. */
  readonly file: string
  /** The file that is locked. */
  readonly lockFile: string
  /** Whether there is a lock at all. */
  readonly lock: boolean
  readonly readOnly: boolean
  /** Whether other processes may write too. */
  readonly shared: boolean
  /** How long to wait for other processes. */
  readonly lockTimeout: Duration.Duration
  /** The permissions of the lock file when it is made. */
  readonly fileMode: number
}

/** A lock that is held. */
export interface StoreLock {
  /** Whether another process had the store open first. */
  readonly hasWaited: boolean
  /** Runs an effect while no other process opens the files of LMDB or creates databases, and none commits. */
  readonly alone: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure, R>
  /** Does the same for the opening of a store, which fails when that takes longer than `lockTimeout`. */
  readonly opening: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure | OpenFailed, R>
  /** Runs a commit while no other process opens the files of LMDB. */
  readonly committing: <A, E, R>(use: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EngineFailure, R>
}

// ---------------------------------------------------------------------------
// the bytes of the lock file
// ---------------------------------------------------------------------------

type Range = readonly [offset: number, length: number]

const hasRanges = process.platform !== "darwin"

const wholeFile: Range = [0, 0]
const gate: Range = [2 ** 50, 1]
const writers: Range = hasRanges ? [2 ** 50 + 1, 1] : wholeFile
const mostHolders = 2 ** 40
const openings: Range = [2 ** 50 + 2, 1]
const commits: Range = [2 ** 50 + 3, 1]
const holderOf = (id: number): Range => [2 ** 51 + id, 1]
const namespaces: Range = [2 ** 52, 2 ** 48]

/** The PID namespace of this process, and the running kernel that it is of; `undefined` where there are none. */
const findNamespace = (): string | undefined => {
  if (process.platform !== "linux" && process.platform !== "android") return undefined
  return Result.getOrElse(
    Result.try(() =>
      `${readlinkSync("/proc/self/ns/pid")} of ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`
    ),
    () => "unknown"
  )
}

let ownNamespace: { readonly name: string | undefined } | undefined

/** The namespace of this process, which it never leaves. */
const namespaceOfProcess = (): string | undefined => {
  ownNamespace ??= { name: findNamespace() }
  return ownNamespace.name
}

/** The byte of a namespace. */
const namespaceByte = (namespace: string): number =>
  namespaces[0] + createHash("sha256").update(namespace).digest().readUIntBE(0, 6)

/** The open lock file. */
interface Handle {
  readonly native: Native
  readonly fd: number
  /** What it says of this process. */
  readonly line: StoreHolders.Line
  /** Whether the descriptor may stand for another file by now. */
  isClosed: boolean
}

const take = ({ fd, native }: Handle, [offset, length]: Range, shared = false): boolean =>
  native.tryLock(fd, offset, length, { shared })

const giveUp = ({ fd, native }: Handle, [offset, length]: Range): void => native.unlock(fd, offset, length)

/** Whether no other process holds a byte of a range. */
const isFree = (handle: Handle, range: Range): boolean => {
  if (range[1] === 0) return true
  const isTaken = take(handle, range)
  if (isTaken) giveUp(handle, range)
  return isTaken
}

// ---------------------------------------------------------------------------
// its lines
// ---------------------------------------------------------------------------

/** Enough for thousands of lines. */
const mostBytes = 1024 * 1024

const readLines = ({ fd }: Handle): ReadonlyArray<StoreHolders.Line> => {
  const bytes = Buffer.alloc(Math.min(fstatSync(fd).size, mostBytes))
  return StoreHolders.decode(bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0)))
}

/** Writes the lines. They are for messages only: on a full disk a store must still open, so that its keys can be deleted. */
const writeLines = ({ fd }: Handle, lines: ReadonlyArray<StoreHolders.Line>): void => {
  // Never cut to nothing: ext4 writes a file that is written after that to the disk when it is closed, which takes long.
  const bytes = Buffer.from(`${StoreHolders.encode(lines)}\n`)
  Result.try(() => {
    writeSync(fd, bytes, 0, bytes.length, 0)
    ftruncateSync(fd, bytes.length)
  })
}

const isAlive = (processId: number): boolean => Result.isSuccess(Result.try(() => process.kill(processId, 0)))

/** The lines of other processes that have the store open. */
const otherLines = (handle: Handle): ReadonlyArray<StoreHolders.Line> =>
  readLines(handle).filter(({ id, processId }) =>
    id !== handle.line.id && (hasRanges ? !isFree(handle, holderOf(id)) : isAlive(processId))
  )

// ---------------------------------------------------------------------------
// entering
// ---------------------------------------------------------------------------

/** Takes the lock of the writers, unless this process only reads. */
const enterAsWriter = (
  handle: Handle,
  { readOnly, shared }: LockRequest,
  others: ReadonlyArray<StoreHolders.Line>
): StoreHolders.Conflict | undefined =>
  readOnly || take(handle, writers, shared)
    ? undefined
    : { kind: "writing", holders: others.filter((line) => !line.readOnly) }

/** Takes the bytes that stand for this process, at the gate. */
const enterAtGate = (handle: Handle, request: LockRequest): StoreHolders.Conflict | undefined => {
  const others = otherLines(handle)
  const { id, namespace } = handle.line
  if (namespace !== undefined) {
    const own = namespaceByte(namespace)
    const [first, count] = namespaces
    if (!isFree(handle, [first, own - first]) || !isFree(handle, [own + 1, first + count - own - 1])) {
      return { kind: "namespace", holders: others.filter((line) => line.namespace !== namespace) }
    }
    take(handle, [own, 1], true)
  }
  const conflict = enterAsWriter(handle, request, others)
  if (conflict !== undefined) {
    if (namespace !== undefined) giveUp(handle, namespaces)
    return conflict
  }
  take(handle, holderOf(id))
  writeLines(handle, [...others, handle.line])
  return undefined
}

/** Takes the locks if nobody is in the way. */
const enter = (handle: Handle, request: LockRequest): StoreHolders.Conflict | undefined => {
  if (!hasRanges) {
    const others = otherLines(handle)
    const conflict = enterAsWriter(handle, request, others)
    if (conflict === undefined && !request.readOnly) writeLines(handle, [...others, handle.line])
    return conflict
  }
  if (!take(handle, gate)) return { kind: "opening", holders: readLines(handle) }
  const conflict = enterAtGate(handle, request)
  giveUp(handle, gate)
  return conflict
}

/** Closes the lock file, which gives up all locks on it. */
const close = (handle: Handle): void => {
  handle.isClosed = true
  Result.try(() => {
    if (hasRanges ? take(handle, gate) : !handle.line.readOnly) writeLines(handle, otherLines(handle))
  })
  closeSync(handle.fd)
}

// ---------------------------------------------------------------------------
// waiting
// ---------------------------------------------------------------------------

/** It is not the program's time that passes while a store is opened: a TestClock must not stop it. */
const clock = Clock.Clock.defaultValue()

const millisNow = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** How often a process that waits tries again. */
const pollInterval = Duration.millis(25)

/** After this time a process says what it waits for. */
const quietMillis = 500

/** A process is at the gate for some milliseconds. It is waited for even when no others are. */
const gateMillis = 1000

/** Tries again until it gives nothing, or fails after the time that it may take. */
const waitForOthers = Effect.fnUntraced(function*(
  attempt: Effect.Effect<StoreHolders.Conflict | undefined, OpenFailed>,
  opener: StoreHolders.Opener,
  lockTimeout: Duration.Duration
) {
  const start = millisNow()
  let hasLogged = false
  for (let attempts = 1;; attempts++) {
    const conflict = yield* attempt
    if (conflict === undefined) return attempts > 1
    const elapsed = millisNow() - start
    const patience = Math.max(Duration.toMillis(lockTimeout), conflict.kind === "opening" ? gateMillis : 0)
    if (elapsed >= patience) return yield* StoreHolders.refusal(conflict, opener)
    if (!hasLogged && elapsed >= quietMillis) {
      hasLogged = true
      yield* Effect.logInfo(`Waiting to open the store at ${opener.path}: ${StoreHolders.explain(conflict, opener)}`)
    }
    yield* clock.sleep(pollInterval)
  }
})

/** How often a commit, or an opening, looks whether the other is done: both take some milliseconds. */
const shortPoll = Duration.millis(1)

/** A wait that ends with an error. */
interface Deadline<E> {
  readonly millis: number
  readonly error: () => E
}

/** Tries to take a range until it has it, or the deadline has passed. */
const waitFor = <E = never>(
  handle: Handle,
  range: Range,
  shared: boolean,
  poll: Duration.Duration,
  deadline?: Deadline<E>
): Effect.Effect<void, E | EngineFailure> =>
  Effect.suspend(() => {
    const start = millisNow()
    const attempt = Effect.try({
      try: () => {
        if (handle.isClosed) throw new Error("the store is closed")
        return take(handle, range, shared)
      },
      catch: failure("lock")
    })
    const wait: Effect.Effect<void, E | EngineFailure> = Effect.flatMap(attempt, (isTaken) => {
      if (isTaken) return Effect.void
      return deadline !== undefined && millisNow() - start >= deadline.millis
        ? Effect.fail(deadline.error())
        : Effect.andThen(clock.sleep(poll), wait)
    })
    return wait
  })

/** Takes a range while an effect runs. */
const withRange = <A, E, R, E2>(
  handle: Handle,
  range: Range,
  taking: Effect.Effect<void, E2>,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, R> =>
  Effect.suspend(() => {
    let isTaken = false
    const taken = Effect.map(taking, () => {
      isTaken = true
    })
    return Effect.ensuring(
      Effect.andThen(taken, use),
      Effect.sync(() => {
        if (isTaken && !handle.isClosed) giveUp(handle, range)
      })
    )
  })

/** Runs an effect while this process is at the gate and no process commits. */
const aloneWith = (handle: Handle) => {
  // A process can take its own locks twice.
  const turn = Semaphore.makeUnsafe(1)
  return <A, E, R, E2 = never>(
    use: Effect.Effect<A, E, R>,
    deadline?: Deadline<E2>
  ): Effect.Effect<A, E | E2 | EngineFailure, R> => {
    const beforeCommits = withRange(handle, commits, waitFor(handle, commits, false, shortPoll, deadline), use)
    const beforeOpenings = withRange(
      handle,
      openings,
      waitFor(handle, openings, false, shortPoll, deadline),
      beforeCommits
    )
    return turn.withPermit(
      withRange(handle, gate, waitFor(handle, gate, false, pollInterval, deadline), beforeOpenings)
    )
  }
}

/** Runs a commit while no other process opens the files of LMDB. */
const committingWith = (handle: Handle): StoreLock["committing"] => (use) => {
  // Held for a moment only: an opening that waits for the commits that run holds it, and keeps others from beginning.
  const pass = withRange(
    handle,
    openings,
    waitFor(handle, openings, true, shortPoll),
    waitFor(handle, commits, true, shortPoll)
  )
  return withRange(handle, commits, pass, use)
}

// ---------------------------------------------------------------------------
// opening
// ---------------------------------------------------------------------------

const withoutNative = (path: string) => (cause: unknown): OpenFailed =>
  refuse(
    path,
    "LockUnavailable",
    "the library fs-native-extensions, which locks a store against other processes, cannot be loaded: it has no " +
      "build for this platform (such as Alpine Linux), or a bundler has left it out (make it external). " +
      "With `lock: false` the store opens without a lock, and the program must see to it that nobody else has it open",
    cause
  )

const withoutLocks = (path: string) => (cause: unknown): OpenFailed =>
  refuse(
    path,
    "LockUnavailable",
    `this file system has no locks: ${Predicate.isError(cause) ? cause.message : String(cause)}. ` +
      "With `lock: false` the store opens without one, and the program must see to it that nobody else has it open",
    cause
  )

/**
 * Opens the lock file until the scope closes; `undefined` for a reader that may not write there. Such a reader has no
 * place in LMDB's table of readers either.
 */
const openHandle = Effect.fnUntraced(function*(
  { fileMode, lockFile, path, readOnly }: LockRequest,
  line: StoreHolders.Line
): Effect.fn.Return<Handle | undefined, OpenFailed, Scope.Scope> {
  const native = yield* Effect.tryPromise({
    try: () => import("fs-native-extensions"),
    catch: withoutNative(path)
  })
  const openFile = Effect.try({
    try: (): Handle => ({
      native,
      fd: openSync(lockFile, constants.O_RDWR | constants.O_CREAT, fileMode),
      line,
      isClosed: false
    }),
    catch: refuseToOpen({ path, encryptionKey: undefined })
  })
  return yield* Effect.acquireRelease(openFile, (handle) => Effect.sync(() => close(handle))).pipe(
    Effect.catchIf((error) => readOnly && error.reason._tag === "Permission", () => Effect.succeed(undefined))
  )
})

/** Waits until no other process has the store open in a way that excludes this one, and keeps it so until the scope closes. */
export const acquire = Effect.fnUntraced(function*(
  request: LockRequest
): Effect.fn.Return<StoreLock, OpenFailed, Scope.Scope> {
  const { file, lock, path, readOnly, shared } = request
  const namespace = namespaceOfProcess()
  const line: StoreHolders.Line = {
    processId: process.pid,
    host: hostname(),
    since: DateTime.makeUnsafe(clock.currentTimeMillisUnsafe()),
    shared,
    readOnly,
    id: randomInt(mostHolders),
    ...(namespace === undefined ? {} : { namespace })
  }
  const handle = lock ? yield* openHandle(request, line) : undefined
  let isEntered = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if (isEntered) PackageCopies.leave(file)
    })
  )
  const attempt = Effect.try({
    try: (): StoreHolders.Conflict | undefined => {
      if (PackageCopies.isOpenElsewhere(file)) return { kind: "copy", holders: [line] }
      const conflict = handle === undefined ? undefined : enter(handle, request)
      if (conflict !== undefined) return conflict
      PackageCopies.enter(file)
      isEntered = true
      return undefined
    },
    catch: withoutLocks(path)
  })
  const hasWaited = yield* waitForOthers(attempt, { path, shared, readOnly, line }, request.lockTimeout)
  if (handle === undefined || !hasRanges) {
    return { hasWaited, alone: (use) => use, opening: (use) => use, committing: (use) => use }
  }
  const alone = aloneWith(handle)
  const opener: StoreHolders.Opener = { path, shared, readOnly, line }
  const deadline: Deadline<OpenFailed> = {
    millis: Math.max(Duration.toMillis(request.lockTimeout), gateMillis),
    error: () => StoreHolders.refusal({ kind: "opening", holders: otherLines(handle) }, opener)
  }
  return { hasWaited, alone, opening: (use) => alone(use, deadline), committing: committingWith(handle) }
})
