/**
 * Keeps Effect's cluster and its durable workflows in a store.
 *
 * It is the subpath `effect-lmdb/Cluster`.
 *
 * @since 0.2.0
 */
export * as MessageStorage from "./cluster/MessageStorage.ts"
export * as RunnerStorage from "./cluster/RunnerStorage.ts"
export * as SingleRunner from "./cluster/SingleRunner.ts"
export * as WorkflowExecutions from "./cluster/WorkflowExecutions.ts"
export * as Workflows from "./cluster/Workflows.ts"
