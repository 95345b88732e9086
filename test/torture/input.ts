/**
 * Bad input: keys, values, ranges, options and collections as nobody should give them, and every
 * method in every state of a store. Each call ends in a result or a typed error.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService } from "../../src/index.ts"
import * as Value from "../../src/internal/value/valueCodec.ts"
import { temporaryFolder } from "../support/harness.ts"
import { attempt } from "./attempt.ts"
import * as BadInput from "./badInput.ts"
import { useCollections } from "./inputCollections.ts"
import { everyState } from "./lifecycle.ts"
import * as Random from "./random.ts"
import { record, type Recorder, type Section } from "./section.ts"

const useKey = Effect.fnUntraced(function*(recorder: Recorder, store: StoreService, random: Random.Random) {
  const key = BadInput.key(random)
  const value = random.below(1000)
  yield* attempt(recorder, "get", () => store.get(key))
  yield* attempt(recorder, "getOrFail", () => store.getOrFail(key))
  yield* attempt(recorder, "has", () => store.has(key))
  const isPut = yield* attempt(recorder, "put", () => store.put(key, value))
  if (Option.isSome(isPut)) {
    const back = yield* attempt(recorder, "get", () => store.get(key))
    recorder.expect(isDeepStrictEqual(back, Option.some(Option.some(value))), "a key that was put is not there")
  }
  yield* attempt(recorder, "update", () => store.update(key, Option.map((current) => [current])))
  yield* attempt(recorder, "putMany", () => store.putMany([[key, 1], [BadInput.key(random), 2]]))
  yield* attempt(recorder, "getMany", () => store.getMany([key, BadInput.key(random)]))
  yield* attempt(recorder, "getMany", () => store.getMany([key], { decodeKeys: true }))
  yield* attempt(recorder, "deleteOrFail", () => store.deleteOrFail(key))
  yield* attempt(recorder, "delete", () => store.delete(key))
  yield* attempt(recorder, "deleteMany", () => store.deleteMany([key, BadInput.key(random)]))
})

const useValue = Effect.fnUntraced(function*(recorder: Recorder, store: StoreService, random: Random.Random) {
  const value = BadInput.value(random)
  const key = Uint8Array.of(1)
  const isPut = yield* attempt(recorder, "put of a value", () => store.put(key, value))
  recorder.count(Option.isSome(isPut) ? "values stored" : "values refused")
  if (Option.isSome(isPut)) yield* attempt(recorder, "get of a value", () => store.get(key))
  yield* attempt(recorder, "putMany of a value", () => store.putMany([[key, value]]))
  yield* attempt(recorder, "update to a value", () => store.update(key, () => Option.some(value)))
})

const useRange = Effect.fnUntraced(function*(recorder: Recorder, store: StoreService, random: Random.Random) {
  const range = BadInput.range(random)
  yield* attempt(recorder, "count", () => store.count(range))
  yield* attempt(recorder, "keys", () => Stream.runCount(store.keys({ ...range, decodeKeys: false })))
  yield* attempt(recorder, "keys as text", () => Stream.runCount(store.keys({ ...range, decodeKeys: true })))
  yield* attempt(recorder, "values", () => Stream.runCount(store.values(range)))
  yield* attempt(recorder, "entries", () => Stream.runCount(store.entries(range)))
  if (random.oneIn(5)) yield* attempt(recorder, "deleteRange", () => store.deleteRange(range))
})

const useStore = Effect.fnUntraced(function*(recorder: Recorder, random: Random.Random) {
  const store = yield* Store.make({ path: yield* temporaryFolder, ...BadInput.options(random) })
  for (let step = 0; step < 60; step++) {
    yield* useKey(recorder, store, random)
    yield* useValue(recorder, store, random)
    yield* useRange(recorder, store, random)
  }
  yield* attempt(recorder, "stats", () => store.stats)
  yield* attempt(recorder, "close", () => store.close({ strict: true }))
}, Effect.scoped)

const openBadly = Effect.fnUntraced(function*(recorder: Recorder, random: Random.Random) {
  const path = yield* temporaryFolder
  for (let step = 0; step < 20; step++) {
    yield* attempt(recorder, "open", () => Effect.scoped(Store.make(BadInput.badOptions(random, path))))
  }
})

/** Bytes that are no value, and bytes that nearly are one. */
const decodeNoise = (recorder: Recorder, random: Random.Random): void => {
  const codec = Value.make()
  for (let step = 0; step < 2000; step++) {
    const encoded = Value.encode(codec, BadInput.value(random))
    const bytes = random.oneIn(2) || encoded._tag === "Failure"
      ? random.bytes(random.below(60))
      : encoded.success.slice()
    if (bytes.length > 0 && random.oneIn(2)) bytes[0] = random.between(1, 2)
    for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--) {
      bytes[random.below(bytes.length)] = random.below(256)
    }
    recorder.count(Value.decode(codec, bytes)._tag === "Success" ? "noise decoded" : "noise refused")
  }
}

const expectCleanPrototypes = (recorder: Recorder, before: ReadonlyArray<PropertyKey>): void => {
  const after = Reflect.ownKeys(Object.prototype)
  recorder.expect(isDeepStrictEqual(before, after), `the prototype of all objects has ${after.map(String).join()}`)
}

/** The section. */
export const section: Section = {
  rounds: { quick: 3, long: 300 },
  round: Effect.fnUntraced(function*(seed): Effect.fn.Return<ReturnType<Recorder["report"]>, unknown, Scope.Scope> {
    const recorder = record()
    const random = Random.make(seed)
    const before = Reflect.ownKeys(Object.prototype)
    yield* useStore(recorder, random)
    yield* openBadly(recorder, random)
    yield* useCollections(recorder, random)
    decodeNoise(recorder, random)
    expectCleanPrototypes(recorder, before)
    recorder.add(yield* everyState(random))
    return recorder.report()
  })
}
