/**
 * Tests read-modify-write steps, which are atomic for all other fibers.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import type { Backend, Reader, Refusal, Step, StepOptions } from "../../Backend.ts"
import { Closed } from "../../StoreError.ts"
import {
  admitted,
  below,
  beside,
  commit,
  contentsOf,
  contractCase,
  type ContractGroup,
  key,
  left,
  presentContents,
  put,
  right,
  text,
  textAt,
  writeOf
} from "./subject.ts"

type TakeStep<A, E> = (reader: Reader) => Effect.Effect<Step<A>, E>

const step = <A, E>(backend: Backend, take: TakeStep<A, E>, options: Partial<StepOptions> = {}) =>
  backend.step(take, { admission: admitted, isDeleting: false, ...options })

/** Continues after a read: in the same turn if the read has ended. */
const andThen = <A, E, B, E2>(
  read: Effect.Effect<A, E>,
  use: (found: A) => Effect.Effect<B, E2>
): Effect.Effect<B, E | E2> => Effect.flatMapEager(read, use)

const numberAt = (reader: Reader, database: string, name: string) =>
  Effect.mapEager(reader.get(database, key(name), text), (found) => Number(found ?? 0))

/** Adds one to a number. */
const increment = (database: string, name: string) => (reader: Reader) =>
  Effect.mapEager(numberAt(reader, database, name), (count): Step<number> => ({
    result: count + 1,
    writes: [writeOf(database, name, `${count + 1}`)]
  }))

/** Moves one unit from an account to an account in the other database. */
const move = (from: string, to: string): TakeStep<void, unknown> => (reader) =>
  andThen(numberAt(reader, left, from), (less) =>
    Effect.mapEager(numberAt(reader, right, to), (more) => ({
      result: undefined,
      writes: [writeOf(left, from, `${less - 1}`), writeOf(right, to, `${more + 1}`)]
    })))

const total = (contents: Readonly<Record<string, string>>): number =>
  Object.values(contents).reduce((sum, count) => sum + Number(count), 0)

const exactly = (name: string): Pick<StepOptions, "exact"> => ({ exact: () => writeOf(left, name, "0") })

/** Deletes a record, if there is one. */
const removeA = (reader: Reader) =>
  Effect.mapEager(reader.has(left, key("a")), (exists) => ({
    result: exists,
    writes: exists ? [writeOf(left, "a", null)] : []
  }))

const fibers = 25

const refused = new Closed({ path: "contract", what: "Store" })

/** Makes an admission that refuses calls while `isRefused` returns `true`. */
const refusing = (isRefused: () => boolean): () => Refusal => () => () => isRefused() ? Effect.fail(refused) : undefined

/** The cases. */
export const steps: ContractGroup = {
  name: "a step",
  cases: [
    contractCase(
      "reads pending and committed records, and its writes are visible when it returns",
      (backend) =>
        Effect.gen(function*() {
          yield* commit(backend, writeOf(left, "a", "1"))
          strictEqual(yield* step(backend, increment(left, "a")), 2)
          strictEqual(yield* textAt(backend, left, "a"), "2")
          yield* put(backend, left, "a", "10")
          strictEqual(yield* step(backend, increment(left, "a")), 11)
          yield* backend.flush
          strictEqual(yield* step(backend, increment(left, "a")), 12)
          strictEqual(yield* textAt(backend, left, "a"), "12")
        })
    ),

    ...[
      { name: "is counted once for each of many fibers on one record", options: {} },
      { name: "that is exact is counted once for each of many fibers on one record", options: exactly("a") }
    ].map(({ name, options }) =>
      contractCase(name, (backend) =>
        Effect.gen(function*() {
          const results = yield* Effect.forEach(
            below(fibers),
            () => step(backend, increment(left, "a"), options),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(results.toSorted((a, b) => a - b), below(fibers).map((number) => number + 1))
          strictEqual(yield* textAt(backend, left, "a"), `${fibers}`)
        }))
    ),

    contractCase(
      "is counted while other fibers commit, flush and write other records",
      (backend) =>
        Effect.gen(function*() {
          let other = 0
          const disturb = Effect.suspend(() => {
            other++
            return other % 2 === 0 ? backend.flush : put(backend, left, `other ${other}`, "x")
          })
          yield* beside(
            disturb,
            Effect.forEach(below(fibers), () => step(backend, increment(left, "a")), {
              concurrency: "unbounded",
              discard: true
            })
          )
          strictEqual(yield* textAt(backend, left, "a"), `${fibers}`)
        })
    ),

    contractCase("writes to several databases at once", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "100"))
        const look = Effect.gen(function*() {
          const snapshot = yield* backend.snapshot()
          const sum = total(yield* contentsOf(snapshot, left)) + total(yield* contentsOf(snapshot, right))
          snapshot.release()
          strictEqual(sum, 100)
        })
        yield* beside(
          look,
          Effect.forEach(below(fibers), (number) => step(backend, move("a", `${number % 3}`)), {
            concurrency: "unbounded",
            discard: true
          })
        )
        strictEqual(total(yield* presentContents(backend, right)), fibers)
      })),

    contractCase("that fails, dies or writes nothing changes nothing", (backend) =>
      Effect.gen(function*() {
        yield* put(backend, left, "a", "1")
        for (const options of [{}, exactly("a")]) {
          const failed = yield* Effect.flip(
            step(backend, (reader) => andThen(reader.has(left, key("a")), () => Exit.fail("no")), options)
          )
          strictEqual(failed, "no")
          const died = yield* Effect.exit(
            step(backend, (reader) => andThen(reader.has(left, key("a")), () => Exit.die("defect")), options)
          )
          strictEqual(Exit.isFailure(died), true)
          const found = yield* step(
            backend,
            (reader) => Effect.mapEager(numberAt(reader, left, "a"), (result) => ({ result, writes: [] })),
            options
          )
          strictEqual(found, 1)
        }
        deepStrictEqual(yield* presentContents(backend, left), { a: "1" })
      })),

    contractCase("that deletes a record succeeds for one of several fibers", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "1"), writeOf(left, "b", "2"))
        const results = yield* Effect.forEach(
          below(fibers),
          (number) => step(backend, removeA, { isDeleting: true, ...(number % 2 === 0 ? exactly("a") : {}) }),
          { concurrency: "unbounded" }
        )
        strictEqual(results.filter((wasThere) => wasThere).length, 1)
        deepStrictEqual(yield* presentContents(backend, left), { b: "2" })
      })),

    contractCase("is refused in the turn in which it would write", (backend) =>
      Effect.gen(function*() {
        let isRefused = false
        const refuseLater = (reader: Reader) =>
          Effect.mapEager(increment(left, "a")(reader), (made) => {
            isRefused = true
            return made
          })
        const error = yield* Effect.flip(
          step(backend, refuseLater, { admission: refusing(() => isRefused) })
        )
        strictEqual(error, refused)
        strictEqual(yield* textAt(backend, left, "a"), undefined)
        // Each call gets a new admission.
        isRefused = false
        strictEqual(yield* step(backend, increment(left, "a"), { admission: refusing(() => isRefused) }), 1)
      }))
  ]
}
