/**
 * Reads the executions of workflows from the messages and replies of the cluster, as Effect's `ClusterWorkflowEngine` stores
 * them.
 *
 * An execution is an entity of the type `Workflow/NAME` whose id is the execution id. The request `run` starts it. The reply
 * to that request is its result, or says that it is suspended. Its activities, completed deferreds and resumes are requests to
 * the same entity. Its sleeps are requests to an entity of the type `Workflow/-/DurableClock` with the same id.
 */
import * as Snowflake from "effect/cluster/Snowflake"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type {
  DamagedMessage,
  WorkflowExecution,
  WorkflowOutcome,
  WorkflowStep
} from "../../../cluster/WorkflowExecution.ts"
import * as StoredRows from "../storedRows.ts"
import * as Messages from "./messages.ts"
import * as Replies from "./replies.ts"

const prefix = "Workflow/"

/** The type of the entities that keep the sleeps of workflows. */
const clockType = "Workflow/-/DurableClock"

/** The name of the deferred that interrupts a workflow. */
export const interruptSignal = "Workflow/InterruptSignal"

/** The type of the entities of a workflow. */
export const entityTypeOf = (workflow: string): string => `${prefix}${workflow}`

const timeOf = (id: bigint): DateTime.Utc => Snowflake.dateTime(Snowflake.Snowflake(id))

// ---------------------------------------------------------------------------
// replies
// ---------------------------------------------------------------------------

const fieldOf = (value: unknown, name: string): unknown => Predicate.hasProperty(value, name) ? value[name] : undefined

const isInterrupted = (cause: unknown): boolean =>
  Array.isArray(cause) && cause.length > 0 && cause.every((reason) => Predicate.isTagged(reason, "Interrupt"))

/** The outcome of an encoded exit of the program. */
const ofExit = (exit: unknown): Pick<WorkflowOutcome, "state" | "result"> => {
  if (Predicate.isTagged(exit, "Success")) return { state: "completed", result: fieldOf(exit, "value") }
  const cause = fieldOf(exit, "cause")
  return { state: isInterrupted(cause) ? "interrupted" : "failed", result: cause }
}

/** The outcome of a reply. The exit of a run or of an activity has a result of a workflow in it. */
const ofReply = ({ exit, id }: Replies.Exit): WorkflowOutcome => {
  const repliedAt = timeOf(id)
  if (exit._tag === "Failure") return { ...ofExit(exit), repliedAt }
  if (Predicate.isTagged(exit.value, "Suspended")) {
    const failed = fieldOf(exit.value, "failed") === true
    return {
      state: failed ? "suspended after a failure" : "suspended",
      result: fieldOf(exit.value, "cause"),
      repliedAt
    }
  }
  return { ...ofExit(Predicate.isTagged(exit.value, "Complete") ? fieldOf(exit.value, "exit") : exit), repliedAt }
}

const running: WorkflowOutcome = { state: "running", result: undefined, repliedAt: undefined }

/** Reads the outcome of a request. */
const outcomeOf = (requestId: bigint) =>
  Effect.map(
    StoredRows.get(Replies.collection, Replies.Stored, [requestId, "WithExit", 0]),
    Option.match({
      onNone: () => running,
      onSome: ({ value }) =>
        Result.match(value, {
          onSuccess: (reply) => Replies.isExit(reply) ? ofReply(reply) : running,
          onFailure: (detail): WorkflowOutcome => ({ state: "damaged", result: detail, repliedAt: undefined })
        })
    })
  )

// ---------------------------------------------------------------------------
// executions
// ---------------------------------------------------------------------------

const isRun = (message: Messages.Message): message is Messages.Request =>
  Messages.isRequest(message) && message.tag === "run" && message.address.entityType.startsWith(prefix) &&
  message.address.entityType !== clockType

const parentOf = ({ payload }: Messages.Request): WorkflowExecution["parent"] => {
  const parent = fieldOf(payload, "~effect/cluster/ClusterWorkflowEngine/payloadParentKey")
  const [workflow, executionId] = [fieldOf(parent, "workflowName"), fieldOf(parent, "executionId")]
  return Predicate.isString(workflow) && Predicate.isString(executionId) ? { workflow, executionId } : undefined
}

const describe = (request: Messages.Request) =>
  Effect.map(outcomeOf(request.id), (outcome): WorkflowExecution => ({
    workflow: request.address.entityType.slice(prefix.length),
    executionId: request.address.entityId,
    requestId: String(request.id),
    payload: request.payload,
    parent: parentOf(request),
    startedAt: timeOf(request.id),
    ...outcome
  }))

const damagedOf = ({ key, value }: StoredRows.Row<unknown>): DamagedMessage => ({
  messageId: String(key),
  detail: Result.isFailure(value) ? value.failure : ""
})

/** An execution, or a message that does not decode. */
type Listed = Result.Result<WorkflowExecution, DamagedMessage>

const listedOf = Effect.fnUntraced(function*(row: StoredRows.Row<Messages.Message>) {
  const listed: ReadonlyArray<Listed> = Result.isFailure(row.value)
    ? [Result.fail(damagedOf(row))]
    : isRun(row.value.success)
    ? [Result.succeed(yield* describe(row.value.success))]
    : []
  return listed
})

/** Streams all executions in the order in which they were started, and the messages that do not decode. */
export const all = StoredRows.stream(Messages.collection, Messages.Message).pipe(
  Stream.mapEffect(listedOf),
  Stream.flattenIterable
)

// ---------------------------------------------------------------------------
// steps
// ---------------------------------------------------------------------------

const textOf = (value: unknown): string => Predicate.isString(value) ? value : ""

const numberOf = (value: unknown): number | undefined => Predicate.isNumber(value) ? value : undefined

/** Describes a request to the entity of an execution, or to its clock. `undefined` if it is the run itself. */
const stepOf = (workflow: string, request: Messages.Request, outcome: WorkflowOutcome): WorkflowStep | undefined => {
  const { address, deliverAt, payload, tag } = request
  const shared = { name: textOf(fieldOf(payload, "name")), startedAt: timeOf(request.id), ...outcome }
  if (address.entityType === clockType) {
    if (fieldOf(payload, "workflowName") !== workflow) return undefined
    return { kind: "sleep", ...shared, ...(deliverAt === undefined ? {} : { until: DateTime.makeUnsafe(deliverAt) }) }
  }
  switch (tag) {
    case "activity": {
      const attempt = numberOf(fieldOf(payload, "attempt"))
      return { kind: "activity", ...shared, ...(attempt === undefined ? {} : { attempt }) }
    }
    case "deferred":
      return { kind: shared.name === interruptSignal ? "interrupt" : "deferred", ...shared }
    case "resume":
      return { kind: "resume", ...shared, name: textOf(fieldOf(payload, "childExecutionId")) }
    default:
      return undefined
  }
}

const messagesOf = (entityType: string, entityId: string) =>
  StoredRows.entries(Messages.collection, "byEntity", Messages.Message, {
    equals: Messages.entityKey({ entityType, entityId })
  })

/** A step, or a message that does not decode. */
type ListedStep = Result.Result<WorkflowStep, DamagedMessage>

/** When a step was started. Damaged messages come first. */
const timeIn = (step: ListedStep): number => Result.isSuccess(step) ? step.success.startedAt.epochMilliseconds : 0

/** Lists the steps of an execution in the order in which they were started, and the messages that do not decode. */
export const steps = Effect.fnUntraced(function*(
  { executionId, workflow }: Pick<WorkflowExecution, "workflow" | "executionId">
) {
  const rows = [
    ...(yield* Stream.runCollect(messagesOf(entityTypeOf(workflow), executionId))),
    ...(yield* Stream.runCollect(messagesOf(clockType, executionId)))
  ]
  const found: Array<ListedStep> = []
  for (const row of rows) {
    if (Result.isFailure(row.value)) found.push(Result.fail(damagedOf(row)))
    else if (Messages.isRequest(row.value.success)) {
      const step = stepOf(workflow, row.value.success, yield* outcomeOf(row.value.success.id))
      if (step !== undefined) found.push(Result.succeed(step))
    }
  }
  return found.toSorted((a, b) => timeIn(a) - timeIn(b))
})
