/**
 * Which options must be the same for all handles on an open store, and which may differ.
 *
 * Options that concern the file, its records or the common write buffer must be the same.
 * Each handle can have its own value for the others.
 */
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import { OpenFailed } from "../../StoreError.ts"
import type { StoreOptions } from "../../StoreOptions.ts"
import { bytes } from "../quantity.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An option that must be the same for all handles. */
interface Common {
  readonly of: (options: ResolvedOptions) => unknown
  /** Formats its value for a message. Not given for a secret. */
  readonly show?: (options: ResolvedOptions) => string
}

const notGiven = "not given"

const plain = (of: (options: ResolvedOptions) => string | number | boolean | undefined): Common => ({
  of,
  show: (options) => `${of(options) ?? notGiven}`
})

const size = (of: (options: ResolvedOptions) => number | undefined): Common => ({
  of,
  show: (options) => {
    const value = of(options)
    return value === undefined ? notGiven : bytes(value)
  }
})

const intervalOf = ({ flushInterval }: ResolvedOptions): Duration.Duration => flushInterval ?? Duration.infinity

/**
 * All options, so that the compiler asks for a decision about a new one. An option with `undefined` is not compared: each
 * handle has its own value, or the value of the first handle counts, because values cannot be compared (`resize`) or matter
 * only when the file is opened (`verify`).
 */
const commonOptions: { readonly [Name in keyof StoreOptions]-?: Common | undefined } = {
  // The registry has found the store by its file.
  path: undefined,
  subdirectory: plain((options) => options.givenSubdirectory),
  readOnly: plain((options) => options.readOnly),
  shared: plain((options) => options.shared),
  lock: plain((options) => options.lock),
  // They matter only when the file is opened.
  lockTimeout: undefined,
  allowWorkerThread: undefined,
  batchSize: plain((options) => options.batchSize),
  batchBytes: size((options) => options.batchBytes),
  flushInterval: {
    of: intervalOf,
    show: (options) => Duration.format(intervalOf(options))
  },
  autoFlushOnRead: undefined,
  keyEncoding: plain((options) => options.key.encoding),
  keyErrors: plain((options) => options.key.errors),
  keyNormalization: plain((options) => options.key.normalization),
  formatKey: undefined,
  mapSize: size((options) => options.mapSize),
  maxMapSize: size((options) => options.maxMapSize),
  resize: undefined,
  transactionRetry: undefined,
  durability: plain((options) => options.durability),
  closeFailure: undefined,
  fileMode: { of: (options) => options.fileMode, show: (options) => `0o${options.fileMode.toString(8)}` },
  compression: plain((options) => options.compression),
  checksums: plain((options) => options.checksums),
  verify: undefined,
  changeLog: {
    of: ({ changeLog }) => JSON.stringify(changeLog),
    show: ({ changeLog }) => changeLog === undefined ? notGiven : JSON.stringify(changeLog)
  },
  encryptionKey: { of: (options) => options.encryptionKey }
}

/** The error of options that differ from those of an open store but must not; `undefined` if there is none. */
export const disagreement = (open: ResolvedOptions, given: ResolvedOptions): OpenFailed | undefined => {
  for (const [option, common] of Object.entries(commonOptions)) {
    if (common === undefined || Equal.equals(common.of(open), common.of(given))) continue
    const difference = common.show === undefined
      ? "it differs from the one with which"
      : `it is ${common.show(given)} here and ${common.show(open)} where`
    return new OpenFailed({
      reason: {
        _tag: "AlreadyOpen",
        option,
        detail: `${difference} this process has the same store open. Give both the same value.`
      },
      path: given.path
    })
  }
  return undefined
}
