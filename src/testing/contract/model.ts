/**
 * Runs random programs on a backend, and compares it with a simple model.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { deepStrictEqual, strictEqual } from "node:assert/strict"
import type { Backend, Snapshot } from "../../Backend.ts"
import {
  admitted,
  batch,
  contentsOf,
  key,
  left,
  type Open,
  openWithDatabases,
  presentContents,
  reading,
  readingToCommit,
  readRange,
  right,
  text,
  writeOf
} from "./subject.ts"

const Database = Schema.Literals([left, right])

const Write = Schema.Struct({
  database: Database,
  key: Schema.Literals(["\0", "a", "ab", "b", "b\0", "c", "d"]),
  /** The length of the value; -1 for a deletion. */
  size: Schema.Literals([-1, 0, 1, 5, 300, 9000])
})

const Writes = Schema.Array(Write).check(Schema.isBetweenLength(1, 5))

/** One action of a program. */
export const Action = Schema.Union([
  Schema.TaggedStruct("Write", { writes: Writes }),
  Schema.TaggedStruct("Write", { writes: Writes }),
  Schema.TaggedStruct("Remove", { writes: Writes }),
  Schema.TaggedStruct("Commit", { writes: Writes, cleared: Schema.Array(Database).check(Schema.isMaxLength(2)) }),
  Schema.TaggedStruct("CommitIfSame", { writes: Writes, other: Writes }),
  Schema.TaggedStruct("Step", { writes: Writes }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Snapshot", {}),
  Schema.TaggedStruct("Reopen", {})
])
type Action = typeof Action.Type

/** A program: actions that run one after the other. */
export const Actions = Schema.Array(Action).check(Schema.isBetweenLength(5, 25))

type Model = Readonly<Record<typeof left | typeof right, Readonly<Record<string, string>>>>

const empty: Model = { [left]: {}, [right]: {} }

/** A write with its value. */
interface ModelWrite {
  readonly database: typeof left | typeof right
  readonly key: string
  readonly value: string | null
}

const apply = (
  model: Model,
  writes: ReadonlyArray<ModelWrite>,
  cleared: ReadonlyArray<typeof left | typeof right> = []
): Model => {
  const after = {
    [left]: new Map(cleared.includes(left) ? [] : Object.entries(model[left])),
    [right]: new Map(cleared.includes(right) ? [] : Object.entries(model[right]))
  }
  for (const { database, key: name, value } of writes) {
    if (value === null) after[database].delete(name)
    else after[database].set(name, value)
  }
  return { [left]: Object.fromEntries(after[left]), [right]: Object.fromEntries(after[right]) }
}

const toWrites = (writes: ReadonlyArray<ModelWrite>) =>
  writes.map(({ database, key: name, value }) => writeOf(database, name, value))

/** Fails unless every way to read agrees with the model. */
const assertSame = Effect.fnUntraced(function*(backend: Backend, model: Model) {
  for (const database of [left, right] as const) {
    const expected = Object.entries(model[database]).toSorted(([a], [b]) => a < b ? -1 : 1)
    const names = expected.map(([name]) => name)
    deepStrictEqual(yield* presentContents(backend, database), Object.fromEntries(expected))
    deepStrictEqual(
      yield* reading(backend, (reader) => readRange(reader, database, { reverse: true, maxRecords: 2 })),
      expected.toReversed()
    )
    strictEqual(yield* reading(backend, (reader) => reader.count(database)), expected.length)
    deepStrictEqual(
      yield* reading(backend, (reader) => reader.getMany(database, [...names, "zz"].map(key), text)),
      [...expected.map(([, value]) => value), undefined]
    )
  }
})

interface OpenSnapshot {
  readonly snapshot: Snapshot
  readonly model: Model
}

/** The state of a run. */
interface Run {
  backend: Backend
  model: Model
  snapshots: Array<OpenSnapshot>
  count: number
}

/** Makes the writes of an action, with values that no other write has. */
const withValues = (
  self: Run,
  writes: ReadonlyArray<typeof Write.Type>,
  isDeleting = false
): ReadonlyArray<ModelWrite> => {
  const last = new Map(writes.map((write) => [`${write.database} ${write.key}`, write]))
  return [...last.values()].map(({ database, key: name, size }) => ({
    database,
    key: name,
    value: isDeleting || size < 0 ? null : `${++self.count} ${"x".repeat(size)}`
  }))
}

const take = Effect.fnUntraced(function*(self: Run, action: Exclude<Action, { readonly _tag: "Reopen" }>) {
  const { backend, model } = self
  switch (action._tag) {
    case "Write": {
      const writes = withValues(self, action.writes)
      yield* backend.write(toWrites(writes), admitted)
      self.model = apply(model, writes)
      return
    }
    case "Remove": {
      const writes = withValues(self, action.writes, true)
      yield* backend.remove(toWrites(writes), admitted)
      self.model = apply(model, writes)
      return
    }
    case "Commit": {
      const writes = withValues(self, action.writes)
      yield* backend.commit({ reads: [], writes: batch(toWrites(writes), ...action.cleared) }, admitted)
      self.model = apply(model, writes, action.cleared)
      return
    }
    case "CommitIfSame": {
      const [first] = action.writes
      const name = first === undefined ? "a" : first.key
      const { reads } = yield* readingToCommit(backend, (reader) => reader.get(left, key(name), text))
      const other = withValues(self, action.other)
      yield* backend.write(toWrites(other), admitted)
      const writes = withValues(self, action.writes)
      const isMade = yield* backend.commit({ reads, writes: batch(toWrites(writes)) }, admitted)
      const between = apply(model, other)
      strictEqual(isMade, between[left][name] === model[left][name])
      self.model = isMade ? apply(between, writes) : between
      return
    }
    case "Step": {
      const writes = withValues(self, action.writes)
      yield* backend.step(
        (reader) => Effect.mapEager(reader.count(left), (result) => ({ result, writes: toWrites(writes) })),
        { admission: admitted, isDeleting: false }
      )
      self.model = apply(model, writes)
      return
    }
    case "Flush":
      return yield* backend.flush
    case "Snapshot": {
      self.snapshots.push({ snapshot: yield* backend.snapshot(), model })
    }
  }
})

/** Compares all snapshots with the model, and releases them. */
const checkSnapshots = Effect.fnUntraced(function*(self: Run) {
  for (const { model, snapshot } of self.snapshots) {
    for (const database of [left, right] as const) {
      deepStrictEqual(yield* contentsOf(snapshot, database), { ...model[database] })
      strictEqual(yield* snapshot.count(database), Object.keys(model[database]).length)
    }
    snapshot.release()
  }
  self.snapshots = []
})

/** Runs the actions one after the other, and compares the backend with the model after each. */
export const run = Effect.fnUntraced(function*(open: Open, actions: ReadonlyArray<Action>) {
  let scope = yield* Scope.make()
  const self: Run = {
    backend: yield* Scope.provide(openWithDatabases(open), scope),
    model: empty,
    snapshots: [],
    count: 0
  }
  for (const action of [...actions, { _tag: "Reopen" } as const]) {
    if (action._tag === "Reopen") {
      yield* checkSnapshots(self)
      yield* self.backend.close(Effect.void)
      yield* Scope.close(scope, Exit.void)
      scope = yield* Scope.make()
      self.backend = yield* Scope.provide(openWithDatabases(open), scope)
    } else yield* take(self, action)
    yield* assertSame(self.backend, self.model)
  }
  yield* self.backend.close(Effect.void)
  yield* Scope.close(scope, Exit.void)
})
