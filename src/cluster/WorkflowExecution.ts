/**
 * Describes the executions of workflows, as `WorkflowExecutions` lists them.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"

/**
 * Names an execution.
 *
 * @category models
 * @since 0.2.0
 */
export interface WorkflowExecutionId {
  /** The name of the workflow. */
  readonly workflow: string
  readonly executionId: string
}

/**
 * The state of an execution or of one of its steps.
 *
 * **Details**
 *
 * - `running`: it has no result. It waits for a runner, or a runner works on it.
 * - `suspended`: it waits for a deferred, a sleep or a child.
 * - `suspended after a failure`: it failed, and its workflow has `SuspendOnFailure`. Only `resume` lets it run again.
 * - `completed`, `failed`, `interrupted`: it has a result.
 * - `damaged`: its result is stored and does not decode.
 *
 * @category models
 * @since 0.2.0
 */
export type WorkflowState =
  | "running"
  | "suspended"
  | "suspended after a failure"
  | "completed"
  | "failed"
  | "interrupted"
  | "damaged"

/**
 * What has become of an execution or of a step.
 *
 * @category models
 * @since 0.2.0
 */
export interface WorkflowOutcome {
  readonly state: WorkflowState
  /**
   * The encoded result, as Effect has encoded it to JSON: the value, or the reasons of a cause. Of a suspension, the cause. Of a
   * damaged result, what is wrong with it.
   */
  readonly result: unknown
  /** When it has ended or was suspended. */
  readonly repliedAt: DateTime.Utc | undefined
}

/**
 * Describes an execution of a workflow.
 *
 * @category models
 * @since 0.2.0
 */
export interface WorkflowExecution extends WorkflowExecutionId, WorkflowOutcome {
  /** The id of the request that has started it. */
  readonly requestId: string
  /** The encoded payload. */
  readonly payload: unknown
  /** The execution that has started it as its child. */
  readonly parent: WorkflowExecutionId | undefined
  readonly startedAt: DateTime.Utc
}

/**
 * Describes a step of an execution: an activity, a completed deferred, a sleep, a resume by a child, or an interrupt.
 *
 * @category models
 * @since 0.2.0
 */
export interface WorkflowStep extends WorkflowOutcome {
  readonly kind: "activity" | "deferred" | "sleep" | "resume" | "interrupt"
  /** The name in the program. Of a `resume`, the execution id of the child. */
  readonly name: string
  /** The attempt of an activity. */
  readonly attempt?: number
  /** When a sleep ends. */
  readonly until?: DateTime.Utc
  readonly startedAt: DateTime.Utc
}

/**
 * Describes a message of the cluster that does not decode. It may belong to any entity.
 *
 * @category models
 * @since 0.2.0
 */
export interface DamagedMessage {
  readonly messageId: string
  readonly detail: string
}
