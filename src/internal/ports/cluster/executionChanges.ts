/**
 * Resumes and interrupts workflows from outside of the program that runs them: it stores what Effect's `ClusterWorkflowEngine`
 * would store. The program finds it when it looks for messages, or when it starts.
 */
import * as Clock from "effect/Clock"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { WorkflowExecutionId } from "../../../cluster/WorkflowExecution.ts"
import * as Executions from "./executions.ts"
import * as Mailbox from "./mailbox.ts"
import * as Messages from "./messages.ts"
import * as MessageStore from "./messageStore.ts"
import * as Replies from "./replies.ts"

const primaryKeyOf = ({ executionId, workflow }: WorkflowExecutionId, tag: string, id: string): string =>
  `${Executions.entityTypeOf(workflow)}/${executionId}/${tag}/${id}`

/** Reads the request that has started an execution, and its last reply. */
const findRun = Effect.fnUntraced(
  function*({ messages, replies }: MessageStore.MessageStore, execution: WorkflowExecutionId) {
    const id = yield* Messages.idOfPrimaryKey(messages, primaryKeyOf(execution, "run", ""))
    if (Option.isNone(id)) return undefined
    const run = yield* messages.get(id.value)
    if (Option.isNone(run)) return undefined
    const reply = Option.getOrUndefined(yield* Replies.last(replies, id.value))
    return { run: run.value, reply }
  }
)

const isSuspension = (reply: Replies.Stored): boolean =>
  Replies.isExit(reply) && reply.exit._tag === "Success" && Predicate.isTagged(reply.exit.value, "Suspended")

/**
 * Lets a suspended execution run again: its suspension is deleted, so its request waits for a runner. Returns `false` if it is
 * not suspended.
 */
export const resume = (self: MessageStore.MessageStore, execution: WorkflowExecutionId) =>
  self.store.withTransaction(Effect.gen(function*() {
    const found = yield* findRun(self, execution)
    if (found?.reply === undefined || !isSuspension(found.reply)) return false
    // The request has been decoded, so it is not damaged.
    yield* Effect.catchTag(
      MessageStore.clearReplies(self, found.run.id, found.reply.id),
      "RequestDamaged",
      (error) => Effect.die(error)
    )
    return true
  }))

/** The payload with which a deferred of a workflow is completed. */
const DeferredPayload = Schema.toCodecJson(Schema.Struct({
  name: Schema.String,
  exit: Schema.Exit(
    Schema.Union([Schema.Undefined, Schema.Any]),
    Schema.Union([Schema.Undefined, Schema.Any]),
    Schema.Any
  )
}))

/** Makes an id that no message has. The ids of another process can have the same machine in them. */
const unusedId = Effect.fnUntraced(function*({ messages }: MessageStore.MessageStore) {
  const generator = yield* Snowflake.makeGenerator
  for (;;) {
    const id = generator.nextUnsafe()
    if (!(yield* messages.has(id))) return id
  }
})

/**
 * Completes the deferred that interrupts an execution, as the engine does. Returns `false` if the
 * store does not have the execution, or the execution has a result.
 */
export const interrupt = (self: MessageStore.MessageStore, execution: WorkflowExecutionId) =>
  self.store.withTransaction(Effect.gen(function*() {
    const found = yield* findRun(self, execution)
    if (found === undefined || (found.reply !== undefined && !isSuspension(found.reply))) return false
    const payload = yield* Effect.orDie(
      Schema.encodeEffect(DeferredPayload)({ name: Executions.interruptSignal, exit: Exit.void })
    )
    const id = yield* unusedId(self)
    yield* MessageStore.saveRequest(self, {
      _tag: "Request",
      id,
      requestId: id,
      address: found.run.address,
      sequence: Mailbox.nextSequence(yield* Clock.currentTimeMillis),
      primaryKey: primaryKeyOf(execution, "deferred", Executions.interruptSignal),
      tag: "deferred",
      payload,
      headers: {}
    })
    return true
  }))
