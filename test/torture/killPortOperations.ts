/**
 * What a lane does to the implementations of Effect's storage interfaces, besides writing keys and values to them: it
 * writes entries of a journal, saves messages of a cluster and the replies to them, takes tokens of a rate limit, and
 * offers elements to a queue.
 *
 * What they hold has keys as the records of a lane have. What becomes of the elements of a queue depends on who takes them
 * when, so no model has them: `killQueue.ts` checks them.
 */
import type { Mark, Model } from "./killOperations.ts"
import type * as Random from "./random.ts"

/** One of these calls. */
export type PortOperation =
  | {
    readonly _tag: "Write"
    readonly entries: readonly [Entry, ...ReadonlyArray<Entry>]
    /** What the handler of the entries puts into a collection. */
    readonly handled: Entry
  }
  | { readonly _tag: "Request"; readonly key: string; readonly mark: Mark }
  | { readonly _tag: "Reply"; readonly key: string; readonly mark: Mark; readonly request: number }
  | { readonly _tag: "Consume"; readonly key: string }
  | { readonly _tag: "Offer"; readonly element: number }

type Entry = readonly [key: string, mark: Mark]

/** The most tokens of a lane that a rate limit lets through. */
export const tokenLimit = 3

/** The key of the tokens of a lane. */
export const tokensKey = (lane: number): string => `${lane}/tokens/0`

/** What chooses the operations of a lane. */
interface Choices {
  readonly lane: number
  readonly random: Random.Random
  readonly mark: () => Mark
  /** A key of a collection. */
  readonly key: () => string
}

/** Makes what chooses the operations of a lane in a life. Nothing that is written here is overwritten. */
export const choose = ({ key, lane, mark, random }: Choices): () => PortOperation => {
  const unanswered: Array<number> = []
  const offered: Array<number> = []
  const entry = (kind: string): Entry => {
    const made = mark()
    return [`${lane}/${kind}/${made[0]}`, made]
  }
  const request = (): PortOperation => {
    const [requestKey, made] = entry("requests")
    unanswered.push(made[0])
    return { _tag: "Request", key: requestKey, mark: made }
  }
  const offer = (): PortOperation => {
    const [first, ...others] = offered
    // An element that was offered before is not handled again
    if (first !== undefined && random.oneIn(5)) return { _tag: "Offer", element: random.pick([first, ...others]) }
    const [element] = mark()
    offered.push(element)
    return { _tag: "Offer", element }
  }
  return () => {
    const choice = random.below(100)
    if (choice < 20) {
      return {
        _tag: "Write",
        entries: [entry("events"), ...random.many(random.below(3), () => entry("events"))],
        handled: [key(), mark()]
      }
    }
    if (choice < 40) return request()
    if (choice < 55) {
      const answered = unanswered.shift()
      if (answered === undefined) return request()
      return { _tag: "Reply", key: `${lane}/replies/${answered}`, mark: mark(), request: answered }
    }
    return choice < 70 ? { _tag: "Consume", key: tokensKey(lane) } : offer()
  }
}

const tokensOf = (model: Model, key: string): number => model.get(key)?.[0] ?? 0

/** What a lane's keys have after an operation. */
export const changeByPort = (model: Model, operation: PortOperation): Model => {
  switch (operation._tag) {
    case "Write":
      return new Map([...model, ...operation.entries, operation.handled])
    case "Request":
    case "Reply":
      return new Map([...model, [operation.key, operation.mark]])
    case "Consume": {
      const tokens = tokensOf(model, operation.key)
      return tokens < tokenLimit ? new Map([...model, [operation.key, [tokens + 1, 0]]]) : model
    }
    case "Offer":
      return model
  }
}

/** Whether all that a lane did is on disk when the operation is acknowledged. */
export const isPortDurable = (before: Model, operation: PortOperation, isShared: boolean): boolean => {
  switch (operation._tag) {
    case "Write":
    case "Request":
    case "Reply":
      return true
    case "Consume":
      return isShared && tokensOf(before, operation.key) < tokenLimit
    case "Offer":
      // An element that is known commits nothing
      return false
  }
}
