/**
 * The cursors of pages of failed elements: the place of the last element of a page in the index, as text.
 *
 * The cursors of collections are not used: a page of a collection fails if one of its records is damaged.
 */
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Equal from "effect/Equal"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { InvalidCursor } from "../../CollectionError.ts"
import type { Element } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"
import { storageKey } from "./storageKey.ts"

/** The key of the queue, when the element failed, its sequence, and the key of its id. */
const Position = Schema.Tuple([Schema.String, Schema.Finite, Schema.Finite, Schema.String])

export type Position = typeof Position.Type

const json = Schema.fromJsonString(Position)

const encodeJson = Schema.encodeSync(json)

const decodeJson = Schema.decodeUnknownResult(json)

const positionOf = (element: Element): Position => {
  const [queue, id] = QueueElements.keyOf(element)
  return [queue, element.changedAt, element.sequence, id]
}

/** Makes the cursor of the page that ends with an element. */
export const encode = (element: Element): string => Base64Url.encode(encodeJson(positionOf(element)))

/** Returns the position of a cursor of a queue. */
export const decode = (name: string, cursor: string): Effect.Effect<Position, InvalidCursor> =>
  Result.match(
    Result.filterOrFail(
      Result.flatMap(Base64Url.decodeString(cursor), decodeJson),
      ([queue]) => queue === storageKey(name),
      () => undefined
    ),
    {
      onFailure: () =>
        Effect.fail(
          new InvalidCursor({ collection: name, cursor, detail: "`peek` has not returned it for this queue" })
        ),
      onSuccess: Effect.succeed
    }
  )

/** Returns the part of the index from a position. It begins with the element at the position, if that has still failed. */
export const rangeFrom = (position: Position | undefined) =>
  position === undefined ? {} : { gte: [position[0], position[1], position[2]] as const }

/** Tells whether an element is the one at a position. */
export const isAt = (position: Position | undefined, element: Element): boolean =>
  position !== undefined && Equal.equals(positionOf(element), position)
