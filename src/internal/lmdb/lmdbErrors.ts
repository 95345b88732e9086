/**
 * Converts errors of LMDB, of its library and of the file system to the errors of this package.
 */
import * as Predicate from "effect/Predicate"
import type { EngineOptions } from "../../Engine.ts"
import { EngineFailure, OpenFailed } from "../../StoreError.ts"

/** The codes of errors after which a later attempt can succeed. */
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

/** Finds the number of an error: the errno, or LMDB's negative code. An error of the file system has it in its cause. */
const errnoOf = (cause: unknown): number => {
  if (Predicate.hasProperty(cause, "errno") && Predicate.isNumber(cause.errno)) return Math.abs(cause.errno)
  const code = codeOf(cause)
  return code === 0 && Predicate.hasProperty(cause, "cause") ? errnoOf(cause.cause) : code
}

const textOf = (cause: unknown): string => {
  if (cause instanceof OpenFailed) return cause.detail
  return Predicate.isError(cause) ? cause.message : String(cause)
}

/** Converts an error that the library has thrown to an `EngineFailure`. */
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

/** Converts an error that was thrown while a file was opened to an `OpenFailed`. */
export const refuse = (options: Pick<EngineOptions, "path" | "encryptionKey">) => (cause: unknown): OpenFailed => {
  if (cause instanceof OpenFailed) return cause
  // Pages that were decrypted with a wrong key are random bytes. LMDB then fails with one of its own negative codes.
  const isWrongKey = options.encryptionKey !== undefined && codeOf(cause) < 0
  const reason = isWrongKey ? "Encrypted" : reasonsByCode.get(errnoOf(cause)) ?? "Engine"
  return new OpenFailed({ path: options.path, reason: { _tag: reason, detail: textOf(cause) }, cause })
}

/**
 * Fails with the real error of a commit. The library rejects one promise with "Commit failed", and a second one,
 * `commitError`, with the real error. A rejection of the second one without a listener would end the process.
 */
export const revealCommitError = (error: unknown): Promise<never> =>
  Predicate.hasProperty(error, "commitError")
    // The second promise is rejected before the event loop continues, or never.
    ? Promise.race([error.commitError, new Promise((resolve) => setImmediate(resolve))])
      .then(() => Promise.reject(error))
    : Promise.reject(error)
