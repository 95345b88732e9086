/**
 * Records that a store was closed cleanly. The pages of a file that still is what the record says need no check.
 *
 * The record is a file beside the database file. It names everything that identifies the database file: device, inode,
 * length, the times of its last changes in nanoseconds, and a digest of the meta pages. An opening computes the same text
 * from the file that it finds, and compares the two. So a copy of the file, a file that another program has changed, and a
 * record that was not completely written do not match.
 *
 * **Details**
 *
 * - The last process that has the store open for writing writes the record, after it has closed LMDB's files, and
 *   while no other process can open them for writing. Everything that the record describes is on disk before it.
 * - Before the first commit of a process, the record is emptied, and that is on disk before the commit begins. So no crash
 *   leaves a record of a file that has changed since.
 * - A system writes the time of a change in steps of some milliseconds. A program could change a byte in the same
 *   step as the last commit. So a close sets the time of the last change to one in the second before, with random
 *   microseconds. Every later change sets another.
 * - Only a file whose pages are known to be valid gets a record: a new one, one that was checked completely, or one that had
 *   a matching record; in each case with all commits successful since.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { createHash, randomInt } from "node:crypto"
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import type { EngineOptions } from "../../../Engine.ts"
import type { EngineFailure } from "../../../StoreError.ts"
import { failure } from "../lmdbErrors.ts"
import { pageSize } from "../mapSize.ts"
import type { FileIdentity } from "./fileIdentity.ts"

/** What is known about the pages of an open file and about the record of its last close. */
export interface CloseRecord {
  /** The path of the database file. */
  readonly file: string
  /** The path of the record. */
  readonly path: string
  readonly options: CloseRecordOptions
  /** Whether all pages of the file are valid, as far as it is known. */
  isSound: boolean
  /** Whether the record describes the file as it is. */
  isCurrent: boolean
  /** Whether the record on disk is empty, as it must be before a commit. A reader never empties it. */
  isEmptied: boolean
}

/** The options of a store that concern its record. */
export interface CloseRecordOptions {
  readonly subdirectory: boolean
  readonly readOnly: boolean
  readonly durability: EngineOptions["durability"]
  /** The permissions of a new record. */
  readonly fileMode: number
}

/** The path of the record of a database file. */
export const pathOf = (path: Path.Path, file: string, subdirectory: boolean): string =>
  subdirectory ? path.join(path.dirname(file), "store.closed") : `${file}-store.closed`

/** The file length, in bytes, from which a record is written: checking a smaller file takes less time than that. */
const smallestFile = 256 * 1024

/** Makes the state of a file that is being opened. */
export const make = (
  file: string,
  path: string,
  options: CloseRecordOptions,
  found: { readonly isSound: boolean; readonly isCurrent: boolean }
): CloseRecord => ({ file, path, options, ...found, isEmptied: options.readOnly })

// ---------------------------------------------------------------------------
// the text of a record
// ---------------------------------------------------------------------------

/** A file as it is now: the text of its record, and its meta pages. */
interface Description {
  readonly text: string
  readonly meta: Uint8Array
}

/** Describes an open file. Throws if it cannot be read. */
const describe = (descriptor: number): Description => {
  const { ctimeNs, dev, ino, mtimeNs, size } = fstatSync(descriptor, { bigint: true })
  const buffer = Buffer.alloc(2 * pageSize)
  const meta = buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, 0))
  const text =
    `effect-lmdb closed 1\ndevice ${dev}\ninode ${ino}\nbytes ${size}\nmodified ${mtimeNs}\nchanged ${ctimeNs}\n` +
    `meta ${createHash("sha256").update(meta).digest("hex")}\n`
  return { text, meta }
}

const describeFile = (file: string): Description => {
  const descriptor = openSync(file, "r")
  const described = Result.try(() => describe(descriptor))
  closeSync(descriptor)
  return Result.getOrThrow(described)
}

/** The meta pages of a file that is exactly as it was when the store was closed cleanly; `undefined` if it is not. */
export const unchangedMeta = (file: string, record: string): Uint8Array | undefined =>
  Result.getOrUndefined(
    Result.try(() => {
      const recorded = readFileSync(record, "utf8")
      if (recorded === "") return undefined
      const { meta, text } = describeFile(file)
      return text === recorded ? meta : undefined
    })
  )

// ---------------------------------------------------------------------------
// emptying and writing
// ---------------------------------------------------------------------------

const withFile = <A, E>(
  path: string,
  flags: string,
  mode: number,
  use: (handle: FileHandle) => Effect.Effect<A, E>
) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => open(path, flags, mode)),
    use,
    (handle) => Effect.promise(() => handle.close())
  )

const isMissing = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "ENOENT"

/** Empties the record, and waits until that is on disk. */
const emptyFile = ({ options, path }: CloseRecord): Effect.Effect<void, EngineFailure> =>
  withFile(path, "r+", options.fileMode, (handle) =>
    Effect.andThen(
      Effect.tryPromise(() => handle.truncate(0)),
      Effect.tryPromise(() => handle.sync())
    )).pipe(
      Effect.catchIf(({ cause }) => isMissing(cause), () => Effect.void),
      Effect.mapError(({ cause }) => failure("commit")(cause))
    )

/** Makes sure that no crash leaves a record of the file as it was before a commit. Must succeed before the first commit. */
export const beforeCommit = (self: CloseRecord): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => {
    self.isCurrent = false
    return self.isEmptied ? Effect.void : Effect.map(emptyFile(self), () => {
      self.isEmptied = true
    })
  })

/** By how many nanoseconds a file system may change the time that it was given. */
const timePrecision = 2_000n

/** Waits until all commits are on disk. LMDB must have closed the file. */
export const sync = ({ file, options }: CloseRecord): Effect.Effect<void, Cause.UnknownError> =>
  withFile(file, "r+", options.fileMode, (handle) => Effect.tryPromise(() => handle.sync()))

/** Sets the time of the last change to one that no later change can have. Returns whether the file system keeps it. */
const setTime = Effect.fnUntraced(function*(handle: FileHandle) {
  const { atimeMs, mtimeMs } = yield* Effect.tryPromise(() => handle.stat())
  const micros = Math.floor(mtimeMs * 1_000) - randomInt(20_000, 1_000_000)
  yield* Effect.tryPromise(() => handle.utimes(atimeMs / 1_000, micros / 1_000_000))
  const { mtimeNs } = yield* Effect.tryPromise(() => handle.stat({ bigint: true }))
  const difference = mtimeNs - BigInt(micros) * 1_000n
  return difference <= timePrecision && difference >= -timePrecision
})

const writeRecord = Effect.fnUntraced(function*({ file, options, path }: CloseRecord, identity: FileIdentity) {
  const text = yield* withFile(file, "r+", options.fileMode, (handle) =>
    Effect.gen(function*() {
      const { size } = yield* Effect.tryPromise(() => handle.stat())
      const isOpened = identity.refusal("close") === undefined
      if (size < smallestFile || !isOpened || !(yield* setTime(handle))) return undefined
      yield* Effect.tryPromise(() => handle.sync())
      return (yield* Effect.try(() => describe(handle.fd))).text
    }))
  if (text === undefined) return
  yield* withFile(path, "w", options.fileMode, (handle) =>
    Effect.andThen(
      Effect.tryPromise(() => handle.writeFile(text)),
      Effect.tryPromise(() => handle.sync())
    ))
})

/**
 * Writes the record of a file that LMDB has closed, if its pages are known to be valid, and `identity` says that the file
 * at the path is the one that was open. `isLast` tells whether no other process has the store open for writing, or can
 * open it from now on. Ignores errors: without a record, the next opening checks the file.
 */
export const write = (self: CloseRecord, identity: FileIdentity, isLast: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { isCurrent, isSound, options: { durability, readOnly } } = self
    // Without a wait for the disk, a crash could leave the record and not the pages that it is about.
    if (isCurrent || !isSound || readOnly || durability === "noSync" || !isLast()) return Effect.void
    return Effect.ignore(writeRecord(self, identity))
  })
