/**
 * A store configured by the environment.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Layer from "effect/Layer"
import { Store } from "./Store.ts"
import type { OpenFailed } from "./StoreError.ts"

/** An option that configuration may leave out. */
const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

/**
 * Provides a store whose options are read from configuration, by default from the
 * environment variables of the process.
 *
 * **Details**
 *
 * | name | option |
 * | --- | --- |
 * | `STORE_PATH` | `path`, default `./data` |
 * | `STORE_SUBDIRECTORY` | `subdirectory` |
 * | `STORE_READ_ONLY` | `readOnly` |
 * | `STORE_SHARED` | `shared` |
 * | `STORE_LOCK_TIMEOUT` | `lockTimeout`, as in `3 seconds` |
 * | `STORE_LOCK` | `lock` |
 * | `STORE_ALLOW_WORKER_THREAD` | `allowWorkerThread` |
 * | `STORE_BATCH_SIZE` | `batchSize` |
 * | `STORE_BATCH_BYTES` | `batchBytes`, as in `4 MiB` |
 * | `STORE_FLUSH_INTERVAL` | `flushInterval`, as in `1 second` |
 * | `STORE_AUTO_FLUSH_ON_READ` | `autoFlushOnRead` |
 * | `STORE_KEY_ENCODING` | `keyEncoding` |
 * | `STORE_KEY_ERRORS` | `keyErrors` |
 * | `STORE_KEY_NORMALIZATION` | `keyNormalization` |
 * | `STORE_MAP_SIZE` | `mapSize`, as in `64 MiB` |
 * | `STORE_MAX_MAP_SIZE` | `maxMapSize`, as in `1 GiB` |
 * | `STORE_DURABILITY` | `durability` |
 * | `STORE_COMPRESSION` | `compression` |
 * | `STORE_CHECKSUMS` | `checksums` |
 * | `STORE_VERIFY` | `verify` |
 * | `STORE_ENCRYPTION_KEY` | `encryptionKey` |
 *
 * @category layers
 * @since 0.1.0
 */
export const StoreLive: Layer.Layer<Store, OpenFailed | Config.ConfigError> = Store.layerConfig(Config.all({
  path: Config.withDefault(Config.String("STORE_PATH"), "./data"),
  subdirectory: optional(Config.Boolean("STORE_SUBDIRECTORY")),
  readOnly: optional(Config.Boolean("STORE_READ_ONLY")),
  shared: optional(Config.Boolean("STORE_SHARED")),
  lockTimeout: optional(Config.Duration("STORE_LOCK_TIMEOUT")),
  lock: optional(Config.Boolean("STORE_LOCK")),
  allowWorkerThread: optional(Config.Boolean("STORE_ALLOW_WORKER_THREAD")),
  batchSize: optional(Config.Int("STORE_BATCH_SIZE")),
  batchBytes: optional(Config.ByteSize("STORE_BATCH_BYTES")),
  flushInterval: optional(Config.Duration("STORE_FLUSH_INTERVAL")),
  autoFlushOnRead: optional(Config.Boolean("STORE_AUTO_FLUSH_ON_READ")),
  keyEncoding: optional(Config.Literals(["utf8", "utf16le", "latin1", "ascii", "binary"], "STORE_KEY_ENCODING")),
  keyErrors: optional(Config.Literals(["strict", "replace", "ignore"], "STORE_KEY_ERRORS")),
  keyNormalization: optional(Config.Literals(["NFC", "NFD", "NFKC", "NFKD"], "STORE_KEY_NORMALIZATION")),
  mapSize: optional(Config.ByteSize("STORE_MAP_SIZE")),
  maxMapSize: optional(Config.ByteSize("STORE_MAX_MAP_SIZE")),
  durability: optional(Config.Literals(["sync", "noSync"], "STORE_DURABILITY")),
  compression: optional(Config.Boolean("STORE_COMPRESSION")),
  checksums: optional(Config.Boolean("STORE_CHECKSUMS")),
  verify: optional(Config.Boolean("STORE_VERIFY")),
  encryptionKey: optional(Config.Redacted("STORE_ENCRYPTION_KEY"))
}))
