/**
 * Checks what selects failed elements. A program that is not type-checked can pass anything.
 */
import * as Effect from "effect/Effect"
import { PersistedQueueError } from "effect/persistence/PersistedQueue"
import * as Predicate from "effect/Predicate"
import type { Selection } from "./failedElements.ts"

/** Fails if there is a problem. */
const refuse = (doing: string, problem: string | undefined) =>
  problem === undefined
    ? Effect.void
    : Effect.fail(new PersistedQueueError({ message: `Cannot ${doing} failed elements: ${problem}` }))

/** Refuses what does not select a page. */
export const checkPage = (
  { after, limit, name }: { readonly name: string; readonly limit: number; readonly after?: string | undefined }
) =>
  refuse(
    "read",
    !Predicate.isString(name)
      ? "`name` must be the name of a queue"
      : !Number.isSafeInteger(limit) || limit < 1
      ? "`limit` must be a whole number of at least 1"
      : after === undefined || Predicate.isString(after)
      ? undefined
      : "`after` must be the `next` of the page before"
  )

/** Refuses what is not a selection: text is a list of its letters, and `undefined` an empty list. */
export const check = (doing: string, { ids, name }: Selection) =>
  refuse(
    doing,
    !Predicate.isString(name)
      ? "`name` must be the name of a queue"
      : ids === "all" || (Array.isArray(ids) && ids.every(Predicate.isString))
      ? undefined
      : "`ids` must be a list of ids, or \"all\""
  )
