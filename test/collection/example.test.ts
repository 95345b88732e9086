/** What a user tries first, and must see. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, Store } from "../../src/index.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

class User extends Schema.Class<User>("User")({
  name: Schema.NonEmptyString,
  email: Schema.String,
  age: Schema.Int,
  credits: Schema.Int
}) {}

const byEmail = { key: Schema.String, of: (user: { readonly email: string }) => user.email, unique: true }
const byAge = { key: Schema.Int, of: (user: { readonly age: number }) => user.age }

class Users extends Collection.Service<Users>()("users", {
  key: Schema.Int,
  value: User,
  indexes: { byEmail, byAge }
}) {}

/** The same users in the next version of the program: `name` is `fullName`. */
class Person extends Schema.Class<Person>("Person")({
  fullName: Schema.NonEmptyString,
  email: Schema.String,
  age: Schema.Int,
  credits: Schema.Int
}) {}

const renameField = (value: unknown) =>
  Effect.gen(function*() {
    const { name, ...rest } = yield* Schema.decodeUnknownEffect(User)(value)
    return { fullName: name, ...rest }
  })

class People extends Collection.Service<People>()("users", {
  key: Schema.Int,
  value: Person,
  indexes: { byEmail, byAge },
  version: 2,
  migrations: { 1: renameField }
}) {}

const count = 3000

const userOf = (number: number) =>
  new User({ name: `User ${number}`, email: `${number}@example.com`, age: number % 90, credits: 100 })

class TooPoor extends Schema.TaggedError<TooPoor>()("TooPoor", { credits: Schema.Int }) {}

const withCredits = ({ age, email, name }: User, credits: number) => new User({ name, email, age, credits })

const transfer = Effect.fnUntraced(function*(
  from: number,
  to: number,
  credits: number,
  halfWay: Effect.Effect<void> = Effect.void
) {
  const store = yield* Store
  const users = yield* Users
  yield* store.withTransaction(Effect.gen(function*() {
    const payer = yield* users.getOrFail(from)
    if (payer.credits < credits) return yield* new TooPoor({ credits: payer.credits })
    yield* users.put(from, withCredits(payer, payer.credits - credits))
    yield* halfWay
    yield* users.update(to, Option.map((payee) => withCredits(payee, payee.credits + credits)))
  }))
})

const creditsOf = Effect.fnUntraced(function*(...numbers: ReadonlyArray<number>) {
  const users = yield* Users
  return (yield* Effect.forEach(numbers, users.getOrFail)).map(({ credits }) => credits)
})

const firstProgram = Effect.gen(function*() {
  const users = yield* Users
  const store = yield* Store
  yield* Effect.forEach(
    Array.from({ length: count }, (_, number) => number),
    (number) => users.insert(number, userOf(number)),
    { discard: true }
  )

  // Ages 30 to 40, in order
  const ages = yield* Stream.runCollect(
    users.indexes.byAge.values({ gte: 30, lte: 40 }).pipe(Stream.map(({ age }) => age))
  )
  const expected = Array.from({ length: count }, (_, number) => number % 90).filter((age) => age >= 30 && age <= 40)
  assert.deepStrictEqual(ages, expected.toSorted((a, b) => a - b))

  // One user by e-mail, and none with the same
  const found = yield* users.indexes.byEmail.getOrFail("17@example.com")
  assert.strictEqual(found.name, "User 17")
  const refused = yield* Effect.flip(users.insert(count, found))
  assert.include(refused, { _tag: "UniqueViolation", index: "byEmail", existingKey: 17 })
  assert.strictEqual((yield* Effect.flip(users.insert(17, found)))._tag, "KeyExists")

  // Another fiber watches the changes
  yield* store.flush
  const watching = yield* start(Stream.runCollect(Stream.take(users.changes(), 2)))
  yield* turns(5)

  // A transfer that is interrupted half-way, one that fails, and one that is made
  const isHalfWay = yield* Deferred.make<void>()
  const interrupted = yield* start(
    transfer(1, 2, 30, Effect.andThen(Deferred.succeed(isHalfWay, undefined), Effect.never))
  )
  yield* Deferred.await(isHalfWay)
  yield* Fiber.interrupt(interrupted)
  assert.deepStrictEqual(yield* creditsOf(1, 2), [100, 100])
  assert.include(yield* Effect.flip(transfer(1, 2, 101)), { _tag: "TooPoor", credits: 100 })
  yield* transfer(1, 2, 30)
  assert.deepStrictEqual(yield* creditsOf(1, 2), [70, 130])

  const changes = yield* Fiber.join(watching)
  const values = yield* Effect.forEach(
    changes,
    (change) => change._tag === "Put" ? change.value : Effect.die(change._tag)
  )
  assert.deepStrictEqual(values.map(({ credits, name }) => [name, credits]), [["User 1", 70], ["User 2", 130]])
  assert.strictEqual(changes[0]?.transactionId, changes[1]?.transactionId)
})

const nextProgram = Effect.gen(function*() {
  const people = yield* People
  const first = yield* people.getOrFail(1)
  assert.instanceOf(first, Person)
  assert.deepStrictEqual(first, new Person({ fullName: "User 1", email: "1@example.com", age: 1, credits: 70 }))
  assert.strictEqual(yield* people.size, count)
  assert.strictEqual((yield* people.indexes.byEmail.getOrFail("2@example.com")).credits, 130)
  assert.strictEqual(yield* people.indexes.byAge.count({ equals: 1 }), Math.ceil((count - 1) / 90))
})

describe("a first program", () => {
  it.effect("inserts, streams by an index, transfers, watches, renames a field and opens the old data", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const live = () => Store.layer({ path })
      yield* Effect.provide(firstProgram, Layer.provideMerge(Users.layer, live()))
      yield* Effect.provide(nextProgram, Layer.provide(People.layer, live()))
      const failure = yield* Effect.flip(Effect.provide(Users, Layer.provide(Users.layer, live())))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "NewerVersion", collection: "users" })
    }))
})
