/**
 * What is done to a store while one call after the other fails: once with the methods
 * of a store, once with those of collections and with transactions.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { Collection, Store, type StoreService } from "../../src/index.ts"

/** What all errors have. */
interface Failure {
  readonly _tag: string
  readonly message: string
}

/** What a store and its collections hold. */
export type Model = ReadonlyMap<string, unknown>

/** A step of a scenario. */
export interface Step<Subject> {
  readonly name: string
  readonly run: (subject: Subject, folder: string) => Effect.Effect<unknown, Failure>
  /** What the store holds when it succeeded. */
  readonly change?: (model: Map<string, unknown>) => void
  /** The error that it fails with where the store holds this, if any. */
  readonly refusal?: (model: Model) => string | undefined
  /** Whether it waits for its own commit, which may have been made although it failed. */
  readonly isUnit?: boolean
  /** Ends a step of several commits that failed in the middle of them. */
  readonly goOn?: (subject: Subject) => Effect.Effect<unknown, Failure>
}

/** What is done, to what, and how it is looked at. */
export interface Scenario<Subject> {
  readonly open: (store: StoreService) => Effect.Effect<Subject, Failure>
  /** Opens it as it is in the end. */
  readonly reopen: (store: StoreService) => Effect.Effect<Subject, Failure>
  readonly steps: ReadonlyArray<Step<Subject>>
  readonly contents: (subject: Subject) => Effect.Effect<Model, Failure>
  /** What is wrong with it, whatever it holds. */
  readonly problems: (subject: Subject) => Effect.Effect<ReadonlyArray<unknown>, Failure>
}

// ---------------------------------------------------------------------------
// the methods of a store
// ---------------------------------------------------------------------------

type StoreStep = Step<StoreService>

const put = (key: string, value: unknown): StoreStep => ({
  name: `put ${key}`,
  run: (store) => store.put(key, value),
  change: (model) => model.set(key, value)
})

const remove = (key: string): StoreStep => ({
  name: `delete ${key}`,
  run: (store) => store.delete(key),
  change: (model) => model.delete(key)
})

const putMany = (entries: Readonly<Record<string, unknown>>): StoreStep => ({
  name: `putMany ${Object.keys(entries).join()}`,
  run: (store) => store.putMany(entries),
  change: (model) => Object.entries(entries).forEach(([key, value]) => model.set(key, value)),
  isUnit: true
})

const read = (name: string, run: StoreStep["run"]): StoreStep => ({ name, run })

const flush = read("flush", (store) => store.flush)

/** More than the map has room for at first. */
const large = "x".repeat(300_000)

const contentsOf = (store: StoreService) =>
  Effect.map(Stream.runCollect(store.entries()), (entries): Model => new Map(entries))

/** All methods of a store, on a store that grows. */
export const ofStore: Scenario<StoreService> = {
  open: Effect.succeed,
  reopen: Effect.succeed,
  contents: contentsOf,
  problems: () => Effect.succeed([]),
  steps: [
    put("a", 1),
    put("b", "two"),
    read("get", (store) => store.get("a")),
    putMany({ a: 3, c: [4] }),
    read("has", (store) => store.has("missing")),
    put("d", 5),
    {
      name: "update",
      run: (store) => store.update("c", () => Option.some("updated")),
      change: (model) => model.set("c", "updated")
    },
    flush,
    put("e", large),
    put("f", 6),
    remove("a"),
    read("size", (store) => store.size),
    read("getMany", (store) => store.getMany(["a", "b", "missing"])),
    flush,
    {
      name: "deleteOrFail",
      run: (store) => store.deleteOrFail("b"),
      change: (model) => model.delete("b")
    },
    read("entries", (store) => Stream.runCollect(store.entries())),
    read("count", (store) => store.count({ gte: "c" })),
    putMany({ e: "small", g: large, h: large, i: 7 }),
    // More than a batch: these are committed without being asked
    ...Array.from({ length: 7 }, (_, index) => put(`many ${index}`, index)),
    {
      name: "deleteMany",
      run: (store) => store.deleteMany(["many 0", "g", "missing"]),
      change: (model) => ["many 0", "g"].forEach((key) => model.delete(key)),
      isUnit: true
    },
    {
      name: "deleteRange",
      run: (store) => store.deleteRange({ prefix: "many " }),
      change: (model) => [...model.keys()].filter((key) => key.startsWith("many ")).forEach((key) => model.delete(key)),
      isUnit: true
    },
    read("stats", (store) => store.stats),
    put("j", 8),
    read("backup", (store, folder) => store.backup(join(folder, "copy"))),
    { name: "clear", run: (store) => store.clear, change: (model) => model.clear(), isUnit: true },
    put("k", 9),
    putMany({ l: 10 }),
    put("m", 11)
  ]
}

// ---------------------------------------------------------------------------
// collections and transactions
// ---------------------------------------------------------------------------

const User = Schema.Struct({ email: Schema.String, age: Schema.Int, tags: Schema.Array(Schema.String) })

type User = typeof User.Type

const openUsers = Collection.make("users", {
  key: Schema.Int,
  value: User,
  indexes: {
    byEmail: { key: Schema.String, of: (user: User) => user.email, unique: true },
    byAge: { key: Schema.Int, of: (user: User) => user.age },
    byTag: { key: Schema.String, each: (user: User) => user.tags }
  }
})

const Order = Schema.Struct({ user: Schema.Int, versions: Schema.Array(Schema.Int) })

type Order = typeof Order.Type

const isUser = Schema.is(User)

const orders = {
  key: Schema.Tuple([Schema.String, Schema.Int]),
  value: Order,
  indexes: { byUser: { key: Schema.Int, of: (order: Order) => order.user } }
}

const isOrder = Schema.is(Order)

/** Orders in a next version and with one more index; opening them migrates and builds. */
const openNextOrders = Collection.make("orders", {
  ...orders,
  version: 2,
  migrations: {
    1: (value): Effect.Effect<unknown, string> =>
      isOrder(value) ? Effect.succeed({ ...value, versions: [...value.versions, 2] }) : Effect.fail("it is no order")
  },
  indexes: { ...orders.indexes, byVersion: { key: Schema.Int, each: (order: Order) => order.versions } }
})

const openOrders = Collection.make("orders", orders)

const openCollections = Effect.fnUntraced(function*(store: StoreService) {
  const open = Effect.all({ users: openUsers, orders: openOrders })
  return { store, ...(yield* Effect.provideService(open, Store, store)) }
})

interface Collections {
  readonly store: StoreService
  readonly users: Effect.Success<typeof openUsers>
  readonly orders: Effect.Success<typeof openOrders> | Effect.Success<typeof openNextOrders>
}
type CollectionStep = Step<Collections>

const openNextCollections = (store: StoreService): Effect.Effect<Collections, Failure> =>
  Effect.gen(function*() {
    return { store, users: yield* openUsers, orders: yield* openNextOrders }
  }).pipe(Effect.provideService(Store, store))

const user = (email: string, age: number, tags: ReadonlyArray<string> = []): User => ({ email, age, tags })

const order = (of: number): Order => ({ user: of, versions: [1] })

class GivenUp extends Data.TaggedError("GivenUp")<{ readonly message: string }> {}

const giveUp = Effect.fail(new GivenUp({ message: "as it was meant" }))

/** Writes as a transaction that is given up in the end. */
const undone = ({ store }: Collections, writes: ReadonlyArray<Effect.Effect<unknown, Failure>>) =>
  Effect.catchIf(
    store.withTransaction(Effect.andThen(Effect.all(writes), giveUp)),
    (error) => error._tag === "GivenUp",
    () => Effect.void
  )

/** Whether the address of a user is taken by another. */
const violation = (key: number, { email }: User) => (model: Model): string | undefined => {
  for (const [other, value] of model) {
    if (other !== `users/${key}` && isUser(value) && value.email === email) return "UniqueViolation"
  }
  return undefined
}

const putUser = (key: number, value: User): CollectionStep => ({
  name: `put user ${key}`,
  run: ({ users }) => users.put(key, value),
  change: (model) => model.set(`users/${key}`, value),
  refusal: violation(key, value)
})

const insertUser = (key: number, value: User): CollectionStep => ({
  ...putUser(key, value),
  name: `insert user ${key}`,
  run: ({ users }) => users.insert(key, value),
  refusal: (model) => model.has(`users/${key}`) ? "KeyExists" : violation(key, value)(model)
})

const look = (name: string, run: CollectionStep["run"]): CollectionStep => ({ name, run })

const transaction = (
  name: string,
  run: (subject: Collections) => Effect.Effect<unknown, Failure>,
  change: NonNullable<CollectionStep["change"]>
): CollectionStep => ({
  name,
  run: (subject) => subject.store.withTransaction(run(subject)),
  change,
  isUnit: true
})

const openNext = ({ store }: Collections): Effect.Effect<unknown, Failure> =>
  Effect.flatMap(
    Effect.provideService(openNextOrders, Store, store),
    ({ verify }) =>
      Effect.flatMap(verify, (problems) =>
        problems.length === 0
          ? Effect.void
          : Effect.fail(new GivenUp({ message: `after a migration: ${JSON.stringify(problems)}` })))
  )

const steps: ReadonlyArray<CollectionStep> = [
  putUser(1, user("ada", 36, ["a", "b"])),
  insertUser(2, user("alan", 41)),
  insertUser(1, user("x", 1)),
  putUser(3, user("ada", 1)),
  {
    name: "update",
    run: ({ users }) => users.update(1, () => Option.some(user("eve", 37, ["b", "c"]))),
    change: (model) => model.set("users/1", user("eve", 37, ["b", "c"]))
  },
  look("flush", ({ store }) => store.flush),
  putUser(3, user("ada", 50, ["b"])),
  {
    name: "putMany",
    run: ({ orders: { putMany: putOrders } }) => putOrders([[["x", 1], order(1)], [["x", 2], order(2)]]),
    change: (model) => [1, 2].forEach((key) => model.set(`orders/x,${key}`, order(key))),
    isUnit: true
  },
  look("get by a unique index", ({ users }) => users.indexes.byEmail.getOrFail("eve")),
  look("entries by an index", ({ users }) => Stream.runCollect(users.indexes.byTag.entries({ gte: "b" }))),
  look("entries", ({ users }) => Stream.runCollect(users.entries({ reverse: true }))),
  look("getMany", ({ users }) => users.getMany([1, 2, 7])),
  look("first and size", ({ users }) => Effect.all([users.first({ gte: 2 }), users.size])),
  transaction(
    "a transaction over both collections",
    ({ orders: { put: putOrder }, store, users }) =>
      Effect.all([
        users.getOrFail(2),
        users.put(2, user("alan", 42, ["a"])),
        putOrder(["y", 1], order(2)),
        users.delete(3),
        store.put("plain", 1)
      ]),
    (model) => {
      model.set("users/2", user("alan", 42, ["a"])).set("orders/y,1", order(2)).set("plain", 1).delete("users/3")
    }
  ),
  look("a transaction that fails", (subject) =>
    undone(subject, [
      subject.users.delete(1),
      subject.orders.putMany([[["z", 1], order(1)]]),
      subject.store.put("z", 1)
    ])),
  transaction(
    "a transaction, a part of which fails",
    (subject) =>
      Effect.all([subject.users.put(4, user("bob", 20)), undone(subject, [subject.users.put(5, user("zoe", 20))])]),
    (model) => model.set("users/4", user("bob", 20))
  ),
  look(
    "a transaction that reads",
    ({ store, users }) => store.withTransaction(Effect.all([users.count(), store.size, users.indexes.byAge.count()]))
  ),
  { name: "delete", run: ({ users }) => users.delete(4), change: (model) => model.delete("users/4") },
  {
    name: "deleteOrFail",
    run: ({ users }) => users.deleteOrFail(1),
    change: (model) => model.delete("users/1")
  },
  putUser(6, user("bob", 60, ["a"])),
  {
    name: "deleteMany",
    run: ({ users }) => users.deleteMany([2, 7]),
    change: (model) => model.delete("users/2"),
    isUnit: true
  },
  {
    name: "rebuildIndexes",
    run: ({ users }) => users.rebuildIndexes,
    goOn: ({ users }) => users.rebuildIndexes
  },
  {
    name: "migrate",
    run: openNext,
    change: (model) => {
      for (const [key, value] of model) if (isOrder(value)) model.set(key, { ...value, versions: [1, 2] })
    },
    goOn: openNext
  },
  putUser(7, user("eve", 1)),
  { name: "clear", run: ({ users }) => users.clear, change: clearUsers, isUnit: true },
  putUser(8, user("eve", 8))
]

function clearUsers(model: Map<string, unknown>): void {
  for (const key of model.keys()) if (key.startsWith("users/")) model.delete(key)
}

/** The methods of two collections, and transactions over both and the store. */
export const ofCollections: Scenario<Collections> = {
  open: openCollections,
  reopen: openNextCollections,
  steps,
  contents: Effect.fnUntraced(function*({ orders: { entries }, store, users }: Collections) {
    const all = new Map(yield* contentsOf(store))
    for (const [key, value] of yield* Stream.runCollect(users.entries())) all.set(`users/${key}`, value)
    for (const [key, value] of yield* Stream.runCollect(entries())) all.set(`orders/${key.join()}`, value)
    return all
  }),
  problems: ({ orders: { verify }, users }) => Effect.map(Effect.all([users.verify, verify]), (found) => found.flat())
}
