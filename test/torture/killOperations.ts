/**
 * What a process does to a store until it is killed, and what the store should hold
 * then.
 *
 * A lane is a fiber with keys of its own, which does one thing after the other. All
 * that it does follows from a seed, so that the process that watches knows it too.
 */
import * as Effect from "effect/Effect"
import type { StoreService } from "../../src/index.ts"
import { changeByPort, choose, isPortDurable, type PortOperation } from "./killPortOperations.ts"
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
  | Transaction
  | PortOperation

/** Writes in several places that are made as one, if they are. */
interface Transaction {
  readonly _tag: "Transaction"
  /** Keys with their marks, or with nothing where they are deleted. */
  readonly writes: ReadonlyArray<readonly [string, Mark | undefined]>
  /** What a transaction inside of it writes, which fails. */
  readonly undone: ReadonlyArray<readonly [string, Mark | undefined]>
  /** The elements that it offers to a queue. */
  readonly offered: ReadonlyArray<number>
  /** How it ends: the last ways undo all of it. */
  readonly ending: "commit" | "fail" | "violate a unique index"
}

/** One life of a process. */
export interface Life {
  readonly seed: number
  /** The number of the life within its round: no two values of a round are the same. */
  readonly number: number
  readonly lanes: number
  /** How many operations each lane makes before the process ends by itself. */
  readonly operations: number
  /** Whether other processes may have the store open. */
  readonly shared: boolean
}

/** The most lanes of a life. */
export const mostLanes = 4

const keysOfLane = 40

/** Where a lane has keys: among the records of the store, in two collections, in a key-value store and in a cache. */
const placeNames = ["records", "accounts", "journal", "keyValues", "results"] as const

export type PlaceName = (typeof placeNames)[number]

/** The key with a number in a lane; a lane's keys in a place are next to each other. */
const keyOf = (lane: number, place: PlaceName, number: number): string =>
  `${lane}/${place === "records" ? "" : `${place}/`}${String(number).padStart(2, "0")}`

/** The keys that a lane has in a place. */
export const keysOfPlace = (lane: number, place: PlaceName): ReadonlyArray<string> =>
  Array.from({ length: keysOfLane }, (_, number) => keyOf(lane, place, number))

/** The lane that a key belongs to. */
export const laneOf = (key: string): number => Number(key.slice(0, key.indexOf("/")))

/** The place that a key belongs to; nothing for keys of what cannot be overwritten, such as entries of a journal. */
const placeOfAny = (key: string): PlaceName | undefined => {
  const [, place = "", number] = key.split("/")
  return number === undefined ? "records" : placeNames.find((name) => name === place)
}

/** The place to which a key is written. */
const placeOf = (key: string): PlaceName => placeOfAny(key) ?? "records"

/** The same key as collections have it. */
export const inCollection = (key: string): readonly [lane: number, number: number] => [
  laneOf(key),
  Number(key.slice(key.lastIndexOf("/") + 1))
]

const numbersOfLife = 100_000

/** The life in which a mark with a number was made. */
export const lifeOfNumber = (number: number): number => Math.floor(number / numbersOfLife)

/** The value that a mark stands for: no two are equal, and no part of one is part of another. */
export const markOf = ([number, size]: Mark) => {
  const text = `${number};`.repeat(Math.ceil(size / 2)).slice(0, size)
  // Two record structures
  return number % 2 === 0 ? { number, text } : { text, number }
}

const sizeOf = (random: Random.Random): number => {
  // Growth comes with the few large ones
  if (random.oneIn(60)) return random.between(100_000, 400_000)
  return random.oneIn(10) ? random.between(3000, 20_000) : random.below(400)
}

/** What chooses the operations of a lane. */
interface Choices {
  readonly random: Random.Random
  readonly key: (place: PlaceName) => string
  readonly mark: () => Mark
}

const transactionOf = ({ key, mark, random }: Choices): Transaction => {
  const write = (): readonly [string, Mark | undefined] => [
    key(random.pick(placeNames)),
    random.oneIn(4) ? undefined : mark()
  ]
  const ending = random.pick<Transaction["ending"]>(["commit", "commit", "commit", "fail", "violate a unique index"])
  const same = mark()
  return {
    _tag: "Transaction",
    writes: [
      [key("accounts"), mark()],
      ...random.many(random.below(5), write),
      [key("journal"), mark()],
      ...ending === "violate a unique index" ? distinct(key).map((each) => [each, same] as const) : []
    ],
    undone: random.many(random.below(3), write),
    offered: random.many(random.below(3), () => mark()[0]),
    ending
  }
}

/** Two accounts, which cannot have the same number. */
const distinct = (key: Choices["key"]): ReadonlyArray<string> => {
  const [first, second] = [key("accounts"), key("accounts")]
  return first === second ? distinct(key) : [first, second]
}

const manyOf = ({ key, mark, random }: Choices): Operation => {
  const place = random.pick<PlaceName>(["records", ...placeNames])
  return random.oneIn(3)
    ? { _tag: "DeleteMany", keys: random.many(random.between(1, 8), () => key(place)) }
    : { _tag: "PutMany", entries: random.many(random.between(1, 12), () => [key(place), mark()] as const) }
}

const singleOf = ({ key, mark, random }: Choices): Operation => {
  const place = random.pick<PlaceName>(["records", ...placeNames])
  const choice = random.below(65)
  if (choice < 45) return { _tag: "Put", key: key(place), mark: mark() }
  return choice < 55
    ? { _tag: "Update", key: key(place), mark: mark() }
    : { _tag: "Delete", key: key(place) }
}

/** What a lane does in a life. */
export const operationsOf = (life: Life, lane: number): ReadonlyArray<Operation> => {
  const random = Random.make(Random.seedOf(life.seed, lane))
  let count = life.number * numbersOfLife + lane * 10_000
  const choices: Choices = {
    random,
    key: (place) => keyOf(lane, place, random.below(keysOfLane)),
    mark: () => [++count, sizeOf(random)]
  }
  const portOperation = choose({ lane, random, mark: choices.mark, key: () => choices.key("accounts") })
  const operation = (index: number): Operation => {
    const choice = random.below(100)
    if (choice < 35) return singleOf(choices)
    if (choice < 60) return portOperation()
    if (choice < 73) return manyOf(choices)
    if (choice < 83) return transactionOf(choices)
    if (choice < 87) {
      const from = random.below(keysOfLane)
      return {
        _tag: "DeleteRange",
        from: keyOf(lane, "records", from),
        to: keyOf(lane, "records", from + random.below(10))
      }
    }
    if (choice < 97) return { _tag: "Flush" }
    if (choice < 98) return { _tag: "Clear" }
    return { _tag: "Backup", name: `${life.number}-${lane}-${index}` }
  }
  return Array.from({ length: life.operations }, (_, index) => operation(index))
}

/** The life in which a backup was made. */
export const lifeOfBackup = (name: string): number => Number(name.slice(0, name.indexOf("-")))

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
      return new Map(
        [...model].filter(([key]) => placeOfAny(key) !== "records" || key < operation.from || key > operation.to)
      )
    case "Clear":
      return new Map([...model].filter(([key]) => placeOfAny(key) !== "records"))
    case "Transaction":
      if (operation.ending !== "commit") return model
      return changed(model, (next) => {
        for (const [key, mark] of operation.writes) {
          if (mark === undefined) next.delete(key)
          else next.set(key, mark)
        }
      })
    case "Flush":
    case "Backup":
      return model
    default:
      return changeByPort(model, operation)
  }
}

/** Whether all that a lane did is on disk when the operation is acknowledged. */
export const isDurable = (before: Model, operation: Operation, isShared: boolean): boolean => {
  const deletes = () => change(before, operation).size < before.size
  switch (operation._tag) {
    case "Put":
    case "Update":
    case "Delete":
      return false
    case "DeleteRange":
    case "Clear":
      // What finds nothing to delete commits nothing
      return deletes()
    case "DeleteMany":
      return operation.keys.some((key) => placeOf(key) === "records") || deletes()
    case "Transaction":
      return operation.ending === "commit"
    case "PutMany":
    case "Flush":
    case "Backup":
      return true
    default:
      return isPortDurable(before, operation, isShared)
  }
}

/** What can be asked of a store and of a collection alike. */
export interface Place {
  readonly put: (key: string, mark: Mark) => Effect.Effect<unknown, Failure>
  readonly update: (key: string, mark: Mark) => Effect.Effect<unknown, Failure>
  readonly delete: (key: string) => Effect.Effect<unknown, Failure>
  readonly putMany: (entries: ReadonlyArray<readonly [string, Mark]>) => Effect.Effect<unknown, Failure>
  readonly deleteMany: (keys: ReadonlyArray<string>) => Effect.Effect<unknown, Failure>
}

interface Failure {
  readonly _tag: string
}

/** What operations are done to. */
export interface Subject {
  readonly store: StoreService
  readonly places: Readonly<Record<PlaceName, Place>>
  readonly lane: number
  readonly lanes: number
  /** The folder of the backups. */
  readonly backups: string
  /** Offers an element to a queue. */
  readonly offer: (element: number) => Effect.Effect<unknown, Failure>
  /** Does what is done to the implementations of Effect's interfaces. */
  readonly performPort: (operation: PortOperation) => Effect.Effect<unknown, unknown>
}

const givenUp: Failure = { _tag: "GivenUp" }

const performTransaction = (
  { offer, places, store }: Subject,
  { ending, offered, undone, writes }: Transaction
): Effect.Effect<unknown, unknown> => {
  const write = ([key, mark]: readonly [string, Mark | undefined]) =>
    mark === undefined ? places[placeOf(key)].delete(key) : places[placeOf(key)].put(key, mark)
  const writeAll = (all: Transaction["writes"]) => Effect.forEach(all, write, { discard: true })
  const inner = Effect.flip(store.withTransaction(Effect.andThen(writeAll(undone), Effect.fail(givenUp))))
  const outer = store.withTransaction(
    Effect.all([
      writeAll(writes.slice(0, 1)),
      undone.length === 0 ? Effect.void : inner,
      Effect.forEach(offered, offer, { discard: true }),
      writeAll(writes.slice(1)),
      ending === "fail" ? Effect.fail(givenUp) : Effect.void
    ])
  )
  if (ending === "commit") return outer
  const expected = ending === "fail" ? "GivenUp" : "UniqueViolation"
  return Effect.flatMap(Effect.flip(outer), (error) => error._tag === expected ? Effect.void : Effect.fail(error))
}

/** Does an operation. */
export const perform = (subject: Subject, operation: Operation): Effect.Effect<unknown, unknown> => {
  const { backups, lane, lanes, places, store } = subject
  switch (operation._tag) {
    case "Put":
      return places[placeOf(operation.key)].put(operation.key, operation.mark)
    case "Update":
      return places[placeOf(operation.key)].update(operation.key, operation.mark)
    case "Delete":
      return places[placeOf(operation.key)].delete(operation.key)
    case "PutMany":
      return places[placeOf(operation.entries[0]?.[0] ?? "")].putMany(operation.entries)
    case "DeleteMany":
      return places[placeOf(operation.keys[0] ?? "")].deleteMany(operation.keys)
    case "Transaction":
      return performTransaction(subject, operation)
    case "DeleteRange":
      return store.deleteRange({ gte: operation.from, lte: operation.to })
    case "Flush":
      return store.flush
    case "Clear":
      return lanes === 1 ? store.clear : store.deleteRange({ prefix: `${lane}/` })
    case "Backup":
      return store.backup(`${backups}/${operation.name}`, { compact: lane % 2 === 0 })
    default:
      return subject.performPort(operation)
  }
}
