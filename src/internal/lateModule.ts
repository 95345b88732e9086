/**
 * Loads modules when a program first uses a store: those of the native library and of the file system. An import of the
 * package alone needs none of them, and they take longer to load than the package itself.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import { OpenFailed } from "../OpenFailed.ts"

/** The packages whose modules are loaded late. */
type Package = "lmdb" | "@effect/platform-node"

/** Loads a module. Node loads it once. A later call tries again if it could not be loaded. */
export const load = <Module>(
  path: string,
  name: Package,
  module: () => Promise<Module>
): Effect.Effect<Module, OpenFailed> =>
  Effect.tryPromise({
    try: module,
    catch: (cause) =>
      new OpenFailed({ reason: { _tag: "Engine", detail: `the package ${name} could not be loaded` }, path, cause })
  })

/** Provides `FileSystem` and `Path` to an effect that opens the store at a path. */
export const provideFiles = (path: string) =>
<A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | OpenFailed, Exclude<R, FileSystem.FileSystem | Path.Path>> =>
  Effect.flatMap(
    load(path, "@effect/platform-node", () => import("./filePlatform.ts")),
    ({ layer }) => Effect.provide(self, layer)
  )
