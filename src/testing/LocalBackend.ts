/**
 * Makes the backend that `Store.layer` uses, for tests that wrap it.
 *
 * @since 0.2.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Scope from "effect/Scope"
import type { Backend } from "../Backend.ts"
import type { Engine } from "../Engine.ts"
import * as OpenStore from "../internal/store/openStore.ts"
import { resolve } from "../internal/store/storeOptions.ts"
import * as LmdbEngine from "../LmdbEngine.ts"
import type { OpenFailed } from "../StoreError.ts"
import type { StoreOptions } from "../StoreOptions.ts"

/**
 * Opens the backend of a store on the engine of the context, until the scope closes.
 *
 * **Gotchas**
 *
 * A process can have only one backend open on a path. Two stores, in contrast, share it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeWithEngine = (options: StoreOptions): Effect.Effect<Backend, OpenFailed, Engine | Scope.Scope> =>
  Effect.flatMap(resolve(options), OpenStore.openBackend)

/**
 * Opens the backend of a store on LMDB, until the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: StoreOptions): Effect.Effect<Backend, OpenFailed, Scope.Scope> =>
  Effect.provide(makeWithEngine(options), LmdbEngine.layer)

/**
 * Opens the backend of a store on LMDB in a temporary folder, which is removed when the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeTemp = (
  options?: Omit<StoreOptions, "path" | "subdirectory">
): Effect.Effect<Backend, OpenFailed, Scope.Scope> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-" })),
    Effect.orDie,
    Effect.provide(NodeFileSystem.layer),
    Effect.flatMap((path) => make({ ...options, path }))
  )
