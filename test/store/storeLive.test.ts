/** Stores whose options come from configuration. */
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { Store, StoreLive } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const mebibyte = 1024 * 1024

const providedBy = (provider: ConfigProvider.ConfigProvider) =>
  Effect.provide(
    Effect.flatMap(Store, (store) => Effect.all([store.stats, Effect.as(store.put("a", 1), true)])),
    StoreLive
  ).pipe(Effect.provideService(ConfigProvider.ConfigProvider, provider))

const live = (entries: Readonly<Record<string, string>>) =>
  Layer.provide(StoreLive, ConfigProvider.layer(ConfigProvider.fromUnknown(entries)))

const provided = (entries: Readonly<Record<string, string>>) => providedBy(ConfigProvider.fromUnknown(entries))

describe("options from configuration", () => {
  it.effect("StoreLive reads every variable", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store.mdb")
      const [stats] = yield* provided({
        STORE_PATH: path,
        STORE_SUBDIRECTORY: "false",
        STORE_READ_ONLY: "false",
        STORE_SHARED: "true",
        STORE_LOCK_TIMEOUT: "1 second",
        STORE_LOCK: "true",
        STORE_ALLOW_WORKER_THREAD: "false",
        STORE_BATCH_SIZE: "10",
        STORE_BATCH_BYTES: "1 MiB",
        STORE_FLUSH_INTERVAL: "5 seconds",
        STORE_CLOSE_FAILURE: "log",
        STORE_AUTO_FLUSH_ON_READ: "true",
        STORE_KEY_ENCODING: "latin1",
        STORE_KEY_ERRORS: "replace",
        STORE_KEY_NORMALIZATION: "NFC",
        STORE_MAP_SIZE: "2 MiB",
        STORE_MAX_MAP_SIZE: "16 MiB",
        STORE_DURABILITY: "noSync",
        STORE_COMPRESSION: "true",
        STORE_VERIFY: "true",
        STORE_ENCRYPTION_KEY: "k".repeat(32)
      })
      assert.strictEqual(stats.mapSize, 2 * mebibyte)
      assert.deepStrictEqual(stats.maxMapSize, Option.some(16 * mebibyte))
      assert.isTrue(statSync(path).isFile())
      const error = yield* Effect.flip(Effect.asVoid(Store.make({ path, subdirectory: false })))
      assert.strictEqual(error.reason._tag, "Encrypted")
    }))

  it.effect.each<readonly [name: string, value: string]>([
    ["STORE_BATCH_SIZE", "many"],
    ["STORE_BATCH_BYTES", "much"],
    ["STORE_FLUSH_INTERVAL", "soon"],
    ["STORE_MAP_SIZE", "big"],
    ["STORE_READ_ONLY", "perhaps"],
    ["STORE_SHARED", "sometimes"],
    ["STORE_LOCK_TIMEOUT", "later"],
    ["STORE_LOCK", "maybe"],
    ["STORE_ALLOW_WORKER_THREAD", "why"],
    ["STORE_KEY_ENCODING", "utf7"],
    ["STORE_DURABILITY", "never"]
  ])("StoreLive: %s=%s is a ConfigError that names it", ([name, value]) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const error = yield* Effect.flip(provided({ STORE_PATH: path, [name]: value }))
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, name)
    }))

  it.effect.each([
    "STORE_PATH",
    "STORE_SUBDIRECTORY",
    "STORE_READ_ONLY",
    "STORE_SHARED",
    "STORE_BATCH_SIZE",
    "STORE_BATCH_BYTES",
    "STORE_FLUSH_INTERVAL",
    "STORE_AUTO_FLUSH_ON_READ",
    "STORE_KEY_ENCODING",
    "STORE_KEY_ERRORS",
    "STORE_KEY_NORMALIZATION",
    "STORE_MAP_SIZE",
    "STORE_MAX_MAP_SIZE",
    "STORE_DURABILITY",
    "STORE_COMPRESSION",
    "STORE_CHECKSUMS",
    "STORE_VERIFY",
    "STORE_ENCRYPTION_KEY"
  ])("StoreLive: a blank %s is a ConfigError that names it", (name) =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      for (const blank of ["", "  ", "\t"]) {
        const entries = { STORE_PATH: path, [name]: blank }
        for (
          const provider of [
            ConfigProvider.fromUnknown(entries),
            ConfigProvider.fromUnknown(entries, { preserveEmptyStrings: true }),
            ConfigProvider.fromEnv({ env: entries }),
            ConfigProvider.fromEnv({ env: { ...entries, STORE_ENCRYPTION: "1", [`${name}_FILE`]: "2" } }),
            ConfigProvider.nested(
              ConfigProvider.fromEnv({ env: { APP_STORE_PATH: path, [`APP_${name}`]: blank } }),
              "APP"
            )
          ]
        ) {
          // Beside STORE_X_FILE the provider shows an empty STORE_X as it shows none.
          if (blank === "" && (yield* provider.load([`${name}_FILE`])) !== undefined) continue
          const error = yield* Effect.flip(providedBy(provider))
          assert.strictEqual(error._tag, "ConfigError")
          assert.include(error.message, name)
          assert.include(error.message, "blank")
          assert.isFalse(existsSync(path))
        }
      }
    }))

  it.effect("StoreLive: a missing variable is not a blank one, whatever the names of other variables", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const env = { STORE_PATH: path, STORE_ENCRYPTION_KEY_FILE: "x", STORE_MAP_SIZE_HINT: "y", STORE_MAP: "" }
      assert.isTrue((yield* providedBy(ConfigProvider.fromEnv({ env })))[1])
      assert.isTrue(
        (yield* providedBy(ConfigProvider.fromUnknown({ STORE: { MAP: { SIZE: 1 } }, STORE_PATH: path })))[1]
      )
    }))

  it.effect("StoreLive: sizes may be numbers of bytes, and the interval a number of milliseconds", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const numbers = {
        STORE_PATH: path,
        STORE_BATCH_BYTES: "1048576",
        STORE_MAP_SIZE: "2097152",
        STORE_MAX_MAP_SIZE: "10737418240"
      }
      for (
        const [interval, flushInterval] of [
          ["1000", 1000],
          ["250.5", 250.5],
          [" 2 seconds ", 2000],
          ["infinity", "Infinity"],
          ["Infinity", "Infinity"]
        ] as const
      ) {
        yield* Effect.gen(function*() {
          const { mapSize, maxMapSize } = yield* Effect.flatMap(Store, (store) => store.stats)
          assert.strictEqual(mapSize, 2 * mebibyte)
          assert.deepStrictEqual(maxMapSize, Option.some(10 * 1024 * mebibyte))
          // The same store, or this would be AlreadyOpen.
          yield* Effect.scoped(Store.make({
            path,
            batchBytes: mebibyte,
            flushInterval,
            mapSize: 2 * mebibyte,
            maxMapSize: "10 GiB"
          }))
        }).pipe(Effect.provide(live({ ...numbers, STORE_FLUSH_INTERVAL: interval })))
      }
    }))

  it.effect("layerConfig: an empty value is not a missing one", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      const layer = Store.layerConfig({
        path: Config.succeed(path),
        encryptionKey: Config.withDefault(Config.Redacted("SECRET"), undefined),
        batchSize: Config.withDefault(Config.Int("HOW_MANY"), undefined)
      })
      const open = (env: Record<string, string>) =>
        Effect.asVoid(Store).pipe(
          Effect.provide(layer),
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
        )
      assert.propertyVal(yield* Effect.flip(open({ SECRET: "" })), "option", "encryptionKey")
      assert.propertyVal(yield* Effect.flip(open({ HOW_MANY: "" })), "_tag", "ConfigError")
      assert.isFalse(existsSync(path))
      yield* open({})
    }))

  it.effect("layerConfig takes any configuration of the options", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const layer = Store.layerConfig({ path: Config.String("WHERE"), batchSize: Config.Int("HOW_MANY") })
      const put = (entries: Readonly<Record<string, string>>) =>
        Effect.flatMap(Store, (store) => store.put("a", 1)).pipe(
          Effect.provide(layer),
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(entries))
        )
      yield* put({ WHERE: path, HOW_MANY: "7" })
      assert.strictEqual(yield* withStore({ path }, (store) => store.getOrFail("a")), 1)
      assert.propertyVal(yield* Effect.flip(put({ WHERE: path })), "_tag", "ConfigError")
      assert.propertyVal(yield* Effect.flip(put({ WHERE: path, HOW_MANY: "0" })), "option", "batchSize")
    }))

  it.effect("StoreLive: a well-formed value that is out of range gives OpenFailed", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      const error = yield* Effect.flip(provided({ STORE_PATH: path, STORE_BATCH_SIZE: "0" }))
      assert.propertyVal(error, "option", "batchSize")
      assert.isFalse(existsSync(path))
    }))
})
