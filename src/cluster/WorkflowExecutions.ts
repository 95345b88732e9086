/**
 * Lists, resumes and interrupts the executions of workflows, from the stored messages of the cluster. It needs neither the
 * workflows of the program nor a running engine.
 *
 * **Details**
 *
 * - Listing reads only, so the store may be open with `readOnly`. A message that does not decode does not end the list.
 * - `resume` and `interrupt` store what the engine would store. Nothing is executed by them: the program that runs the workflow
 *   finds it when it starts, or, if it has the store open with `shared: true`, when it next looks for messages
 *   (`entityMessagePollInterval`, 10 seconds by default).
 *
 * @since 0.2.0
 */
import type { PersistenceError } from "effect/cluster/ClusterError"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import type { OpenError } from "../Collection.ts"
import * as ExecutionChanges from "../internal/ports/cluster/executionChanges.ts"
import * as Executions from "../internal/ports/cluster/executions.ts"
import * as MessageStore from "../internal/ports/cluster/messageStore.ts"
import { orFail } from "../internal/ports/cluster/persistenceError.ts"
import type { Store } from "../Store.ts"
import type { Closed, EngineFailure, KeyEncoding } from "../StoreError.ts"
import type { DamagedMessage, WorkflowExecution, WorkflowExecutionId, WorkflowStep } from "./WorkflowExecution.ts"

export type * from "./WorkflowExecution.ts"

/**
 * Streams all executions in the order in which they were started. A message of the cluster that does not decode is a failure
 * in the stream.
 *
 * @category reading
 * @since 0.2.0
 */
export const list: Stream.Stream<
  Result.Result<WorkflowExecution, DamagedMessage>,
  Closed | EngineFailure | KeyEncoding,
  Store
> = Executions.all

/**
 * Lists the steps of an execution in the order in which they were started.
 *
 * @category reading
 * @since 0.2.0
 */
export const steps = (
  execution: WorkflowExecutionId
): Effect.Effect<
  ReadonlyArray<Result.Result<WorkflowStep, DamagedMessage>>,
  Closed | EngineFailure | KeyEncoding,
  Store
> => Executions.steps(execution)

/**
 * Lets a suspended execution run again, also one that was suspended after a failure. Returns `false` if the execution is not
 * suspended. On disk when it returns.
 *
 * @category changing
 * @since 0.2.0
 */
export const resume = (
  execution: WorkflowExecutionId
): Effect.Effect<boolean, PersistenceError | OpenError, Store> =>
  Effect.flatMap(MessageStore.open, (self) => orFail(ExecutionChanges.resume(self, execution)))

/**
 * Interrupts an execution: its compensations run, and its result is an interruption. An activity that runs is not cut off. Returns
 * `false` if the store does not have the execution, or the execution has a result. The change is on disk when the call returns.
 *
 * @category changing
 * @since 0.2.0
 */
export const interrupt = (
  execution: WorkflowExecutionId
): Effect.Effect<boolean, PersistenceError | OpenError, Store> =>
  Effect.flatMap(MessageStore.open, (self) => orFail(ExecutionChanges.interrupt(self, execution)))
