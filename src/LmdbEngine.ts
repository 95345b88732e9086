/**
 * Provides LMDB, the default storage engine of stores.
 *
 * A program needs this module only to wrap the engine: to observe what reaches the disk, or to
 * make it fail on demand in a test.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Engine } from "./Engine.ts"
import { load } from "./internal/lateModule.ts"
import { fileName } from "./internal/lmdb/lmdbBackup.ts"

/**
 * Provides LMDB as the engine of a store. The native library is loaded when the first store is opened.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Engine> = Layer.succeed(
  Engine,
  Engine.of({
    fileName,
    open: (options) =>
      Effect.flatMap(
        load(options.path, "lmdb", () => import("./internal/lmdb/lmdbEngine.ts")),
        (engine) => Effect.provide(Effect.flatMap(Engine, ({ open }) => open(options)), engine.layer)
      )
  })
)
