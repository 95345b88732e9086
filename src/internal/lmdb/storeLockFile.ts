// oxlint-disable-next-line typescript/triple-slash-reference -- each project that reads this file needs the declaration
/// <reference path="./fsNativeExtensions.d.ts" />
/**
 * The file that the processes of a store lock, and the lines in it.
 *
 * The locks are locks of the kernel, which end with their process, even if it is killed. The
 * file is never LMDB's own lock file: closing a descriptor of that one would release all locks
 * that LMDB has on it.
 *
 * Bytes far beyond the end of the file stand for several locks:
 *
 * - `gate`: a process takes it alone while it enters the store, or opens LMDB's files.
 * - `openings` and `commits`: a commit takes both, shared with other commits. A process that opens
 *   LMDB's files takes both alone, `openings` first, so that no commit begins while it waits for
 *   those that run. LMDB reads the number of the last transaction when it opens a file, and writes
 *   it into memory that all processes share. If another process committed in between, the next
 *   commit would undo that one.
 * - `writers`: a process that writes takes it, alone or shared with other writers.
 * - `namespaces`: every process, including readers, takes the byte of its PID namespace, shared. It
 *   enters only if no other of these bytes is locked. LMDB looks for the process ids of readers in
 *   its own namespace. It takes a reader that it does not find for dead, and reuses its pages.
 * - `holders`: every process takes a byte of its own while its line in the file is valid.
 *
 * macOS locks only whole files. There the lock of the file is the lock of the writers, and the
 * other locks do not exist; macOS has no PID namespaces.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
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
import * as process from "node:process"
import type { OpenFailed } from "../../StoreError.ts"
import type { StoreOpening } from "../../StoreOpening.ts"
import { openFailed } from "./file/fileAccess.ts"
import { refuse } from "./lmdbErrors.ts"
import * as StoreHolders from "./storeHolders.ts"

type Native = typeof import("fs-native-extensions")

/** The lock file, open in this process. */
export interface LockHandle {
  readonly native: Native
  readonly descriptor: number
  /** The line of this process. */
  readonly line: StoreHolders.Line
  /** Whether the descriptor was closed. The system may have given it to another file since. */
  isClosed: boolean
}

// ---------------------------------------------------------------------------
// locks
// ---------------------------------------------------------------------------

/** A range of bytes that stands for a lock. */
export type LockRange = readonly [offset: number, length: number]

/** Whether the system can lock a part of a file. */
export const hasRanges = process.platform !== "darwin"

const wholeFile: LockRange = [0, 0]
export const gate: LockRange = [2 ** 50, 1]
export const writers: LockRange = hasRanges ? [2 ** 50 + 1, 1] : wholeFile
export const openings: LockRange = [2 ** 50 + 2, 1]
export const commits: LockRange = [2 ** 50 + 3, 1]
/** The number of bytes among which each process takes one at random. */
export const holderCount = 2 ** 40
export const holderOf = (id: number): LockRange => [2 ** 51 + id, 1]
export const namespaces: LockRange = [2 ** 52, 2 ** 48]

/** Tries to take a lock, and returns whether it succeeded. */
export const tryLock = ({ descriptor, native }: LockHandle, [offset, length]: LockRange, shared = false): boolean =>
  native.tryLock(descriptor, offset, length, { shared })

/** Releases a lock. */
export const unlock = ({ descriptor, native }: LockHandle, [offset, length]: LockRange): void =>
  native.unlock(descriptor, offset, length)

/** Whether no other process has locked a byte of a range. */
export const isFree = (self: LockHandle, range: LockRange): boolean => {
  if (range[1] === 0) return true
  const isLocked = tryLock(self, range)
  if (isLocked) unlock(self, range)
  return isLocked
}

/** Whether another process keeps a byte locked. Several processes can ask at the same time. */
const isHeld = (self: LockHandle, range: LockRange): boolean => {
  const isLocked = tryLock(self, range, true)
  if (isLocked) unlock(self, range)
  return !isLocked
}

/** The id of an opening is the number of the byte that its process keeps locked. */
const openingId = /^\d{1,13}$/

/** Whether the opening of another process has ended. `false` after this process has closed the file. */
const hasEnded = (self: LockHandle, id: string): boolean => {
  const byte = openingId.test(id) ? Number(id) : holderCount
  // To ask for the byte of this process would release its lock.
  if (self.isClosed || byte >= holderCount || byte === self.line.id) return false
  return Result.getOrElse(Result.try(() => !isHeld(self, holderOf(byte))), () => false)
}

/** Identifies the opening of a store by a process that has entered it. The system must have locks of ranges. */
export const openingOf = (self: LockHandle): StoreOpening => ({
  id: `${self.line.id}`,
  knowsEnds: true,
  hasEnded: (id) => Effect.sync(() => hasEnded(self, id))
})

// ---------------------------------------------------------------------------
// PID namespaces
// ---------------------------------------------------------------------------

/** Reads the PID namespace of this process and the id of the running kernel; `undefined` if the system has none. */
const findNamespace = (): string | undefined => {
  if (process.platform !== "linux" && process.platform !== "android") return undefined
  return Result.getOrElse(
    Result.try(() =>
      `${readlinkSync("/proc/self/ns/pid")} of ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`
    ),
    () => "unknown"
  )
}

let foundNamespace: { readonly name: string | undefined } | undefined

/** The PID namespace of this process, which never changes. */
export const namespaceOfProcess = (): string | undefined => {
  foundNamespace ??= { name: findNamespace() }
  return foundNamespace.name
}

/** The offset of the byte of a namespace. */
export const namespaceByte = (namespace: string): number =>
  namespaces[0] + createHash("sha256").update(namespace).digest().readUIntBE(0, 6)

// ---------------------------------------------------------------------------
// lines
// ---------------------------------------------------------------------------

/** The most bytes that are read: enough for thousands of lines. */
const mostBytes = 1024 * 1024

/** Reads the lines of all processes, including those that have ended. */
export const readLines = ({ descriptor }: LockHandle): ReadonlyArray<StoreHolders.Line> => {
  const bytes = Buffer.alloc(Math.min(fstatSync(descriptor).size, mostBytes))
  return StoreHolders.decode(bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, bytes.length, 0)))
}

/**
 * Writes the lines. Ignores errors, because the lines are only for messages: a store must open on a full disk too, so
 * that a program can delete keys.
 */
export const writeLines = ({ descriptor }: LockHandle, lines: ReadonlyArray<StoreHolders.Line>): void => {
  // The file is never empty. If a file is truncated to 0 bytes and written, ext4 flushes it at its close, which is slow.
  const bytes = Buffer.from(`${StoreHolders.encode(lines)}\n`)
  Result.try(() => {
    writeSync(descriptor, bytes, 0, bytes.length, 0)
    ftruncateSync(descriptor, bytes.length)
  })
}

const isAlive = (processId: number): boolean => Result.isSuccess(Result.try(() => process.kill(processId, 0)))

/** Reads the lines of the other processes that have the store open. */
export const otherLines = (self: LockHandle): ReadonlyArray<StoreHolders.Line> =>
  readLines(self).filter(({ id, processId }) =>
    id !== self.line.id && (hasRanges ? !isFree(self, holderOf(id)) : isAlive(processId))
  )

// ---------------------------------------------------------------------------
// opening and closing
// ---------------------------------------------------------------------------

const withoutNative = (path: string) => (cause: unknown): OpenFailed =>
  openFailed(
    path,
    "LockUnavailable",
    "the library fs-native-extensions, which locks a store against other processes, cannot be loaded: it has no " +
      "build for this platform (such as Alpine Linux), or a bundler has left it out (make it external). " +
      "With `lock: false` the store opens without a lock, and the program must make sure that no other process " +
      "has it open",
    cause
  )

/** Removes the line of this process, and closes the file, which releases all locks. */
const close = (self: LockHandle): void => {
  self.isClosed = true
  Result.try(() => {
    if (hasRanges ? tryLock(self, gate) : !self.line.readOnly) writeLines(self, otherLines(self))
  })
  closeSync(self.descriptor)
}

/** Where the lock file is, and how it is opened. */
interface OpenOptions {
  /** The path of the store, for messages. */
  readonly path: string
  readonly lockFile: string
  readonly readOnly: boolean
  /** The permissions of the lock file if it is created. */
  readonly fileMode: number
}

/**
 * Opens the lock file until the scope closes. Returns `undefined` to a reader that has no permission to write to the
 * file: such a reader has no slot in LMDB's table of readers either.
 */
export const open = Effect.fnUntraced(function*(
  { fileMode, lockFile, path, readOnly }: OpenOptions,
  line: StoreHolders.Line
): Effect.fn.Return<LockHandle | undefined, OpenFailed, Scope.Scope> {
  const native = yield* Effect.tryPromise({
    try: () => import("fs-native-extensions"),
    catch: withoutNative(path)
  })
  const openFile = Effect.try({
    try: (): LockHandle => ({
      native,
      descriptor: openSync(lockFile, constants.O_RDWR | constants.O_CREAT, fileMode),
      line,
      isClosed: false
    }),
    catch: refuse({ path, encryptionKey: undefined })
  })
  return yield* Effect.acquireRelease(openFile, (handle) => Effect.sync(() => close(handle))).pipe(
    Effect.catchIf((error) => readOnly && error.reason._tag === "Permission", () => Effect.succeed(undefined))
  )
})
