/**
 * Deletes requests that were answered long ago, with all that belongs to them.
 *
 * Ids begin with the time at which they were made. So the id of an exit says when the request was answered, and a pass reads
 * only requests that are old enough.
 *
 * The messages of a workflow are deleted together, when the workflow has completed: until then it reads the results of its
 * activities again whenever it goes on. A workflow that has a parent stays as long as its parent does.
 */
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Damage from "../damage.ts"
import * as Messages from "./messages.ts"
import * as MessageStore from "./messageStore.ts"
import * as Replies from "./replies.ts"

/** The most replies that a transaction looks at. */
const batch = 100

const timeOf = (id: bigint): number => Snowflake.timestamp(Snowflake.Snowflake(id))

type ReplyKey = Stream.Success<ReturnType<Replies.Replies["keys"]>>

/** Deletes the requests that were answered before a time, in milliseconds. */
export const deleteAnswered = Effect.fnUntraced(function*(self: MessageStore.MessageStore, before: number) {
  let last: ReplyKey | undefined
  while (true) {
    // Each batch is a read of its own: a long one would keep the file from using its pages again.
    const range = { limit: batch, ...(last === undefined ? {} : { gt: last }) }
    const keys = yield* Stream.runCollect(self.replies.keys(range))
    const old = keys.filter(([requestId]) => timeOf(requestId) < before)
    yield* self.store.withTransaction(Effect.forEach(
      old.filter(([, tag]) => tag === "WithExit"),
      ([requestId]) => deleteIfAnswered(self, requestId, before),
      { discard: true }
    ))
    last = old.at(-1)
    if (old.length < batch) return
  }
})

const deleteIfAnswered = Effect.fnUntraced(function*(
  self: MessageStore.MessageStore,
  requestId: bigint,
  before: number
) {
  const { damaged, found } = yield* Damage.getEach(self.messages, [requestId])
  if (damaged.size > 0 || !(yield* isAnswered(self, requestId, before))) return
  const request = Option.filter(Option.fromUndefinedOr(found.get(requestId)), Messages.isRequest)
  if (Option.isNone(request) || !isOfWorkflow(request.value.address)) {
    yield* MessageStore.deleteRequest(self, requestId)
  } else if (yield* hasCompleted(self, request.value, before)) {
    yield* MessageStore.deleteEntity(self, request.value.address)
  }
})

/** Reads the exit of a request, if it is not damaged. */
const exitOf = Effect.fnUntraced(function*(self: MessageStore.MessageStore, requestId: bigint) {
  const key = [requestId, "WithExit", 0] as const
  const { found } = yield* Damage.getEach(self.replies, [key])
  return Option.filter(Option.fromUndefinedOr(found.get(key)), Replies.isExit)
})

const isAnswered = (self: MessageStore.MessageStore, requestId: bigint, before: number) =>
  Effect.map(exitOf(self, requestId), Option.exists(({ id }) => timeOf(id) < before))

type Address = Messages.Request["address"]

/** Tells whether an entity is a workflow. Effect keeps the clocks of workflows in an entity that is none. */
const isOfWorkflow = ({ entityType }: Address): boolean =>
  entityType.startsWith("Workflow/") && entityType !== "Workflow/-/DurableClock"

/**
 * Tells whether a request is the one that runs a workflow, the workflow has completed, all of its requests were answered
 * before a time, and its parent is deleted.
 */
const hasCompleted = Effect.fnUntraced(function*(
  self: MessageStore.MessageStore,
  run: Messages.Request,
  before: number
) {
  if (run.tag !== "run" || Option.exists(yield* exitOf(self, run.id), isSuspension)) return false
  const { byEntity } = self.messages.indexes
  const ids = yield* Stream.runCollect(byEntity.keys({ equals: Messages.entityKey(run.address) }))
  const { damaged, found } = yield* Damage.getEach(self.messages, ids)
  // A damaged message may be a request without an answer, unless an answered request has it.
  const unknown = new Set(damaged.keys())
  for (const message of found.values()) {
    if (!Messages.isRequest(message)) continue
    if (!(yield* isAnswered(self, message.id, before))) return false
    if (unknown.size === 0) continue
    for (const id of yield* Messages.controlIds(self.messages, message.id)) unknown.delete(id)
  }
  if (unknown.size > 0) return false
  const parent = parentOf(run)
  return parent === undefined || (yield* byEntity.isEmpty({ equals: Messages.entityKey(parent) }))
})

/** Tells whether a workflow has ended its run to wait for something. */
const isSuspension = ({ exit }: Replies.Exit): boolean =>
  exit._tag === "Success" && Predicate.isTagged(exit.value, "Suspended")

/** Gives the workflow that has started a workflow, as Effect notes it in the payload. */
const parentOf = ({ payload }: Messages.Request) => {
  const key = "~effect/cluster/ClusterWorkflowEngine/payloadParentKey"
  const parent = Predicate.hasProperty(payload, key) ? payload[key] : undefined
  return Predicate.hasProperty(parent, "workflowName") && Predicate.hasProperty(parent, "executionId")
    ? { entityType: `Workflow/${String(parent.workflowName)}`, entityId: String(parent.executionId) }
    : undefined
}
