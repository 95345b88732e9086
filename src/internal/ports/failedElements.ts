/**
 * Looks at the failed elements of a queue, puts them back into it, or deletes them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { StoreService } from "../../StoreService.ts"
import type { Element, Elements, Key } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"
import { storageKey } from "./storageKey.ts"

export interface FailedElements {
  readonly store: StoreService
  readonly elements: Elements
}

/** The most elements that a transaction changes. */
const batchSize = 1000

/** What `change` does with an element that has failed: the record to store, or `undefined` to delete it. */
type Next = (element: Element, now: number) => Element | undefined

/** Changes those of some elements that have failed, in one transaction. Returns their number. */
const changeSome = (self: FailedElements, keys: ReadonlyArray<Key>, next: Next) =>
  self.store.withTransaction(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const { found } = yield* self.elements.getMany(keys)
    const failed = [...found].filter(([, { state }]) => state === "failed")
    for (const [key, element] of failed) {
      const changed = next(element, now)
      yield* changed === undefined ? self.elements.delete(key) : self.elements.put(key, changed)
    }
    return failed.length
  }))

/** Changes all elements that have failed by now, batch by batch. Returns their number. */
const changeAll = Effect.fnUntraced(function*(self: FailedElements, queue: string, next: Next) {
  const key = storageKey(queue)
  const until = yield* Clock.currentTimeMillis
  let changed = 0
  while (true) {
    const failed = yield* self.elements.indexes.failed.collect({
      prefix: [key],
      lte: [key, until, Infinity],
      limit: batchSize
    })
    if (failed.length === 0) return changed
    changed += yield* changeSome(self, failed.map(QueueElements.keyOf), next)
  }
})

/** The elements that a call is about: those with the ids, or all. */
interface Selection {
  readonly name: string
  readonly ids: ReadonlyArray<string> | "all"
}

const change = (self: FailedElements, { ids, name }: Selection, next: Next) =>
  ids === "all"
    ? changeAll(self, name, next)
    : changeSome(self, Array.from(new Set(ids), (id) => QueueElements.keyOf({ queue: name, id })), next)

/** Makes failed elements pending again, as new ones. Returns their number. */
export const requeue = (self: FailedElements, selection: Selection) =>
  change(
    self,
    selection,
    (element, now) => QueueElements.requeue(element, now, QueueElements.nextSequence(now))
  )

/** Deletes failed elements. Returns their number. */
export const purge = (self: FailedElements, selection: Selection) => change(self, selection, () => undefined)

/** Reads a page of the failed elements of a queue, the oldest failure first. */
export const page = (
  self: FailedElements,
  { after, limit, name }: { readonly name: string; readonly limit: number; readonly after?: string | undefined }
) => self.elements.indexes.failed.page({ prefix: [storageKey(name)], limit, after })
