/**
 * Tests what a subscriber to the commits receives: the previous records, the transaction ids, and the change log.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import type { Backend, CommittedChanges, CommittedWrite } from "../../Backend.ts"
import {
  admitted,
  batch,
  commit,
  contractCase,
  type ContractGroup,
  key,
  left,
  openWithDatabases,
  put,
  right,
  text,
  writeOf
} from "./subject.ts"

const pollInterval = Duration.millis(10)

const all = { database: left, contains: () => true }

/** Shows the previous record of a write as a short text. */
const before = ([name, , found]: CommittedWrite): string =>
  `${name}:${found instanceof Uint8Array ? text(found) : String(found)}`

const values = ({ writes }: CommittedChanges): ReadonlyArray<string> =>
  writes.map(([name, value]) => `${name}=${value === null ? "" : text(value)}`)

/** Reads a number of transactions from the log, after a given one. */
const followed = (backend: Backend, since: number, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const { take } = yield* backend.subscribeToLog({ ...all, since, pollInterval })
    const taken: Array<CommittedChanges> = []
    while (taken.length < count) taken.push(yield* take)
    return taken
  }))

/** The cases. */
export const following: ContractGroup = {
  name: "a subscriber to the commits",
  cases: [
    contractCase("receives the previous records that it has asked for", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "1"))
        const value = yield* backend.subscribe({ ...all, capacity: 100, before: "value" })
        const existence = yield* backend.subscribe({ ...all, capacity: 100, before: "existence" })
        const nothing = yield* backend.subscribe({ ...all, capacity: 100 })
        yield* commit(backend, writeOf(left, "a", "2"), writeOf(left, "b", "1"), writeOf(right, "a", "1"))
        yield* backend.commit({ reads: [], writes: batch([writeOf(left, "a", null)], left) }, admitted)
        deepStrictEqual((yield* value.take).writes.map(before).toSorted(), ["a:1", "b:false"])
        deepStrictEqual((yield* value.take).writes.map(before), ["a:false"])
        deepStrictEqual((yield* existence.take).writes.map(before).toSorted(), ["a:true", "b:false"])
        deepStrictEqual((yield* nothing.take).writes.map(before).toSorted(), ["a:undefined", "b:undefined"])
      })),

    contractCase(
      "finds in a committed snapshot all transactions up to its id, and no pending writes",
      (backend) =>
        Effect.gen(function*() {
          const { take } = yield* backend.subscribe({ ...all, capacity: 100 })
          yield* commit(backend, writeOf(left, "a", "1"))
          const first = yield* take
          yield* put(backend, left, "a", "pending")
          const snapshot = yield* Effect.acquireRelease(
            backend.committedSnapshot(),
            ({ release }) => Effect.sync(release)
          )
          strictEqual(yield* snapshot.get(left, key("a"), text), "1")
          ok(snapshot.transactionId >= first.transactionId)
          yield* backend.flush
          ok((yield* take).transactionId > snapshot.transactionId)
          strictEqual(yield* snapshot.get(left, key("a"), text), "1")
        })
    ),

    contractCase("receives the transaction ids that the changes have", (backend) =>
      Effect.gen(function*() {
        const commits = yield* backend.commits({ pollInterval, capacity: 100 })
        const { take } = yield* backend.subscribe({ ...all, capacity: 100 })
        yield* commit(backend, writeOf(left, "a", "1"))
        yield* commit(backend, writeOf(left, "a", "2"))
        for (let count = 0; count < 2; count++) {
          const { isOwn, transactionId } = yield* commits.take
          deepStrictEqual([isOwn, transactionId], [true, (yield* take).transactionId])
        }
      })),

    {
      name: "continues from the log after a transaction, also after a reopening; or fails if there is no log",
      run: (open) =>
        Effect.gen(function*() {
          const since = yield* Effect.scoped(Effect.gen(function*() {
            const backend = yield* openWithDatabases(open)
            const { take } = yield* backend.subscribe({ ...all, capacity: 100 })
            yield* commit(backend, writeOf(left, "a", "1"))
            const { transactionId } = yield* take
            yield* commit(backend, writeOf(right, "a", "other"))
            yield* commit(backend, writeOf(left, "b", "2"), writeOf(left, "c", "3"))
            yield* backend.close(Effect.void)
            return transactionId
          }))
          const backend = yield* openWithDatabases(open)
          if (!backend.hasLog) {
            const missed = yield* Effect.flip(followed(backend, since, 1))
            return strictEqual(missed._tag, "ChangesMissed")
          }
          yield* commit(backend, writeOf(left, "c", null))
          const taken = yield* followed(backend, since, 2)
          deepStrictEqual(taken.map((changes) => values(changes).toSorted()), [["b=2", "c=3"], ["c="]])
          const ahead = yield* Effect.flip(followed(backend, since + 1000, 1))
          strictEqual(ahead._tag, "ChangesMissed")
        })
    }
  ]
}
