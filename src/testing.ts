/**
 * Tools for tests: of backends and engines, and of programs that use a store.
 *
 * Import it from the subpath `effect-lmdb/testing`. The package itself loads none of these modules. None of them imports a
 * test runner: the caller of `BackendContract` passes its own.
 *
 * @since 0.2.0
 */
export * as BackendContract from "./testing/BackendContract.ts"
export * as DelayedBackend from "./testing/DelayedBackend.ts"
export * as FaultyEngine from "./testing/FaultyEngine.ts"
export * as LocalBackend from "./testing/LocalBackend.ts"
export * as TransactionOrder from "./testing/TransactionOrder.ts"
