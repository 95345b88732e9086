/**
 * What a process does to a store until it is killed, and what the store should hold
 * then.
 *
 * A lane is a fiber with keys of its own, which does one thing after the other. All
 * that it does follows from a seed, so that the process that watches knows it too.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { StoreService } from "../../src/index.ts"
import * as Random from "./random.ts"

/** A value as the watching process knows it: what it was made of. */
export type Mark = readonly [number: number, size: number]

/** What the keys of a lane have. */
export type Model = ReadonlyMap<string, Mark>

/** One thing that a lane does. */
export type Operation =
  | { readonly _tag: "Put" | "Update"; readonly key: string; readonly mark: Mark }
  | { readonly _tag: "Delete"; readonly key: string }
  | { readonly _tag: "PutMany"; readonly entries: ReadonlyArray<readonly [string, Mark]> }
  | { readonly _tag: "DeleteMany"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "DeleteRange"; readonly from: string; readonly to: string }
  | { readonly _tag: "Flush" }
  | { readonly _tag: "Clear" }
  | { readonly _tag: "Backup"; readonly name: string }
// Transactions over two collections with an index, and migrations: one more tag each here, in `operationsOf`,
// `change`, `isDurable` and `perform`. The indexes are compared where the records are, in `programs/killed.ts`.

/** One life of a process. */
export interface Life {
  readonly seed: number
  /** The number of the life within its round: no two values of a round are the same. */
  readonly number: number
  readonly lanes: number
  /** How many operations each lane makes before the process ends by itself. */
  readonly operations: number
}

const keysOfLane = 40

/** The key at a place in a lane; a lane's keys are next to each other. */
const keyOf = (lane: number, place: number): string => `${lane}/${String(place).padStart(2, "0")}`

/** The lane that a key belongs to. */
export const laneOf = (key: string): number => Number(key.slice(0, key.indexOf("/")))

/** The value that a mark stands for: no two are equal, and no part of one is part of another. */
export const valueOf = ([number, size]: Mark): unknown => ({
  number,
  text: `${number};`.repeat(Math.ceil(size / 2)).slice(0, size)
})

const sizeOf = (random: Random.Random): number => {
  // Growth comes with the few large ones
  if (random.oneIn(60)) return random.between(100_000, 400_000)
  return random.oneIn(10) ? random.between(3000, 20_000) : random.below(400)
}

/** What a lane does in a life. */
export const operationsOf = (life: Life, lane: number): ReadonlyArray<Operation> => {
  const random = Random.make(Random.seedOf(life.seed, lane))
  let count = life.number * 100_000 + lane * 10_000
  const key = () => keyOf(lane, random.below(keysOfLane))
  const mark = (): Mark => [++count, sizeOf(random)]
  const operation = (index: number): Operation => {
    const choice = random.below(100)
    if (choice < 45) return { _tag: "Put", key: key(), mark: mark() }
    if (choice < 55) return { _tag: "Update", key: key(), mark: mark() }
    if (choice < 65) return { _tag: "Delete", key: key() }
    if (choice < 77) {
      return { _tag: "PutMany", entries: random.many(random.between(1, 12), () => [key(), mark()] as const) }
    }
    if (choice < 83) return { _tag: "DeleteMany", keys: random.many(random.between(1, 8), key) }
    if (choice < 87) {
      const from = random.below(keysOfLane)
      return { _tag: "DeleteRange", from: keyOf(lane, from), to: keyOf(lane, from + random.below(10)) }
    }
    if (choice < 97) return { _tag: "Flush" }
    if (choice < 98) return { _tag: "Clear" }
    return { _tag: "Backup", name: `${life.number}-${lane}-${index}` }
  }
  return Array.from({ length: life.operations }, (_, index) => operation(index))
}

const changed = (model: Model, change: (next: Map<string, Mark>) => void): Model => {
  const next = new Map(model)
  change(next)
  return next
}

/** What a lane's keys have after an operation. */
export const change = (model: Model, operation: Operation): Model => {
  switch (operation._tag) {
    case "Put":
    case "Update":
      return changed(model, (next) => next.set(operation.key, operation.mark))
    case "Delete":
      return changed(model, (next) => next.delete(operation.key))
    case "PutMany":
      return new Map([...model, ...operation.entries])
    case "DeleteMany":
      return changed(model, (next) => operation.keys.forEach((key) => next.delete(key)))
    case "DeleteRange":
      return new Map([...model].filter(([key]) => key < operation.from || key > operation.to))
    case "Clear":
      return new Map()
    case "Flush":
    case "Backup":
      return model
  }
}

/** Whether all that a lane did is on disk when the operation is acknowledged. */
export const isDurable = (before: Model, operation: Operation): boolean => {
  switch (operation._tag) {
    case "Put":
    case "Update":
    case "Delete":
      return false
    case "DeleteRange":
    case "Clear":
      // What finds nothing to delete commits nothing
      return change(before, operation).size < before.size
    case "PutMany":
    case "DeleteMany":
    case "Flush":
    case "Backup":
      return true
  }
}

/** Does an operation. */
export const perform = (
  store: StoreService,
  operation: Operation,
  options: { readonly lane: number; readonly lanes: number; readonly backups: string }
): Effect.Effect<unknown, unknown> => {
  switch (operation._tag) {
    case "Put":
      return store.put(operation.key, valueOf(operation.mark))
    case "Update":
      return store.update(operation.key, () => Option.some(valueOf(operation.mark)))
    case "Delete":
      return store.delete(operation.key)
    case "PutMany":
      return store.putMany(operation.entries.map(([key, mark]) => [key, valueOf(mark)] as const))
    case "DeleteMany":
      return store.deleteMany(operation.keys)
    case "DeleteRange":
      return store.deleteRange({ gte: operation.from, lte: operation.to })
    case "Flush":
      return store.flush
    case "Clear":
      return options.lanes === 1 ? store.clear : store.deleteRange({ prefix: `${options.lane}/` })
    case "Backup":
      return store.backup(`${options.backups}/${operation.name}`, { compact: options.lane % 2 === 0 })
  }
}
