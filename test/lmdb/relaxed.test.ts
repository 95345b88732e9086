/**
 * The durability "relaxed": what a crash of the machine can leave.
 *
 * A commit writes its pages, waits for the disk, and writes its meta page without waiting. So when a crash interrupts commit
 * N + 1 before its wait has ended, everything up to the pages of commit N is on disk. Of the meta page of commit N and the
 * pages of commit N + 1, any can be missing. The tests make such files, and open them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Buffer } from "node:buffer"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Store, type StoreOptions } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"
import * as Tracing from "../support/tracing.ts"

const pageSize = 4096

const program = new URL("../programs/relaxedWriter.ts", import.meta.url).pathname

/** The state after a commit. */
interface State {
  /** The file, as the system shows it: with everything that was written. */
  readonly file: Buffer
  readonly records: ReadonlyMap<string, number | string>
}

/** Numbers that look random, and are the same in every run. */
const numbersFrom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Commits many times to a few keys, so that each commit reuses pages that an earlier one has freed. */
const makeStates = Effect.fnUntraced(function*(commits: number, seed: number) {
  const path = yield* temporaryFolder
  const next = numbersFrom(seed)
  const states: Array<State> = []
  yield* withStore({ path, durability: "relaxed" }, (store) =>
    Effect.gen(function*() {
      const records = new Map<string, number | string>()
      for (let commit = 0; commit < commits; commit++) {
        for (let write = next(8) + 1; write > 0; write--) {
          const key = `key ${next(60)}`
          if (next(4) === 0) {
            records.delete(key)
            yield* store.delete(key)
          } else {
            const value = "v".repeat(next(9) === 0 ? 6000 : next(900))
            records.set(key, value)
            yield* store.put(key, value)
          }
        }
        records.set("commit", commit)
        yield* store.put("commit", commit)
        yield* store.flush
        states.push({ file: readFileSync(join(path, "data.mdb")), records: new Map(records) })
      }
    }))
  return states
})

const stateAt = (states: ReadonlyArray<State>, commit: number): State =>
  states[commit] ?? assert.fail(`there is no state ${commit}`)

const metaOf = (file: Buffer, slot: number): Buffer => file.subarray(slot * pageSize, (slot + 1) * pageSize)

/** The number of the transaction in a meta page. */
const transactionIn = (meta: Buffer): bigint => meta.readBigUInt64LE(152)

/** The slot of the meta page of the last commit. */
const lastSlotOf = (file: Buffer): 0 | 1 => transactionIn(metaOf(file, 0)) > transactionIn(metaOf(file, 1)) ? 0 : 1

/** The pages that a commit has written, except meta pages. */
const pagesWritten = (before: Buffer, after: Buffer): ReadonlyArray<number> =>
  Array.from({ length: after.length / pageSize - 2 }, (_, index) => index + 2).filter((page) =>
    !before.subarray(page * pageSize, (page + 1) * pageSize).equals(
      after.subarray(page * pageSize, (page + 1) * pageSize)
    )
  )

/** A file in which some pages are those of the next state. */
const withPages = (file: Buffer, next: Buffer, pages: ReadonlyArray<number>): Buffer => {
  const crashed = Buffer.alloc(pages.length === 0 ? file.length : Math.max(file.length, next.length))
  file.copy(crashed)
  for (const page of pages) next.copy(crashed, page * pageSize, page * pageSize, (page + 1) * pageSize)
  return crashed
}

/** A file without the meta page of its last commit. */
const withoutLastMeta = (file: Buffer, before: Buffer): Buffer => {
  const slot = lastSlotOf(file)
  const undone = Buffer.from(file)
  metaOf(before, slot).copy(undone, slot * pageSize)
  return undone
}

/** Opens a file, checks all its pages, and gives its records; or the reason why it does not open. */
const contentOf = (path: string, file: Buffer) => {
  writeFileSync(join(path, "data.mdb"), file)
  const options: StoreOptions = { path, verify: true, durability: "relaxed" }
  return Effect.scoped(Effect.gen(function*() {
    const store = yield* Store.make(options)
    const { found } = yield* store.getMany(["commit", ...Array.from({ length: 60 }, (_, n) => `key ${n}`)])
    // A write reuses free pages.
    yield* store.putMany([["more", "m".repeat(3000)]])
    return found
  })).pipe(Effect.catchTag("OpenFailed", ({ reason }) => Effect.succeed(reason._tag)))
}

describe("a crash of the machine with durability: \"relaxed\"", () => {
  it.effect("leaves the last commit or the one before it, complete and undamaged", () =>
    Effect.gen(function*() {
      const states = yield* makeStates(40, 1)
      const path = yield* temporaryFolder
      const next = numbersFrom(2)
      const outcomes = { last: 0, previous: 0 }
      for (let n = 20; n < 39; n++) {
        const [before, last, after] = [stateAt(states, n - 1), stateAt(states, n), stateAt(states, n + 1)]
        const pages = pagesWritten(last.file, after.file)
        assert.isAbove(pages.length, 1)
        for (const written of [[], pages, pages.filter(() => next(2) === 0), pages.filter(() => next(2) === 0)]) {
          const file = withPages(last.file, after.file, written)
          assert.deepStrictEqual(yield* contentOf(path, file), last.records)
          outcomes.last++
          assert.deepStrictEqual(yield* contentOf(path, withoutLastMeta(file, before.file)), before.records)
          outcomes.previous++
        }
      }
      assert.deepStrictEqual(outcomes, { last: 76, previous: 76 })
    }), testLimit)

  it.effect(
    "would damage the file if a meta page could reach the disk before the pages of its commit",
    () =>
      Effect.gen(function*() {
        const states = yield* makeStates(40, 1)
        const path = yield* temporaryFolder
        let damaged = 0
        for (let n = 20; n < 39; n++) {
          const [last, after] = [stateAt(states, n), stateAt(states, n + 1)]
          const [, ...some] = pagesWritten(last.file, after.file)
          const file = withPages(last.file, after.file, [...some, lastSlotOf(after.file)])
          if ((yield* contentOf(path, file)) === "NotADatabase") damaged++
        }
        assert.isAbove(damaged, 10)
      }),
    testLimit
  )
})

/** What a call does with the database file. */
const kindOf = ({ bytes = pageSize, name, offset = 0 }: Tracing.Call): "pages" | "meta" | "wait" => {
  if (name === "fdatasync" || name === "fsync") return "wait"
  return bytes < pageSize && offset < 2 * pageSize ? "meta" : "pages"
}

describe.skipIf(!Tracing.canTrace)("the calls of the operating system with durability: \"relaxed\"", () => {
  it.effect(
    "wait for the pages of a commit, not for its meta page, and for everything at the close",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const all = Tracing.callsOf(join(folder, "trace"), program, join(folder, "store"))
        const calls = all.filter(({ path }) => path.endsWith("data.mdb"))
        const kinds = calls.map(kindOf)
        // The first commits create the file and its databases. The last five are those of the program.
        const order = kinds.filter((kind, index) => kind !== kinds[index - 1])
        assert.deepStrictEqual(
          order.slice(-16),
          [...Array.from({ length: 5 }, () => ["pages", "wait", "meta"] as const).flat(), "wait"]
        )
        // The pages do not wait for the disk one by one, and the meta page is written through the same descriptor.
        const descriptors = calls.filter((call) => kindOf(call) !== "wait").slice(-8).map(({ descriptor }) =>
          descriptor
        )
        assert.strictEqual(new Set(descriptors).size, 1)
      }),
    testLimit
  )
})
