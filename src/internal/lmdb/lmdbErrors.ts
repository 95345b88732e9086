/**
 * The errors of LMDB and of its library, and what they are to a store.
 */
import * as Predicate from "effect/Predicate"
import type { EngineOptions } from "../../Engine.ts"
import { EngineFailure, OpenFailed } from "../../StoreError.ts"

const retryableCodes: ReadonlySet<number> = new Set([
  -30790, // MDB_READERS_FULL
  4, // EINTR
  5, // EIO
  11, // EAGAIN
  12, // ENOMEM
  23, // ENFILE
  24, // EMFILE
  27, // EFBIG
  28, // ENOSPC
  122 // EDQUOT
])

const codeOf = (cause: unknown): number =>
  Predicate.hasProperty(cause, "code") && Predicate.isNumber(cause.code) ? cause.code : 0

/** The number of what happened, which an error of the file system hides in its causes. */
const errnoOf = (cause: unknown): number => {
  if (Predicate.hasProperty(cause, "errno") && Predicate.isNumber(cause.errno)) return Math.abs(cause.errno)
  const code = codeOf(cause)
  return code === 0 && Predicate.hasProperty(cause, "cause") ? errnoOf(cause.cause) : code
}

const textOf = (cause: unknown): string => {
  if (cause instanceof OpenFailed) return cause.detail
  return Predicate.isError(cause) ? cause.message : String(cause)
}

/** Turns what the library threw into an error of the package. */
export const failure = (operation: string) => (cause: unknown): EngineFailure => {
  if (cause instanceof EngineFailure) return cause
  const code = errnoOf(cause)
  return new EngineFailure({ operation, code, detail: textOf(cause), isRetryable: retryableCodes.has(code), cause })
}

const reasonsByCode: ReadonlyMap<number, "Permission" | "Missing" | "NotADatabase" | "Encrypted"> = new Map([
  [1, "Permission"], // EPERM
  [13, "Permission"], // EACCES
  [30, "Permission"], // EROFS
  [2, "Missing"], // ENOENT
  [20, "Missing"], // ENOTDIR
  [-30793, "NotADatabase"], // MDB_INVALID
  [-30794, "NotADatabase"], // MDB_VERSION_MISMATCH
  [-30776, "Encrypted"] // MDB_ENV_ENCRYPTION
])

/** The same for what it threw while it opened a file. */
export const refuse = (options: Pick<EngineOptions, "path" | "encryptionKey">) => (cause: unknown): OpenFailed => {
  if (cause instanceof OpenFailed) return cause
  // A wrong key turns every page into noise, which shows as one of these.
  const isNoise = options.encryptionKey !== undefined && codeOf(cause) < 0
  const reason = isNoise ? "Encrypted" : reasonsByCode.get(errnoOf(cause)) ?? "Engine"
  return new OpenFailed({ path: options.path, reason: { _tag: reason, detail: textOf(cause) }, cause })
}

/** Gives the error that is hidden behind "Commit failed", which otherwise ends the process. */
export const revealCommitError = (error: unknown): Promise<never> =>
  Predicate.hasProperty(error, "commitError")
    // The hidden error comes in the same turn of the event loop, if it comes.
    ? Promise.race([error.commitError, new Promise((resolve) => setImmediate(resolve))])
      .then(() => Promise.reject(error))
    : Promise.reject(error)
