/**
 * Lists the elements of all queues, for people.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { ListedQueueElement, QueueElement, QueueElementSelection, QueueElementState } from "../../QueueElement.ts"
import * as QueueElements from "./queueElements.ts"
import { storageKey } from "./storageKey.ts"
import * as StoredRows from "./storedRows.ts"

const stateOf = (element: QueueElements.Element, now: number): QueueElementState => {
  const { lease, state, visibleAt } = element
  if (state !== "pending") return state
  if (lease !== undefined && lease.until > now) return "leased"
  return visibleAt > now ? "delayed" : "due"
}

const timeOf = (millis: number): DateTime.Utc =>
  Option.getOrElse(DateTime.make(millis), () => DateTime.makeUnsafe(8.64e15 * Math.sign(millis)))

const describe = (element: QueueElements.Element, now: number): QueueElement => {
  const state = stateOf(element, now)
  return {
    queue: element.queue,
    id: element.id,
    state,
    element: element.element,
    attempts: element.attempts,
    dueAt: timeOf(element.visibleAt),
    changedAt: timeOf(element.changedAt),
    leasedUntil: state === "leased" && element.lease !== undefined ? timeOf(element.lease.until) : undefined,
    lastFailure: element.lastFailure
  }
}

const list = (now: number) => ({ key, value }: StoredRows.Row<QueueElements.Element>): ListedQueueElement =>
  Result.mapBoth(value, {
    onSuccess: (element) => describe(element, now),
    onFailure: (detail) => {
      const [queue, id] = QueueElements.isKey(key) ? key : ["", ""]
      return { queue, id, detail }
    }
  })

/** Streams the elements of one queue or of all, by queue and id. */
export const elements = ({ name }: QueueElementSelection) =>
  Stream.unwrap(Effect.map(Clock.currentTimeMillis, (now) =>
    Stream.map(
      StoredRows.stream(
        QueueElements.collection,
        QueueElements.Element,
        name === undefined ? {} : { prefix: [storageKey(name)] }
      ),
      list(now)
    )))

/** Reads an element of a queue. */
export const element = Effect.fnUntraced(function*(queue: string, id: string) {
  const now = yield* Clock.currentTimeMillis
  const key = QueueElements.keyOf({ queue, id })
  const row = yield* StoredRows.get(QueueElements.collection, QueueElements.Element, key)
  return Option.map(row, list(now))
})
