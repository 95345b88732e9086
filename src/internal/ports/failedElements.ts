/**
 * Looks at the failed elements of a queue, puts them back into it, or deletes them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { ReadError } from "../../CollectionRange.ts"
import type { ValueDecoding } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"
import * as Damage from "./damage.ts"
import * as FailedCursor from "./failedCursor.ts"
import type { Element, Elements, Key } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"
import { storageKey } from "./storageKey.ts"

export interface FailedElements {
  readonly store: StoreService
  readonly elements: Elements
  readonly damage: Damage.Damage
}

/** The most elements that a transaction changes. */
const batchSize = 1000

/** What becomes of elements that have failed. */
interface Change {
  /** The record to store, or `undefined` to delete it. */
  readonly next: (element: Element, now: number) => Element | undefined
  readonly deletesDamaged: boolean
}

const isFailed = ({ state }: Element): boolean => state === "failed"

/** An element that decodes, or the error of one that does not. */
type Row = Result.Result<Element, ValueDecoding>

/**
 * Returns the key of an element that an index has. It is not read from the index: if one key does not decode, the index gives
 * none of the keys after it. An element whose value and key are both damaged has none.
 */
const keysOfRow = (row: Row): ReadonlyArray<Key> => {
  const key = Result.match(row, { onSuccess: QueueElements.keyOf, onFailure: (error) => error.key })
  return QueueElements.isKey(key) ? [key] : []
}

/** Selects the keys of damaged elements that have failed, by the index. */
const failedOf = Effect.fnUntraced(function*({ indexes }: Elements, queue: string, keys: Iterable<Key>) {
  const rows = yield* indexes.failed.collect({ prefix: [storageKey(queue)], undecodable: "result" })
  const ids = new Set(rows.filter(Result.isFailure).flatMap(keysOfRow).map(([, id]) => id))
  return Array.from(keys).filter(([, id]) => ids.has(id))
})

/** Changes those of some elements of a queue that have failed, in one transaction. Returns their number. */
const changeSome = (
  { elements, store }: FailedElements,
  queue: string,
  keys: ReadonlyArray<Key>,
  { deletesDamaged, next }: Change
) =>
  store.withTransaction(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const { damaged, found } = yield* Damage.getEach(elements, keys)
    const failed = [...found].filter(([, element]) => isFailed(element))
    for (const [key, element] of failed) {
      const changed = next(element, now)
      yield* changed === undefined ? elements.delete(key) : elements.put(key, changed)
    }
    if (!deletesDamaged || damaged.size === 0) return failed.length
    const damagedKeys = yield* failedOf(elements, queue, damaged.keys())
    yield* elements.deleteMany(damagedKeys)
    return failed.length + damagedKeys.length
  }))

/** Changes all elements that have failed by now, batch by batch. Returns their number. */
const changeAll = Effect.fnUntraced(function*(self: FailedElements, queue: string, change: Change) {
  const key = storageKey(queue)
  const until = yield* Clock.currentTimeMillis
  // Damaged elements can stay in the index, so each batch begins after the one before. A snapshot would be open for long.
  const range = { prefix: [key], lte: [key, until, Infinity], snapshot: false, undecodable: "result" } as const
  return yield* self.elements.indexes.failed.values(range).pipe(
    Stream.grouped(batchSize),
    Stream.mapEffect((rows) => changeSome(self, queue, rows.flatMap(keysOfRow), change)),
    Stream.runFold(() => 0, (sum, changed) => sum + changed)
  )
})

/** The elements that a call is about: those with the ids, or all. */
export interface Selection {
  readonly name: string
  readonly ids: ReadonlyArray<string> | "all"
}

const changeSelected = (self: FailedElements, { ids, name }: Selection, change: Change) =>
  ids === "all"
    ? changeAll(self, name, change)
    : changeSome(self, name, Array.from(new Set(ids), (id) => QueueElements.keyOf({ queue: name, id })), change)

/** Makes failed elements pending again, as new ones. Damaged ones stay. Returns their number. */
export const requeue = (self: FailedElements, selection: Selection) =>
  changeSelected(self, selection, {
    next: (element, now) => QueueElements.requeue(element, now, QueueElements.nextSequence(now)),
    deletesDamaged: false
  })

/** Deletes failed elements, damaged ones too. Returns their number. */
export const purge = (self: FailedElements, selection: Selection) =>
  changeSelected(self, selection, { next: () => undefined, deletesDamaged: true })

/** Reads the first failed elements of a queue after a position. Damaged ones are left out and do not count. */
const firstAfter = (
  { damage, elements }: FailedElements,
  queue: string,
  wanted: number,
  position: FailedCursor.Position | undefined
): Effect.Effect<ReadonlyArray<Element>, ReadError> => {
  const range = { prefix: [storageKey(queue)], ...FailedCursor.rangeFrom(position) } as const
  const isAt = (row: Row) => Result.isSuccess(row) && FailedCursor.isAt(position, row.success)
  return Damage.first(damage, {
    read: (limit) => elements.indexes.failed.collect({ ...range, limit, undecodable: "result" }),
    wanted,
    // An entry of the index can be left from an element that was damaged, deleted and offered again.
    holds: isFailed,
    skipped: (rows) => rows.findIndex(isAt) + 1,
    consequence:
      `A failed element of the queue "${queue}" is damaged and is left out. \`purge\` of all failed elements deletes it`
  })
}

/** Reads a page of the failed elements of a queue, the oldest failure first. Leaves out the damaged ones. */
export const page = Effect.fnUntraced(function*(
  self: FailedElements,
  { after, limit, name }: { readonly name: string; readonly limit: number; readonly after?: string | undefined }
) {
  const position = after === undefined ? undefined : yield* FailedCursor.decode(name, after)
  const elements = yield* firstAfter(self, name, limit + 1, position)
  const items = elements.slice(0, limit)
  const last = elements.length > limit ? items.at(-1) : undefined
  return { items, next: last === undefined ? undefined : FailedCursor.encode(last) }
})
