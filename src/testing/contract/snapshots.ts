/**
 * Tests that a snapshot does not change when other fibers write.
 */
import * as Effect from "effect/Effect"
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import type { Backend, Snapshot } from "../../Backend.ts"
import {
  admitted,
  batch,
  below,
  beside,
  commit,
  contentsOf,
  contractCase,
  type ContractGroup,
  key,
  left,
  put,
  right,
  text,
  writeOf
} from "./subject.ts"

/** Opens a snapshot, and releases it after `use`. */
const withSnapshot = <A, E, R>(backend: Backend, use: (snapshot: Snapshot) => Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.andThen(backend.beforeSnapshot, Effect.suspend(backend.snapshot)),
    use,
    (snapshot) => Effect.sync(snapshot.release)
  )

/** Reads both databases in every way. */
const assertPair = Effect.fnUntraced(function*(snapshot: Snapshot) {
  const first = yield* contentsOf(snapshot, left)
  yield* Effect.yieldNow
  deepStrictEqual(yield* contentsOf(snapshot, right), first)
  yield* Effect.yieldNow
  for (const database of [left, right]) {
    strictEqual(yield* snapshot.count(database), Object.keys(first).length)
    deepStrictEqual(
      yield* snapshot.getMany(database, Object.keys(first).map(key), text),
      Object.values(first)
    )
  }
  return first
})

/** Writes the same to both databases at once, in different ways. */
const writePair = (backend: Backend, number: number) => {
  const writes = [left, right].flatMap((database) => [
    writeOf(database, "a", `${number}`),
    writeOf(database, `k${number % 5}`, number % 3 === 0 ? null : `${number}`)
  ])
  switch (number % 4) {
    case 0:
      return backend.commit({ reads: [], writes: batch(writes) }, admitted)
    case 1:
      return Effect.andThen(backend.write(writes, admitted), backend.flush)
    case 2:
      return backend.step(() => Effect.succeed({ result: undefined, writes }), {
        admission: admitted,
        isDeleting: false
      })
    default:
      return backend.write(writes, admitted)
  }
}

/** The cases. */
export const snapshots: ContractGroup = {
  name: "a snapshot",
  cases: [
    contractCase(
      "has everything that was written before, pending writes included, and no later writes",
      (backend) =>
        Effect.gen(function*() {
          yield* commit(backend, writeOf(left, "a", "1"), writeOf(left, "b", "2"), writeOf(left, "c", "3"))
          yield* put(backend, left, "b", "pending")
          yield* backend.remove([writeOf(left, "c", null)], admitted)
          yield* withSnapshot(backend, (snapshot) =>
            Effect.gen(function*() {
              const assertUnchanged = Effect.gen(function*() {
                deepStrictEqual(yield* contentsOf(snapshot, left), { a: "1", b: "pending" })
                strictEqual(yield* snapshot.get(left, key("b"), text), "pending")
                strictEqual(yield* snapshot.has(left, key("c")), false)
                strictEqual(yield* snapshot.has(left, key("d")), false)
                strictEqual(yield* snapshot.count(left), 2)
              })
              yield* assertUnchanged
              yield* put(backend, left, "a", "later")
              yield* put(backend, left, "d", "later")
              yield* assertUnchanged
              yield* backend.flush
              yield* assertUnchanged
              yield* backend.commit({ reads: [], writes: batch([writeOf(left, "e", "last")], left) }, admitted)
              yield* assertUnchanged
            }))
        })
    ),

    contractCase("shows one state while other fibers write and commit", (backend) =>
      Effect.gen(function*() {
        yield* writePair(backend, 0)
        const seen = new Set<string | undefined>()
        const look = withSnapshot(backend, (snapshot) =>
          Effect.gen(function*() {
            const first = yield* assertPair(snapshot)
            seen.add(first["a"])
            deepStrictEqual(yield* assertPair(snapshot), first)
          }))
        yield* beside(
          look,
          Effect.forEach(below(80), (number) => Effect.andThen(writePair(backend, number), Effect.yieldNow), {
            discard: true
          })
        )
        strictEqual(seen.size > 3, true, "snapshots of several moments were seen")
      })),

    contractCase("has the writes of all fibers that have returned before it was opened", (backend) =>
      beside(
        backend.flush,
        Effect.forEach(below(60), (number) =>
          Effect.gen(function*() {
            yield* put(backend, left, "a", `${number}`)
            const found = withSnapshot(backend, (snapshot) => snapshot.get(left, key("a"), text))
            const [here, there] = yield* Effect.all([found, found], { concurrency: "unbounded" })
            deepStrictEqual([here, there], [`${number}`, `${number}`])
          }), { discard: true })
      )),

    contractCase(
      "can be one of many, each with its own state, and can be released more than once",
      (backend) =>
        Effect.gen(function*() {
          const open: Array<Snapshot> = []
          for (const number of below(10)) {
            yield* put(backend, left, "a", `${number}`)
            open.push(yield* backend.snapshot())
          }
          for (const [number, snapshot] of open.entries()) {
            strictEqual(yield* snapshot.get(left, key("a"), text), `${number}`)
            snapshot.release()
            snapshot.release()
          }
        })
    )
  ]
}
