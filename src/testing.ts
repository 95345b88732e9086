/**
 * Tools for tests: of backends and engines, and of programs that use a store.
 *
 * It is the subpath `effect-lmdb/testing`; nothing of it is loaded with the package itself. No module of it imports a test
 * runner: `BackendContract` gets that of its caller.
 *
 * @since 0.2.0
 */
export * as BackendContract from "./testing/BackendContract.ts"
export * as DelayedBackend from "./testing/DelayedBackend.ts"
export * as FaultyEngine from "./testing/FaultyEngine.ts"
export * as LocalBackend from "./testing/LocalBackend.ts"
export * as TransactionOrder from "./testing/TransactionOrder.ts"
