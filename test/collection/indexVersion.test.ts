/** Indexes whose function has changed: found by their version, or by a few records when the collection is opened. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection, Engine, LmdbEngine, Store } from "../../src/index.ts"
import { keysBetween } from "../../src/internal/collection/indexSample.ts"
import { ByteString } from "../../src/Key.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { all, at, recordsOf, tamper } from "../support/fixtures/collections.ts"
import { faultyStore, temporaryFolder, withLog } from "../support/harness.ts"

const Word = Schema.Struct({ text: Schema.String })

type Word = typeof Word.Type

/** Words by a text that comes from each. */
const wordsBy = (of: (word: Word) => string | undefined, version?: number, unique = false) =>
  Collection.make("words", {
    key: Schema.Int,
    value: Word,
    indexes: { byText: { key: Schema.String, of, unique, ...(version === undefined ? {} : { version }) } }
  })

const asIs = ({ text }: Word) => text
const lower = ({ text }: Word) => text.toLowerCase()

/** Another text for a word that is not looked at when the collection is opened. */
const wordThree = ({ text }: Word) => text === "W3" ? "changed" : text

const many = (count: number) => Array.from({ length: count }, (_, key) => [key, { text: `W${key}` }] as const)

/** Words in a store that is closed. */
const stored = Effect.fnUntraced(function*(count: number, open: ReturnType<typeof wordsBy> = wordsBy(asIs)) {
  const path = yield* temporaryFolder
  yield* at(path, Effect.flatMap(open, ({ putMany }) => putMany(many(count))))
  return path
})

const isExact = (path: string, open: ReturnType<typeof wordsBy>) =>
  at(path, Effect.flatMap(open, ({ verify }) => Effect.map(verify, (problems) => assert.deepStrictEqual(problems, []))))

const keyOfCodes = (...codes: ReadonlyArray<number>) => ByteString(String.fromCharCode(...codes))

const secondBytes = (keys: ReadonlyArray<ByteString>) => keys.map((key) => key.charCodeAt(1))

describe("the version of an index", () => {
  it.effect("causes a build if it has changed, but not if it is 1 and was not given before", () =>
    Effect.gen(function*() {
      const of = wordThree
      const path = yield* stored(1500)
      const before = yield* recordsOf(path, "index/words/byText")
      yield* withLog((log) =>
        Effect.gen(function*() {
          yield* at(path, wordsBy(of, 1))
          assert.lengthOf(log, 0)
        })
      )
      assert.deepStrictEqual(yield* recordsOf(path, "index/words/byText"), before)
      yield* withLog((log) =>
        Effect.gen(function*() {
          yield* isExact(path, wordsBy(of, 2))
          assert.isTrue(log.every(({ level }) => level === "INFO"))
        })
      )
      const found = at(path, Effect.flatMap(wordsBy(of, 2), ({ indexes }) => indexes.byText.get("changed")))
      assert.deepStrictEqual(yield* found, Option.some({ text: "W3" }))
    }))

  it.effect("is a whole number of at least 1", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const version of [0, -1, 1.5, NaN]) {
        const failure = yield* at(path, Effect.flip(wordsBy(asIs, version)))
        assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "BadDefinition" })
        assert.include(failure.message, "\"byText\"")
      }
    }))
})

describe("a function that gives other keys under the same version", () => {
  it.effect("is detected at the first record, at the last, and at one in between", () =>
    Effect.gen(function*() {
      for (const changed of ["W0", "W999", undefined]) {
        const path = yield* stored(1000)
        const of = (word: Word) => changed === undefined || word.text === changed ? lower(word) : word.text
        const isMiddle = (word: Word) => word.text !== "W0" && word.text !== "W999" ? lower(word) : word.text
        yield* isExact(path, wordsBy(changed === undefined ? isMiddle : of))
      }
    }))

  it.effect("is detected in collections of every size, whatever the keys", () =>
    Effect.gen(function*() {
      for (const size of [1, 2, 3, 7]) yield* isExact(yield* stored(size), wordsBy(lower))
      const empty = yield* stored(0)
      yield* withLog((log) =>
        Effect.gen(function*() {
          yield* isExact(empty, wordsBy(lower))
          assert.lengthOf(log, 0)
        })
      )
    }))

  it.effect("fails in a read-only store, which cannot build the index", () =>
    Effect.gen(function*() {
      const path = yield* stored(10)
      const failure = yield* at(path, Effect.flip(wordsBy(lower)), { readOnly: true })
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Index" })
      assert.include(failure.message, "\"byText\"")
      yield* at(path, wordsBy(asIs), { readOnly: true })
    }))

  it.effect("that gives records the same key in a unique index is refused, and the earlier program still opens", () =>
    Effect.gen(function*() {
      const path = yield* stored(10, wordsBy(asIs, 1, true))
      const failure = yield* at(path, Effect.flip(wordsBy(() => "same", 1, true)))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Index" })
      assert.strictEqual(failure._tag === "CollectionFailed" && failure.duplicates?.count, 9)
      yield* withLog((log) =>
        Effect.gen(function*() {
          yield* isExact(path, wordsBy(asIs, 1, true))
          assert.lengthOf(log, 0)
        })
      )
    }))

  it.effect("is not continued by the earlier program after an interrupted build", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* stored(2600)
        const { faulty, store } = yield* faultyStore({ path, flushInterval: "Infinity" })
        yield* faulty.fail("commit", faults.inputOutput, 3)
        assert.strictEqual(yield* Effect.flip(Effect.provideService(wordsBy(lower), Store, store)), faults.inputOutput)
        yield* store.close()
        yield* isExact(path, wordsBy(asIs))
        assert.deepStrictEqual(yield* recordsOf(path, "index/words/byText/2"), [])
        yield* isExact(path, wordsBy(lower))
      })
    ))

  it.effect("at each call is reported, and the index is not built again at each opening", () =>
    withLog((log) =>
      Effect.gen(function*() {
        let calls = 0
        const path = yield* stored(10)
        for (let time = 1; time <= 2; time++) {
          yield* at(path, wordsBy(() => `call ${calls++}`))
          assert.lengthOf(log, time)
          assert.include(log.at(-1), { level: "WARN" })
          assert.include(log.at(-1)?.text, "\"byText\"")
        }
      })
    ))

  it.effect("keeps the entries of a record whose value does not decode", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* stored(10)
        const [, , , , , [key, bytes] = yield* Effect.die("there are ten")] = yield* recordsOf(path, "collection/words")
        const damaged = Buffer.from(bytes)
        damaged[damaged.length - 1] = 0xc1
        damaged[damaged.length - 3] = 0xc1
        yield* tamper(path, [["collection/words", key, damaged]])
        yield* at(
          path,
          Effect.gen(function*() {
            const { indexes } = yield* wordsBy(lower)
            assert.strictEqual(yield* indexes.byText.count(), 10)
            assert.deepStrictEqual(yield* all(indexes.byText.keys({ prefix: "w" })), [0, 1, 2, 3, 4, 6, 7, 8, 9])
          })
        )
      })
    ))
})

describe("an index that is damaged", () => {
  it.effect("is corrected without a build when an opening detects the damage", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* stored(10)
        const entries = yield* recordsOf(path, "index/words/byText")
        const [[first] = yield* Effect.die("there are ten")] = entries
        yield* tamper(path, [
          ["index/words/byText", first, null],
          ["index/words/byText", ByteString("\xff"), Buffer.alloc(0)]
        ])
        yield* at(path, wordsBy(asIs), { readOnly: true })
        yield* isExact(path, wordsBy(asIs))
        assert.deepStrictEqual(yield* recordsOf(path, "index/words/byText"), entries)
        assert.strictEqual(log.filter(({ level, text }) => level === "WARN" && text.includes("\"byText\"")).length, 2)
      })
    ))
})

describe("checking a few records when a collection is opened", () => {
  it.effect("takes a few dozen reads, whatever the number of records", () =>
    Effect.gen(function*() {
      const reads: Array<number> = []
      for (const size of [100, 3000]) {
        const path = yield* stored(size)
        let count = 0
        const real = yield* Effect.provide(Engine.Engine, LmdbEngine.layer)
        const counting = Engine.Engine.of({
          ...real,
          open: (options) =>
            Effect.map(real.open(options), (environment) => ({
              ...environment,
              get: (database, key, decode) => {
                count++
                return environment.get(database, key, decode)
              },
              getMany: (database, keys, decode) => {
                count += keys.length
                return environment.getMany(database, keys, decode)
              },
              read: (database, request) => {
                count++
                return environment.read(database, request)
              }
            }))
        })
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* Effect.provideService(Store.makeWithEngine({ path }), Engine.Engine, counting)
          count = 0
          yield* Effect.provideService(wordsBy(asIs), Store, store)
          reads.push(count)
        }))
      }
      assert.deepStrictEqual(reads[0], reads[1])
      assert.isBelow(reads[0] ?? Infinity, 25)
    }))

  it("finds keys between two at equal distances", () => {
    assert.deepStrictEqual(secondBytes(keysBetween(keyOfCodes(1, 0), keyOfCodes(1, 100), 4)), [20, 40, 60, 80])
    assert.deepStrictEqual(secondBytes(keysBetween(keyOfCodes(1), keyOfCodes(1, 100), 1)), [50])
    for (const key of keysBetween(keyOfCodes(1, 2, 3), keyOfCodes(1, 2, 4), 3)) {
      assert.isTrue(key > keyOfCodes(1, 2, 3) && key < keyOfCodes(1, 2, 4))
    }
  })
})
