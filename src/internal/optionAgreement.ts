/**
 * Which options all holders of an open store must give alike, and which each holder
 * has for itself.
 *
 * What decides about the file, its records or the common buffer must be the same.
 * Everything else is a holder's own.
 */
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"
import { OpenFailed } from "../StoreError.ts"
import type { StoreOptions } from "../StoreOptions.ts"
import { bytes } from "./quantity.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An option that must be the same for all holders. */
interface Common {
  readonly of: (options: ResolvedOptions) => unknown
  /** Shows a value; there is none for secrets. */
  readonly show: ((value: unknown) => string) | undefined
}

const plain = (of: Common["of"]): Common => ({ of, show: (value) => value === undefined ? "not given" : String(value) })

const size = (of: (options: ResolvedOptions) => number | undefined): Common => ({
  of,
  show: (value) => Predicate.isNumber(value) ? bytes(value) : "not given"
})

/**
 * Every option, so that a new one has to be decided about. `undefined`: each holder has its own,
 * or that of the first holder counts, because it can not be compared (`resize`) or is done when the
 * file is opened (`verify`).
 */
const commonOptions: { readonly [Name in keyof StoreOptions]-?: Common | undefined } = {
  // The file is the same: that is how the store was found.
  path: undefined,
  subdirectory: plain((options) => options.subdirectory),
  readOnly: plain((options) => options.readOnly),
  shared: plain((options) => options.shared),
  batchSize: plain((options) => options.batchSize),
  batchBytes: size((options) => options.batchBytes),
  flushInterval: {
    of: (options) => options.flushInterval ?? Duration.infinity,
    show: (value) => Duration.isDuration(value) ? Duration.format(value) : String(value)
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
  fileMode: { of: (options) => options.fileMode, show: (value) => `0o${Number(value).toString(8)}` },
  compression: plain((options) => options.compression),
  checksums: plain((options) => options.checksums),
  verify: undefined,
  encryptionKey: { of: (options) => options.encryptionKey, show: undefined }
}

/** Refuses options that differ from those of an open store where they must not. */
export const disagreement = (open: ResolvedOptions, given: ResolvedOptions): OpenFailed | undefined => {
  for (const [option, common] of Object.entries(commonOptions)) {
    if (common === undefined) continue
    const [there, here] = [common.of(open), common.of(given)]
    if (Equal.equals(there, here)) continue
    const difference = common.show === undefined
      ? "it is another one than that with which"
      : `it is ${common.show(here)} here and ${common.show(there)} where`
    return new OpenFailed({
      reason: "AlreadyOpen",
      path: given.path,
      option,
      detail: `${difference} this process has the same store open. Give both the same value.`
    })
  }
  return undefined
}
