/**
 * Tests the changes that subscribers receive, and what the next backend of a place finds after a close.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import type { Backend, CommittedChanges, Subscription } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import {
  admitted,
  batch,
  below,
  commit,
  contractCase,
  type ContractGroup,
  key,
  left,
  openWithDatabases,
  presentContents,
  put,
  readingToCommit,
  right,
  text,
  writeOf
} from "./subject.ts"

const subscribe = (backend: Backend, contains: (key: ByteString) => boolean = () => true) =>
  backend.subscribe({ database: left, contains, capacity: 10_000 })

/** Returns the writes of changes, as texts. */
const shown = ({ isCleared, writes }: CommittedChanges) => [
  ...(isCleared ? ["clear"] : []),
  ...writes.map(([name, value]) => `${name}=${value === null ? "" : text(value)}`)
]

/** Receives changes until they have a given number of writes. */
const takeWrites = Effect.fnUntraced(function*({ take }: Subscription, number: number) {
  const taken: Array<CommittedChanges> = []
  while (taken.reduce((sum, { writes }) => sum + writes.length, 0) < number) taken.push(yield* take)
  return taken
})

const assertRising = (changes: ReadonlyArray<CommittedChanges>): void => {
  const numbers = changes.map(({ transactionId }) => transactionId)
  ok(numbers.every((number, at) => at === 0 || number > (numbers[at - 1] ?? 0)), `${numbers.join()} rise`)
}

/** Adds one to a number in a commit of its own. Tries again until the commit is made. */
const increment = (backend: Backend): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const { found, reads } = yield* readingToCommit(backend, (reader) => reader.get(left, key("a"), text))
    const writes = batch([writeOf(left, "a", `${Number(found ?? 0) + 1}`)])
    if (!(yield* backend.commit({ reads, writes }, admitted))) yield* increment(backend)
  })

/** The cases. */
export const changes: ContractGroup = {
  name: "changes",
  cases: [
    contractCase("arrive in the order of the commits, and none is missing", (backend) =>
      Effect.gen(function*() {
        const subscription = yield* subscribe(backend)
        yield* Effect.forEach(below(5), () => Effect.repeat(increment(backend), { times: 7 }), {
          concurrency: "unbounded",
          discard: true
        })
        const taken = yield* takeWrites(subscription, 40)
        const values = taken.flatMap(({ writes }) => writes.map(([, value]) => value === null ? "" : text(value)))
        // The backend may make one transaction of several commits. Then only the last value of a key arrives.
        const numbers = values.map(Number)
        ok(numbers.every((number, at) => at === 0 || number > (numbers[at - 1] ?? 0)), `${numbers.join()} rise`)
        strictEqual(numbers.at(-1), 40)
        assertRising(taken)
      })),

    contractCase(
      "include pending writes after their commit, deletions and clears",
      (backend) =>
        Effect.gen(function*() {
          const subscription = yield* subscribe(backend)
          yield* put(backend, left, "a", "1")
          yield* put(backend, right, "a", "of another database")
          yield* backend.flush
          deepStrictEqual(shown(yield* subscription.take), ["a=1"])
          yield* backend.remove([writeOf(left, "a", null)], admitted)
          yield* backend.flush
          deepStrictEqual(shown(yield* subscription.take), ["a="])
          yield* backend.commit({ reads: [], writes: batch([writeOf(left, "b", "2")], left) }, admitted)
          deepStrictEqual(shown(yield* subscription.take), ["clear", "b=2"])
        })
    ),

    contractCase(
      "reach each subscriber from its subscription on, for the keys that it has selected",
      (backend) =>
        Effect.gen(function*() {
          yield* commit(backend, writeOf(left, "before", "1"))
          const all = yield* subscribe(backend)
          const some = yield* subscribe(backend, (name) => name.startsWith("b"))
          yield* commit(backend, writeOf(left, "a", "1"))
          yield* commit(backend, writeOf(left, "b", "2"), writeOf(left, "c", "3"))
          deepStrictEqual((yield* takeWrites(all, 3)).flatMap(shown).toSorted(), ["a=1", "b=2", "c=3"])
          deepStrictEqual((yield* takeWrites(some, 1)).flatMap(shown), ["b=2"])
        })
    ),

    contractCase("of a commit that is not made do not arrive", (backend) =>
      Effect.gen(function*() {
        const subscription = yield* subscribe(backend)
        const { reads } = yield* readingToCommit(backend, (reader) => reader.has(left, key("a")))
        yield* commit(backend, writeOf(left, "a", "1"))
        yield* backend.commit({ reads, writes: batch([writeOf(left, "b", "no")]) }, admitted)
        yield* commit(backend, writeOf(left, "c", "3"))
        deepStrictEqual((yield* takeWrites(subscription, 2)).flatMap(shown), ["a=1", "c=3"])
      })),

    contractCase("that wait arrive before the subscription ends", (backend) =>
      Effect.gen(function*() {
        const subscription = yield* subscribe(backend)
        yield* commit(backend, writeOf(left, "a", "1"))
        subscription.end()
        deepStrictEqual(shown(yield* subscription.take), ["a=1"])
        const end = yield* Effect.exit(subscription.take)
        ok(Exit.isFailure(end) && Cause.hasFails(end.cause), "nothing comes after the end")
      }))
  ]
}

/** Uses a backend, and closes it. */
const using = <A>(
  open: Parameters<typeof openWithDatabases>[0],
  use: (backend: Backend) => Effect.Effect<A, unknown>
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const backend = yield* Scope.provide(openWithDatabases(open), scope)
    const used = yield* use(backend)
    let isClosing = false
    yield* backend.close(Effect.sync(() => {
      isClosing = true
    }))
    strictEqual(isClosing, true)
    yield* Scope.close(scope, Exit.void)
    return used
  })

/** The cases. */
export const closing: ContractGroup = {
  name: "a close",
  cases: [
    {
      name: "keeps what was written, committed and cleared for the next backend of the place",
      run: (open) =>
        Effect.gen(function*() {
          yield* using(open, (backend) =>
            Effect.gen(function*() {
              yield* commit(backend, writeOf(left, "a", "1"), writeOf(left, "b", "2"), writeOf(right, "old", "1"))
              yield* backend.commit({ reads: [], writes: batch([writeOf(right, "new", "2")], right) }, admitted)
              yield* put(backend, left, "pending", "3")
              yield* backend.remove([writeOf(left, "b", null)], admitted)
            }))
          yield* using(open, (backend) =>
            Effect.gen(function*() {
              const names = yield* backend.databases()
              ok(names.includes(left) && names.includes(right), "the databases are there")
              yield* backend.openDatabase(left)
              deepStrictEqual(yield* presentContents(backend, left), { a: "1", pending: "3" })
              deepStrictEqual(yield* presentContents(backend, right), { new: "2" })
            }))
        })
    },
    {
      name: "waits for commits, and ends subscriptions after their changes",
      run: (open) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const backend = yield* Scope.provide(openWithDatabases(open), scope)
          const subscription = yield* Scope.provide(subscribe(backend), scope)
          yield* put(backend, left, "a", "1")
          const commits = yield* Effect.forEach(below(5), (number) =>
            Effect.forkChild(commit(backend, writeOf(left, `k${number}`, "1")), { startImmediately: true }))
          yield* backend.close(Effect.void)
          for (const fiber of commits) {
            strictEqual(yield* fiber.pollUnsafe() ?? Exit.die("it runs"), true)
          }
          strictEqual((yield* takeWrites(subscription, 6)).flatMap(shown).length, 6)
          ok(Exit.isFailure(yield* Effect.exit(subscription.take)), "nothing comes after the end")
          yield* Scope.close(scope, Exit.void)
        })
    }
  ]
}
