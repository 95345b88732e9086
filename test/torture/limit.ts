/**
 * Size limit: random workloads under random small limits, with streams open and with
 * limits that change when the store is opened again. The file never passes its limit,
 * what was taken stays, what does not fit changes nothing, and deletions help.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService } from "../../src/index.ts"
import { mapSizeOf, pageSize } from "../../src/internal/lmdb/mapSize.ts"
import { temporaryFolder } from "../support/harness.ts"
import { type HandRead, readByHand } from "../support/streaming.ts"
import * as Random from "./random.ts"
import { record, type Recorder, type Section } from "./section.ts"

const kibibyte = 1024
const keyCount = 40
const keys = Array.from({ length: keyCount }, (_, index) => `k${index}`.padEnd(1 + index * 9, "y"))

/** Text, or a record with it. */
type Value = string | { readonly text: string; readonly turn: number }

type Model = ReadonlyMap<string, Value>

/** A stream that is open, and what the store held when it was started. */
interface OpenStream {
  readonly reader: HandRead<readonly [string, unknown], unknown>
  readonly model: Model
}

/** An open store under a limit. */
interface Limited {
  readonly store: StoreService
  readonly random: Random.Random
  readonly recorder: Recorder
  /** What the file may not be longer than. */
  readonly allowed: number
  readonly file: string
  /** What the store must hold. */
  readonly model: Map<string, Value>
  readonly streams: Array<OpenStream>
}

const key = (random: Random.Random): string => keys[random.below(keyCount)] ?? ""

let count = 0

const value = (random: Random.Random): Value => {
  const length = random.oneIn(15)
    ? random.between(50_000, 300_000)
    : random.oneIn(3)
    ? random.between(1000, 20_000)
    : random.below(500)
  const text = `${++count} ${"x".repeat(length)}`
  return random.oneIn(2) ? { text, turn: count } : text
}

/** Makes a change to the store, and to the model where the store took it. */
const attempt = (
  { model, recorder }: Limited,
  made: Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>,
  change: (model: Map<string, Value>) => void
): Effect.Effect<boolean> =>
  Effect.match(made, {
    onFailure: (error) => {
      if (error._tag === "MapFull") recorder.count("times full")
      else recorder.lose(`${error._tag}: ${error.message}`)
      return false
    },
    onSuccess: () => {
      change(model)
      return true
    }
  })

/** So often a record is written over that the structure of such records is defined. */
const turns = 300

/** Writes a small record over and over. */
const overwrite = Effect.fnUntraced(function*(limited: Limited, name: string) {
  for (let turn = 0; turn < turns; turn++) {
    const small = { text: "small", turn }
    const isTaken = yield* attempt(limited, limited.store.put(name, small), (model) => model.set(name, small))
    if (!isTaken) return false
  }
  return true
})

const entriesOf = (random: Random.Random): ReadonlyArray<readonly [string, Value]> =>
  random.many(random.between(1, 8), () => [key(random), value(random)] as const)

const write = (limited: Limited): Effect.Effect<boolean> => {
  const { random, store } = limited
  const choice = random.below(20)
  const name = key(random)
  const text = value(random)
  if (choice < 8) return attempt(limited, store.put(name, text), (model) => model.set(name, text))
  if (choice < 10) {
    return attempt(limited, store.update(name, () => Option.some(text)), (model) => model.set(name, text))
  }
  if (choice < 13) return attempt(limited, store.delete(name), (model) => model.delete(name))
  if (choice < 16) {
    const entries = entriesOf(random)
    return attempt(limited, store.putMany(entries), (model) => entries.forEach(([each, its]) => model.set(each, its)))
  }
  if (choice < 17) {
    const unwanted = random.many(random.below(8), () => key(random))
    return attempt(limited, store.deleteMany(unwanted), (model) => unwanted.forEach((each) => model.delete(each)))
  }
  if (choice < 18) {
    return attempt(limited, store.deleteRange({ prefix: name }), (model) => {
      for (const each of keys) if (each.startsWith(name)) model.delete(each)
    })
  }
  if (random.oneIn(10)) return overwrite(limited, name)
  return random.oneIn(12)
    ? attempt(limited, store.clear, (model) => model.clear())
    : attempt(limited, store.flush, () => undefined)
}

const openStream = ({ model, recorder, store, streams }: Limited) =>
  Effect.gen(function*() {
    const reader = yield* readByHand(store.entries())
    const copy = new Map(model)
    const first = yield* reader.next
    recorder.count("streams")
    if (first.length === 0) yield* reader.end
    else {streams.push({
        model: copy,
        reader: { ...reader, rest: Effect.map(reader.rest, (rest) => [...first, ...rest]) }
      })}
  })

const endStream = ({ recorder, streams }: Limited) =>
  Effect.gen(function*() {
    const stream = streams.shift()
    if (stream === undefined) return
    const entries = new Map(yield* stream.reader.rest)
    recorder.expect(
      isDeepStrictEqual(entries, stream.model),
      "a stream did not give what was there when it was started"
    )
  })

const expectLimit = ({ allowed, file, recorder }: Limited): void => {
  const length = existsSync(file) ? statSync(file).size : 0
  recorder.expect(length <= allowed, `the file has ${length} bytes, ${allowed} are allowed`)
}

const expectModel = Effect.fnUntraced(function*({ model, recorder, store }: Limited) {
  const { found } = yield* store.getMany(keys)
  const wrong = keys.filter((each) => !isDeepStrictEqual(found.get(each), model.get(each)))
  recorder.expect(wrong.length === 0, `${wrong.length} of ${model.size} values are not what they were`)
  const size = yield* store.size
  recorder.expect(size === model.size, `there are ${size} keys, ${model.size} were taken`)
})

/** Deletes until all that is left is on disk; with nothing left it must be. */
const makeFit = Effect.fnUntraced(function*(limited: Limited) {
  const { model, random, recorder, store } = limited
  while (!(yield* attempt(limited, store.flush, () => undefined))) {
    if (model.size === 0) return recorder.lose("a store without a key is full")
    for (const each of [...model.keys()].slice(0, random.between(1, 6))) {
      yield* attempt(limited, store.delete(each), (changed) => changed.delete(each))
    }
    expectLimit(limited)
  }
})

const expectUsable = Effect.fnUntraced(function*(limited: Limited) {
  const { model, recorder, store } = limited
  const isEmptied = yield* attempt(limited, store.deleteMany(keys), (changed) => changed.clear())
  recorder.expect(isEmptied, "deletions did not fit")
  yield* expectModel(limited)
  const isTaken = yield* attempt(limited, store.putMany({ k0: "small" }), () => model.set("k0", "small"))
  recorder.expect(isTaken, "an emptied store takes nothing")
})

/** Opens the store under a limit and uses it for some time. */
const live = Effect.fnUntraced(
  function*(path: string, limited: Omit<Limited, "store" | "allowed" | "file" | "streams">) {
    const { random, recorder } = limited
    const file = join(path, "data.mdb")
    const pages = existsSync(file) ? Math.ceil(statSync(file).size / pageSize) : 0
    const smallest = 256 * kibibyte
    // A limit near the end of the file leaves few pages to hold back; with none there would be none to delete with.
    const maxMapSize = random.oneIn(3)
      ? Math.max(smallest, (pages + random.between(8, 32)) * pageSize + random.below(pageSize))
      : random.between(smallest, 1024 * kibibyte)
    const mapSize = random.between(smallest, maxMapSize)
    const allowed = pages * pageSize > maxMapSize ? mapSizeOf(pages, { mapSize, maxMapSize }) : maxMapSize
    recorder.count(pages * pageSize > maxMapSize ? "limits below the file" : "limits")
    const store = yield* Store.make({
      path,
      mapSize,
      maxMapSize,
      batchSize: random.between(1, 60),
      durability: random.oneIn(4) ? "sync" : "noSync"
    })
    const all: Limited = { ...limited, store, allowed, file, streams: [] }
    yield* expectModel(all)
    for (let step = 0; step < 60; step++) {
      if (random.oneIn(10) && all.streams.length < 3) yield* openStream(all)
      else if (random.oneIn(10)) yield* endStream(all)
      else yield* write(all)
      recorder.count("steps")
      expectLimit(all)
      yield* expectModel(all)
    }
    while (all.streams.length > 0) yield* endStream(all)
    yield* makeFit(all)
    if (random.oneIn(3)) yield* expectUsable(all)
    yield* expectModel(all)
    yield* store.close({ strict: true })
    expectLimit(all)
  }
)

/** The section. */
export const section: Section = {
  rounds: { quick: 30, long: 2000 },
  round: Effect.fnUntraced(function*(seed) {
    const random = Random.make(seed)
    const recorder = record()
    const path = yield* temporaryFolder
    const model = new Map<string, Value>()
    for (let lives = 0; lives < 3; lives++) {
      const scope = yield* Scope.make()
      const lived = yield* Effect.exit(Scope.provide(live(path, { random, recorder, model }), scope))
      yield* Scope.close(scope, Exit.void)
      if (Exit.isFailure(lived)) {
        recorder.lose(Cause.pretty(lived.cause))
        break
      }
    }
    return recorder.report()
  })
}
