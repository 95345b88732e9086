/** What a transaction on PostgreSQL reads: one state of the store, without a connection of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import { afterAll, beforeAll } from "vitest"
import type { Backend, TransactionSnapshot } from "../../src/Backend.ts"
import { admitted, batch, below, contentsOf, key, text, writeOf } from "../../src/testing/contract/subject.ts"
import { start } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"

/** Two backends on the same tables, as in two processes, for all tests. Nothing commits the pending writes by itself. */
const openTwice = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  const open = PostgresStores.backendOn({ table, flushInterval: "Infinity" })
  return { own: yield* open, other: yield* open }
})

const scope = Scope.makeUnsafe()
let backends: Effect.Success<typeof openTwice> | undefined
beforeAll(async () => {
  backends = await Effect.runPromise(Scope.provide(openTwice, scope))
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

let places = 0

/** The backends, and two databases that no other test uses. Only the first one exists. */
const openPlace = Effect.gen(function*() {
  const { other, own } = backends ?? (yield* Effect.die(new Error("not opened")))
  const place = `place ${places++}`
  const [left, right] = [`${place} left`, `${place} right`]
  yield* own.flush
  yield* own.createDatabases([left])
  return { own, other, left, right }
})

const openSnapshot = (backend: Backend): Effect.Effect<TransactionSnapshot, unknown> =>
  backend.transactionSnapshot?.({ isHeld: false }) ?? Effect.die(new Error("the backend has none"))

// ---------------------------------------------------------------------------
// a model
// ---------------------------------------------------------------------------

const Name = Schema.Literals(["a", "b", "c", "d", "long"])
const Database = Schema.Literals(["left", "right"])
const Change = Schema.Struct({ database: Database, name: Name, value: Schema.NullOr(Schema.Literals([0, 1, 2])) })
const Changes = Schema.Array(Change).check(Schema.isBetweenLength(1, 3))

const Step = Schema.Union([
  Schema.TaggedStruct("Get", { database: Database, name: Name }),
  Schema.TaggedStruct("Get", { database: Database, name: Name }),
  Schema.TaggedStruct("GetMany", { database: Database, names: Schema.Array(Name).check(Schema.isMaxLength(3)) }),
  Schema.TaggedStruct("Has", { database: Database, name: Name }),
  Schema.TaggedStruct("Range", { database: Database, from: Name, values: Schema.Boolean }),
  Schema.TaggedStruct("Count", { database: Database }),
  Schema.TaggedStruct("Put", { changes: Changes }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Commit", { changes: Changes, isOwn: Schema.Boolean }),
  Schema.TaggedStruct("Commit", { changes: Changes, isOwn: Schema.Boolean })
])
type Step = typeof Step.Type

type Contents = ReadonlyMap<string, string>

/** Short and long values are compared in different ways. */
const valueOf = (name: string, value: number): string => name === "long" ? `${value}`.repeat(5000) : `${value}`

/** The databases of a run. */
interface Place {
  readonly left: string
  readonly right: string
}

const writesOf = (place: Place, changes: typeof Changes.Type) =>
  [...new Map(changes.map((change) => [`${change.database} ${change.name}`, change])).values()].map((change) =>
    writeOf(place[change.database], change.name, change.value === null ? null : valueOf(change.name, change.value))
  )

const changed = (contents: Contents, changes: typeof Changes.Type): Contents => {
  const after = new Map(contents)
  for (const { database, name, value } of changes) {
    if (value === null) after.delete(`${database} ${name}`)
    else after.set(`${database} ${name}`, valueOf(name, value))
  }
  return after
}

/** What a read finds, in the model or in a snapshot; `undefined` for a step that does not read. */
const expectedOf = (step: Step, contents: Contents): unknown => {
  const names = (database: string) =>
    [...contents.keys()].filter((name) => name.startsWith(`${database} `)).map((name) =>
      name.slice(database.length + 1)
    )
  switch (step._tag) {
    case "Get":
      return contents.get(`${step.database} ${step.name}`) ?? null
    case "GetMany":
      return step.names.map((name) => contents.get(`${step.database} ${name}`) ?? null)
    case "Has":
      return contents.has(`${step.database} ${step.name}`)
    case "Count":
      return names(step.database).length
    case "Range":
      return names(step.database).filter((name) => name >= step.from).toSorted().map((name) => [
        name,
        step.values ? contents.get(`${step.database} ${name}`) : ""
      ])
    default:
      return undefined
  }
}

const readOf = (place: Place, step: Step, snapshot: TransactionSnapshot): Effect.Effect<unknown, unknown> => {
  switch (step._tag) {
    case "Get":
      return Effect.map(snapshot.get(place[step.database], key(step.name), text), (found) => found ?? null)
    case "GetMany":
      return Effect.map(
        snapshot.getMany(place[step.database], step.names.map(key), text),
        (found) => found.map((value) => value ?? null)
      )
    case "Has":
      return snapshot.has(place[step.database], key(step.name))
    case "Count":
      return snapshot.count(place[step.database])
    case "Range":
      return Effect.map(
        snapshot.read(place[step.database], {
          from: { key: key(step.from), inclusive: true },
          to: undefined,
          reverse: false,
          values: step.values,
          maxRecords: 100,
          maxBytes: 1_000_000
        }),
        ({ records }) => records.map(([name, value]) => [text(Buffer.from(name, "latin1")), text(value)])
      )
    default:
      return Effect.void
  }
}

const isRead = ({ _tag }: Step): boolean => !["Put", "Flush", "Commit"].includes(_tag)

/** Whether a state has everything that was seen. */
const explains = (seen: ReadonlyArray<readonly [Step, unknown]>) => (contents: Contents): boolean =>
  seen.every(([step, found]) => JSON.stringify(expectedOf(step, contents)) === JSON.stringify(found))

/**
 * Runs steps one after the other, and opens a snapshot at one of them. Everything that the snapshot reads is of one state
 * since its opening. It is outdated only if what it has read is not the present state any more.
 */
const runModel = Effect.fnUntraced(function*(steps: ReadonlyArray<Step>, opening: number) {
  const { other, own, ...place } = yield* openPlace
  const none: typeof Changes.Type = []
  let [committed, pending]: [Contents, typeof Changes.Type] = [new Map(), none]
  let visible = pending
  let snapshot: TransactionSnapshot | undefined
  const seen: Array<readonly [Step, unknown]> = []
  const states: Array<Contents> = []
  let hasSeenMissing = false
  const flushed = () => {
    committed = changed(committed, pending)
    ;[pending, visible] = [none, none]
    states.push(committed)
  }
  for (const [at, step] of steps.entries()) {
    if (at === opening) {
      snapshot = yield* openSnapshot(own)
      visible = pending
      states.splice(0, states.length, changed(committed, visible))
    }
    if (step._tag === "Put") {
      yield* Effect.suspend(() => own.write(writesOf(place, step.changes), admitted))
      pending = [...pending, ...step.changes]
    } else if (step._tag === "Flush") {
      yield* own.flush
      flushed()
    } else if (step._tag === "Commit") {
      const writes = batch(writesOf(place, step.changes))
      assert.isTrue(yield* (step.isOwn ? own : other).commit({ reads: [], writes }, admitted))
      if (step.isOwn) flushed()
      committed = changed(committed, step.changes)
      states.push(changed(committed, visible))
    } else if (snapshot !== undefined) {
      const exit = yield* Effect.exit(readOf(place, step, snapshot))
      if (snapshot.isOutdated()) {
        assert.isTrue(Exit.hasInterrupts(exit))
        // A database that did not exist is only known to be empty as a whole.
        if (!hasSeenMissing) {
          assert.isFalse(explains(seen)(changed(committed, visible)), `outdated at step ${at} without a reason`)
        }
        return "outdated"
      }
      seen.push([step, yield* exit])
      const isMissing = !states.some((state) => [...state.keys()].some((name) => name.startsWith("right ")))
      if ("database" in step && step.database === "right" && isMissing) hasSeenMissing = true
      assert.isTrue(states.some(explains(seen)), `mixed states at step ${at}: ${JSON.stringify(seen)}`)
    }
  }
  snapshot?.release()
  return "read"
})

describe("the snapshot of a transaction", () => {
  const outcomes = new Set<string>()

  it.effect.prop(
    "shows one state, whatever this process and others commit, and is outdated only if there is none",
    {
      steps: Schema.Array(Step).check(Schema.isBetweenLength(6, 24), Schema.makeFilter((steps) => steps.some(isRead))),
      opening: Schema.Literals([0, 1, 2, 3, 4])
    },
    ({ opening, steps }) =>
      Effect.map(runModel(steps, opening), (outcome) => {
        outcomes.add(outcome)
      }),
    { arbitrary: { runs: 60, seed: "extension" } }
  )

  it("was outdated in some of these runs and not in others", () => {
    assert.deepStrictEqual([...outcomes].toSorted(), ["outdated", "read"])
  })

  it.effect("never mixes states while two processes commit all the time", () =>
    Effect.gen(function*() {
      const { left, other, own, right } = yield* openPlace
      yield* own.createDatabases([right])
      const pairOf = (number: number) =>
        [left, right].flatMap((database) =>
          ["a", "b", `k${number % 3}`].map((name) => writeOf(database, name, `${number}`))
        )
      yield* own.commit({ reads: [], writes: batch(pairOf(0)) }, admitted)
      let number = 0
      let isDone = false
      const writing = (write: (writes: ReturnType<typeof pairOf>) => Effect.Effect<unknown, unknown>) => {
        const forever: Effect.Effect<void, unknown> = Effect.suspend(() =>
          isDone ? Effect.void : Effect.andThen(write(pairOf(++number)), Effect.andThen(Effect.yieldNow, forever))
        )
        return start(forever)
      }
      yield* writing((writes) => other.commit({ reads: [], writes: batch(writes) }, admitted))
      yield* writing((writes) =>
        number % 5 === 0
          ? own.commit({ reads: [], writes: batch(writes, left, right) }, admitted)
          : Effect.andThen(
            Effect.suspend(() => own.write(writes, admitted)),
            number % 3 === 0 ? own.flush : Effect.void
          )
      )
      const states: Array<string> = []
      let outdated = 0
      const look = Effect.fnUntraced(function*(snapshot: TransactionSnapshot) {
        const a = yield* snapshot.get(left, key("a"), text)
        const [b, c] = yield* Effect.all([
          snapshot.get(right, key("b"), text),
          snapshot.getMany(right, [key("a"), key("none"), key("b")], text)
        ], { concurrency: "unbounded" })
        states.push(`${a}: ${[...new Set([a, b, c[0], c[2]])].join(" or ")}, ${c[1]}`)
        if (states.length % 2 === 0) return
        const [here, there] = [yield* contentsOf(snapshot, left), yield* contentsOf(snapshot, right)]
        states.push(`${here["a"]}: ${here["b"]}, undefined`)
        assert.deepStrictEqual(here, there)
        assert.strictEqual(yield* snapshot.count(left), Object.keys(there).length)
      })
      for (const _ of below(60)) {
        const snapshot = yield* openSnapshot(own)
        const exit = yield* Effect.exit(look(snapshot))
        snapshot.release()
        if (snapshot.isOutdated()) outdated++
        else assert.isTrue(Exit.isSuccess(exit), String(exit))
      }
      isDone = true
      for (const state of states) assert.match(state, /^(\d+): \1, undefined$/)
      assert.isAbove(new Set(states).size, 5)
      assert.isAbove(outdated, 0)
    }))

  it.effect("fails reads after its release, and those that have begun before", () =>
    Effect.gen(function*() {
      const { left, own } = yield* openPlace
      const snapshot = yield* openSnapshot(own)
      assert.isUndefined(yield* snapshot.get(left, key("a"), text))
      const reading = yield* start(Effect.flip(snapshot.get(left, key("b"), text)))
      snapshot.release()
      for (const error of [yield* Effect.flip(snapshot.count(left)), yield* Fiber.join(reading)]) {
        assert.propertyVal(error, "_tag", "EngineFailure")
      }
    }))
})
