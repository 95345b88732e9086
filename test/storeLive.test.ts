/** Stores whose options come from configuration. */
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { Store, StoreLive } from "../src/index.ts"
import { temporaryFolder, withStore } from "./harness.ts"

const mebibyte = 1024 * 1024

const provided = (entries: Readonly<Record<string, string>>) =>
  Effect.provide(
    Effect.flatMap(Store, (store) => Effect.all([store.stats, Effect.as(store.put("a", 1), true)])),
    StoreLive
  ).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(entries)))

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
      assert.strictEqual(error.reason, "Encrypted")
    }))

  it.effect.each<readonly [name: string, value: string]>([
    ["STORE_BATCH_SIZE", "many"],
    ["STORE_BATCH_BYTES", "much"],
    ["STORE_FLUSH_INTERVAL", "soon"],
    ["STORE_MAP_SIZE", "big"],
    ["STORE_READ_ONLY", "perhaps"],
    ["STORE_SHARED", "some"],
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

  it.effect("StoreLive: a value that is well-formed and makes no sense is OpenFailed", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      const error = yield* Effect.flip(provided({ STORE_PATH: path, STORE_BATCH_SIZE: "0" }))
      assert.propertyVal(error, "option", "batchSize")
      assert.isFalse(existsSync(path))
    }))
})
