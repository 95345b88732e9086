/**
 * The storage engine that stores have unless they are given another.
 *
 * It is needed by itself only to wrap it: to watch what reaches the disk, or to
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
