/**
 * Tests conditional commits: they are made only if everything that they were computed from is unchanged.
 */
import * as Effect from "effect/Effect"
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import type { Backend, Reader } from "../../Backend.ts"
import type { RangeRequest, Write } from "../../Engine.ts"
import { Closed } from "../../StoreError.ts"
import {
  admitted,
  batch,
  below,
  beside,
  bytes,
  commit,
  type ContractCase,
  contractCase,
  type ContractGroup,
  key,
  left,
  presentContents,
  put,
  readingToCommit,
  readRange,
  right,
  text,
  textAt,
  writeOf
} from "./subject.ts"

/** The condition of a commit: what it is computed from, and writes that may happen before it is made. */
interface Condition {
  readonly name: string
  readonly read: (reader: Reader) => Effect.Effect<unknown, unknown>
  /** Writes that do not change the condition. */
  readonly harmless: ReadonlyArray<Write>
  /** Writes of which each one alone changes the condition. */
  readonly harmful: ReadonlyArray<Write>
}

const range: Partial<RangeRequest> = {
  from: { key: key("b"), inclusive: true },
  to: { key: key("d"), inclusive: false }
}

const longValue = "long ".repeat(1000)

const conditions: ReadonlyArray<Condition> = [
  {
    name: "a value",
    read: (reader) => reader.get(left, key("b"), text),
    harmless: [writeOf(left, "b", "2"), writeOf(left, "x", "1"), writeOf(right, "b", "9")],
    harmful: [writeOf(left, "b", "3"), writeOf(left, "b", null), writeOf(left, "b", "")]
  },
  {
    name: "a long value",
    read: (reader) => reader.get(left, key("long"), text),
    harmless: [writeOf(left, "long", longValue)],
    harmful: [writeOf(left, "long", `${longValue.slice(0, -1)}.`), writeOf(left, "long", null)]
  },
  {
    name: "values",
    read: (reader) => reader.getMany(left, [key("a"), key("none"), key("b")], text),
    harmless: [writeOf(left, "a", "1"), writeOf(left, "c", "9")],
    harmful: [writeOf(left, "a", "2"), writeOf(left, "none", "1"), writeOf(left, "b", null)]
  },
  {
    name: "a value that does not exist",
    read: (reader) => reader.get(left, key("none"), text),
    harmless: [writeOf(left, "nine", "1"), writeOf(left, "none", null)],
    harmful: [writeOf(left, "none", "")]
  },
  {
    name: "the existence of a record",
    read: (reader) => reader.has(left, key("b")),
    harmless: [writeOf(left, "b", "another value"), writeOf(left, "c", null)],
    harmful: [writeOf(left, "b", null)]
  },
  {
    name: "the absence of a record",
    read: (reader) => reader.has(left, key("none")),
    harmless: [writeOf(left, "nine", "1")],
    harmful: [writeOf(left, "none", "1")]
  },
  {
    name: "the number of records",
    read: (reader) => reader.count(left),
    harmless: [writeOf(left, "b", "another value"), writeOf(right, "a", "1")],
    harmful: [writeOf(left, "none", "1"), writeOf(left, "b", null)]
  },
  {
    name: "a range",
    read: (reader) => readRange(reader, left, range),
    harmless: [writeOf(left, "a", null), writeOf(left, "d", "1"), writeOf(right, "c", "1")],
    harmful: [
      writeOf(left, "b", "3"),
      writeOf(left, "c", null),
      // Phantoms: keys in the range that did not exist when it was read.
      writeOf(left, "bb", "new"),
      writeOf(left, "czzz", "new")
    ]
  },
  {
    name: "a range from its end, in parts of one record",
    read: (reader) => readRange(reader, left, { ...range, reverse: true, maxRecords: 1 }),
    harmless: [writeOf(left, "a", "9"), writeOf(left, "d", "1")],
    harmful: [writeOf(left, "b", "3"), writeOf(left, "bb", "new"), writeOf(left, "czzz", "new")]
  },
  {
    name: "the first record of a range",
    read: (reader) =>
      reader.read(left, {
        from: undefined,
        to: undefined,
        reverse: false,
        values: true,
        maxRecords: 1,
        maxBytes: 1
      }),
    harmless: [writeOf(left, "b", "9"), writeOf(left, "aa", "1")],
    harmful: [writeOf(left, "a", "9"), writeOf(left, "a", null), writeOf(left, "Z", "before it")]
  },
  {
    name: "the keys of a range",
    read: (reader) => readRange(reader, left, { ...range, values: false }),
    harmless: [writeOf(left, "b", "another value"), writeOf(left, "d", "1")],
    harmful: [writeOf(left, "bb", "new"), writeOf(left, "c", null)]
  },
  {
    name: "an empty range",
    read: (reader) => readRange(reader, left, { from: { key: key("x"), inclusive: false }, to: undefined }),
    harmless: [writeOf(left, "x", "1")],
    harmful: [writeOf(left, "y", "1")]
  }
]

const setUp = (backend: Backend) =>
  Effect.andThen(
    backend.flush,
    backend.commit({
      reads: [],
      writes: batch(
        [
          writeOf(left, "a", "1"),
          writeOf(left, "b", "2"),
          writeOf(left, "c", "3"),
          writeOf(left, "long", longValue)
        ],
        left,
        right
      )
    }, admitted)
  )

/** The ways in which another fiber can write before the commit. */
const ways: ReadonlyArray<
  readonly [name: string, write: (backend: Backend, write: Write) => Effect.Effect<unknown, unknown>]
> = [
  ["committed", (backend, write) => commit(backend, write)],
  ["pending", (backend, write) => backend.write([write], admitted)],
  ["flushed", (backend, write) => Effect.andThen(backend.write([write], admitted), backend.flush)]
]

/** Reads a condition, lets another fiber write, and commits. */
const commitAfter = Effect.fnUntraced(function*(
  backend: Backend,
  { read }: Condition,
  write: () => Effect.Effect<unknown, unknown>
) {
  yield* setUp(backend)
  const { reads } = yield* readingToCommit(backend, read)
  yield* write()
  const isMade = yield* backend.commit({ reads, writes: batch([writeOf(right, "made", "1")]) }, admitted)
  strictEqual(yield* textAt(backend, right, "made"), isMade ? "1" : undefined)
  return isMade
})

const conditionCase = (condition: Condition): ContractCase =>
  contractCase(`is made if ${condition.name} is still the same, and only then`, (backend) =>
    Effect.gen(function*() {
      strictEqual(yield* commitAfter(backend, condition, () => Effect.void), true, "nothing was written in between")
      for (const [name, write] of ways) {
        for (const [expected, writes] of [[true, condition.harmless], [false, condition.harmful]] as const) {
          for (const each of writes) {
            const isMade = yield* commitAfter(backend, condition, () => write(backend, each))
            strictEqual(isMade, expected, `${name}: ${String(each[1])} ${each[2] === null ? "deleted" : "written"}`)
          }
        }
      }
    }))

const refused = new Closed({ path: "contract", what: "Store" })

/** The cases. */
export const commits: ContractGroup = {
  name: "a commit",
  cases: [
    ...conditions.map(conditionCase),

    contractCase("also checks pending writes that were read", (backend) =>
      Effect.gen(function*() {
        yield* put(backend, left, "a", "1")
        const { reads } = yield* readingToCommit(backend, (reader) => reader.get(left, key("a"), text))
        strictEqual(yield* backend.commit({ reads, writes: batch([writeOf(left, "b", "1")]) }, admitted), true)
        deepStrictEqual(yield* presentContents(backend, left), { a: "1", b: "1" })
      })),

    contractCase("is made only once if many were computed from one value", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "0"))
        const { reads } = yield* readingToCommit(backend, (reader) => reader.get(left, key("a"), text))
        const made = yield* Effect.forEach(
          below(10),
          (number) => backend.commit({ reads, writes: batch([writeOf(left, "a", `${number + 1}`)]) }, admitted),
          { concurrency: "unbounded" }
        )
        strictEqual(made.filter((isMade) => isMade).length, 1)
        strictEqual(yield* textAt(backend, left, "a"), `${made.indexOf(true) + 1}`)
      })),

    contractCase(
      "makes all of its writes or none, also with many writes to several databases",
      (backend) =>
        Effect.gen(function*() {
          const names = below(300).map((number) => `${number}`)
          const writeAll = (value: string) =>
            commit(backend, ...[left, right].flatMap((database) => names.map((name) => writeOf(database, name, value))))
          yield* writeAll("0")
          const look = Effect.gen(function*() {
            const snapshot = yield* backend.snapshot()
            const values = new Set<string | undefined>()
            for (const database of [left, right]) {
              for (const value of yield* snapshot.getMany(database, names.map(key), text)) values.add(value)
              yield* Effect.yieldNow
            }
            snapshot.release()
            strictEqual(values.size, 1)
          })
          yield* beside(look, Effect.forEach(below(20), (number) => writeAll(`${number}`), { discard: true }))
        })
    ),

    contractCase("clears databases before it writes to them", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "1"), writeOf(left, "b", "2"), writeOf(right, "a", "1"))
        yield* put(backend, left, "pending", "1")
        const writes = batch([writeOf(left, "b", "3"), writeOf(left, "c", "4")], left)
        strictEqual(yield* backend.commit({ reads: [], writes }, admitted), true)
        deepStrictEqual(yield* presentContents(backend, left), { b: "3", c: "4" })
        deepStrictEqual(yield* presentContents(backend, right), { a: "1" })
      })),

    contractCase("without writes says whether what was read is unchanged", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "1"))
        const { reads } = yield* readingToCommit(backend, (reader) => reader.get(left, key("a"), text))
        strictEqual(yield* backend.commit({ reads, writes: batch([]) }, admitted), true)
        yield* put(backend, left, "a", "2")
        strictEqual(yield* backend.commit({ reads, writes: batch([]) }, admitted), false)
      })),

    contractCase(
      "is not made if it is no longer permitted, and fails if it is refused",
      (backend) =>
        Effect.gen(function*() {
          const writes = batch([writeOf(left, "a", "1")])
          strictEqual(yield* backend.commit({ reads: [], writes, isPermitted: () => false }, admitted), false)
          const refusal = () => () => Effect.fail(refused)
          strictEqual(yield* Effect.flip(backend.commit({ reads: [], writes }, refusal)), refused)
          deepStrictEqual(yield* presentContents(backend, left), {})
          strictEqual(yield* backend.commit({ reads: [], writes, isPermitted: () => true }, admitted), true)
        })
    ),

    contractCase(
      "that runs alone is prepared while no other commit runs, and is conditional too",
      (backend) =>
        Effect.gen(function*() {
          yield* put(backend, left, "pending", "1")
          strictEqual(yield* backend.commitAlone(Effect.succeed(undefined)), false)
          const { reads } = yield* readingToCommit(backend, (reader) => reader.has(right, key("a")))
          const request = { reads, writes: batch([writeOf(right, "a", "1")]) }
          strictEqual(yield* backend.commitAlone(Effect.succeed(request)), true)
          strictEqual(yield* backend.commitAlone(Effect.succeed(request)), false)
          let running = 0
          const prepare = Effect.gen(function*() {
            running++
            strictEqual(running, 1)
            yield* Effect.yieldNow
            running--
            return { reads: [], writes: batch([writeOf(right, "b", "1")]) }
          })
          yield* Effect.all([backend.commitAlone(prepare), backend.commitAlone(prepare), backend.flush], {
            concurrency: "unbounded"
          })
          deepStrictEqual(yield* presentContents(backend, left), { pending: "1" })
          deepStrictEqual(yield* presentContents(backend, right), { a: "1", b: "1" })
        })
    ),

    contractCase("accepts the longest key and a value of 1 MiB", (backend) =>
      Effect.gen(function*() {
        const longest = key("k".repeat(backend.maxKeyBytes))
        const value = "v".repeat(Math.min(1024 * 1024, backend.maxValueBytes))
        yield* backend.commit({ reads: [], writes: batch([[left, longest, bytes(value)]]) }, admitted)
        strictEqual(yield* textAt(backend, left, "k".repeat(backend.maxKeyBytes)), value)
      }))
  ]
}
