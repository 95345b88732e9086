/**
 * Which options all holders of an open store must give alike, and which each holder
 * has for itself.
 *
 * What decides about the file, its records or the common buffer must be the same.
 * Everything else is a holder's own.
 */
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import { OpenFailed } from "../../StoreError.ts"
import type { StoreOptions } from "../../StoreOptions.ts"
import { bytes } from "../quantity.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An option that must be the same for all holders. */
interface Common {
  readonly of: (options: ResolvedOptions) => unknown
  /** Shows its value; a secret has none. */
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
 * Every option, so that a new one has to be decided about. `undefined`: each holder has its own,
 * or that of the first holder counts, because it can not be compared (`resize`) or is done when the
 * file is opened (`verify`).
 */
const commonOptions: { readonly [Name in keyof StoreOptions]-?: Common | undefined } = {
  // The file is the same: that is how the store was found.
  path: undefined,
  subdirectory: plain((options) => options.givenSubdirectory),
  readOnly: plain((options) => options.readOnly),
  shared: plain((options) => options.shared),
  lock: plain((options) => options.lock),
  // They are about the opening of the file.
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
  encryptionKey: { of: (options) => options.encryptionKey }
}

/** Refuses options that differ from those of an open store where they must not. */
export const disagreement = (open: ResolvedOptions, given: ResolvedOptions): OpenFailed | undefined => {
  for (const [option, common] of Object.entries(commonOptions)) {
    if (common === undefined || Equal.equals(common.of(open), common.of(given))) continue
    const difference = common.show === undefined
      ? "it is another one than that with which"
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
