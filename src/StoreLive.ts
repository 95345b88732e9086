/**
 * Provides a store that environment variables configure.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { optional } from "./internal/store/blankConfig.ts"
import { Store } from "./Store.ts"
import type { OpenFailed } from "./StoreError.ts"

/** A number in text, without a unit. */
const plainNumber = /^\d+(\.\d+)?$/

/** Adds a unit to a text that is only a number. */
const inUnit = (unit: string) =>
  SchemaTransformation.transform({
    decode: (text: string) => plainNumber.test(text.trim()) ? `${text.trim()} ${unit}` : text.trim(),
    encode: (text: string) => text
  })

const Size = Schema.String.pipe(Schema.decodeTo(Schema.ByteSizeFromString, inUnit("bytes")))

const Interval = Schema.String.pipe(
  Schema.decodeTo(
    Schema.String,
    SchemaTransformation.transform({
      decode: (text: string) => /^\s*infinity\s*$/i.test(text) ? "Infinity" : text,
      encode: (text: string) => text
    })
  ),
  Schema.decodeTo(Schema.DurationFromString, inUnit("millis"))
)

const size = (name: string) => Config.schema(Size, name)
const interval = (name: string) => Config.schema(Interval, name)
const literals = <const L extends ReadonlyArray<string>>(...all: L) => (name: string) => Config.Literals(all, name)

/**
 * Provides a store with options from configuration: by default, from the environment variables of the
 * process.
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
 * | `STORE_BATCH_BYTES` | `batchBytes`, as in `4 MiB`, or a number of bytes |
 * | `STORE_FLUSH_INTERVAL` | `flushInterval`, as in `1 second`, a number of milliseconds, or `infinity` |
 * | `STORE_AUTO_FLUSH_ON_READ` | `autoFlushOnRead` |
 * | `STORE_KEY_ENCODING` | `keyEncoding` |
 * | `STORE_KEY_ERRORS` | `keyErrors` |
 * | `STORE_KEY_NORMALIZATION` | `keyNormalization` |
 * | `STORE_MAP_SIZE` | `mapSize`, as in `64 MiB`, or a number of bytes |
 * | `STORE_MAX_MAP_SIZE` | `maxMapSize`, as in `1 GiB`, or a number of bytes |
 * | `STORE_DURABILITY` | `durability` |
 * | `STORE_CLOSE_FAILURE` | `closeFailure`, `die` or `log` |
 * | `STORE_COMPRESSION` | `compression` |
 * | `STORE_CHECKSUMS` | `checksums` |
 * | `STORE_VERIFY` | `verify` |
 * | `STORE_CHANGE_LOG` | `changeLog`, how long changes are kept, as in `7 days` |
 * | `STORE_ENCRYPTION_KEY` | `encryptionKey` |
 *
 * Building the layer fails with `OpenFailed` if the store cannot be opened, and with `ConfigError` if a variable has a
 * value that is not valid. An empty or blank variable is such an error too.
 *
 * @category layers
 * @since 0.1.0
 */
// The configuration is made when the layer is built: it would take a tenth of the import of this package.
export const StoreLive: Layer.Layer<Store, OpenFailed | Config.ConfigError> = Layer.suspend(() =>
  Store.layerConfig(Config.all({
    path: Config.map(optional("STORE_PATH", Config.String), (path) => path ?? "./data"),
    subdirectory: optional("STORE_SUBDIRECTORY", Config.Boolean),
    readOnly: optional("STORE_READ_ONLY", Config.Boolean),
    shared: optional("STORE_SHARED", Config.Boolean),
    lockTimeout: optional("STORE_LOCK_TIMEOUT", interval),
    lock: optional("STORE_LOCK", Config.Boolean),
    allowWorkerThread: optional("STORE_ALLOW_WORKER_THREAD", Config.Boolean),
    batchSize: optional("STORE_BATCH_SIZE", Config.Int),
    batchBytes: optional("STORE_BATCH_BYTES", size),
    flushInterval: optional("STORE_FLUSH_INTERVAL", interval),
    autoFlushOnRead: optional("STORE_AUTO_FLUSH_ON_READ", Config.Boolean),
    keyEncoding: optional("STORE_KEY_ENCODING", literals("utf8", "utf16le", "latin1", "ascii", "binary")),
    keyErrors: optional("STORE_KEY_ERRORS", literals("strict", "replace", "ignore")),
    keyNormalization: optional("STORE_KEY_NORMALIZATION", literals("NFC", "NFD", "NFKC", "NFKD")),
    mapSize: optional("STORE_MAP_SIZE", size),
    maxMapSize: optional("STORE_MAX_MAP_SIZE", size),
    durability: optional("STORE_DURABILITY", literals("sync", "relaxed", "noSync")),
    closeFailure: optional("STORE_CLOSE_FAILURE", literals("die", "log")),
    compression: optional("STORE_COMPRESSION", Config.Boolean),
    checksums: optional("STORE_CHECKSUMS", Config.Boolean),
    verify: optional("STORE_VERIFY", Config.Boolean),
    changeLog: Config.map(optional("STORE_CHANGE_LOG", interval), (retention) => retention && { retention }),
    encryptionKey: optional("STORE_ENCRYPTION_KEY", Config.Redacted)
  }))
)
