/**
 * Provides LMDB, the default storage engine of stores.
 *
 * A program needs this module only to wrap the engine: to observe what reaches the disk, or to
 * make it fail on demand in a test.
 *
 * @since 0.1.0
 */
import type * as Layer from "effect/Layer"
import type { Engine } from "./Engine.ts"
import * as LmdbEngine from "./internal/lmdb/lmdbEngine.ts"

/**
 * Provides LMDB as the engine of a store.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Engine> = LmdbEngine.layer
