/**
 * Stores whose backend answers reads later, as a database server does.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BackendStoreOptions, OpenFailed, StoreOptions, StoreService } from "../../src/index.ts"
import { Store } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"

/** The options of a store on a backend, among those of a store on LMDB. */
const backendOptions = (
  { autoFlushOnRead, checksums, path, shared }: StoreOptions
): BackendStoreOptions => ({ name: path, autoFlushOnRead, checksums, shared })

/** Opens a store at a path, on LMDB whose reads wait. */
export const open = (
  options: StoreOptions,
  delay?: DelayedBackend.DelayOptions
): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  Store.makeWithBackend(
    Effect.flatMap(LocalBackend.make(options), (local) => DelayedBackend.make(local, delay)),
    backendOptions(options)
  )
