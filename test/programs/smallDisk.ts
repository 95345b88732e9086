/**
 * Uses a store on a disk that is full again and again, and prints a report of what
 * came of it: an error with its code while there is no room, and nothing lost.
 *
 * Argument: a folder on a small file system, and the seed, as JSON.
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { rmSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import { ballastIn } from "../torture/ballast.ts"
import * as Random from "../torture/random.ts"
import { record } from "../torture/section.ts"

const { folder, seed } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ folder: Schema.String, seed: Schema.Int }))
)(process.argv[2])

const random = Random.make(seed)
const recorder = record()
const ballast = ballastIn(folder)
/** No space left, input/output error as the engine calls a write that was cut short, file too large. */
const fullCodes = new Set([28, 5, 27])

const keys = Array.from({ length: 25 }, (_, index) => `key ${index}`)
const key = () => keys[random.below(keys.length)] ?? ""
let count = 0
const value = () => `${++count} ${"x".repeat(random.oneIn(8) ? random.between(5000, 30_000) : random.below(800))}`

const expectModel = Effect.fnUntraced(function*(store: StoreService, model: ReadonlyMap<string, string>, when: string) {
  const { found } = yield* store.getMany(keys)
  const wrong = keys.filter((each) => found.get(each) !== model.get(each))
  recorder.expect(wrong.length === 0, `${when}: ${wrong.join()} of ${model.size} are not what they were`)
})

/** Does something random; gives whether it was done, and changes the model then. */
const step = (store: StoreService, model: Map<string, string>) => {
  const choice = random.below(10)
  const name = key()
  const text = value()
  const entries = random.many(random.between(1, 6), () => [key(), value()] as const)
  const [made, change]: readonly [Effect.Effect<unknown, { readonly _tag: string }>, () => void] = choice < 5
    ? [store.put(name, text), () => model.set(name, text)]
    : choice < 6
    ? [store.delete(name), () => model.delete(name)]
    : choice < 8
    ? [store.putMany(entries), () => entries.forEach(([each, its]) => model.set(each, its))]
    : [store.flush, () => undefined]
  return Effect.match(made, {
    onSuccess: () => {
      change()
      return true
    },
    onFailure: (error) => {
      const code = "code" in error ? Number(error.code) : 0
      recorder.count("errors of a full disk")
      recorder.expect(error._tag === "EngineFailure" && fullCodes.has(code), `${error._tag} with the code ${code}`)
      return false
    }
  })
}

const cycle = Effect.fnUntraced(function*(store: StoreService, model: Map<string, string>, number: number) {
  ballast.fillUp(random.oneIn(4) ? 0 : random.below(150_000))
  for (let left = 200; left > 0; left--) {
    // Some more steps after the first that fails
    if (!(yield* step(store, model))) left = Math.min(left, 12)
    if (random.oneIn(5)) yield* expectModel(store, model, `cycle ${number}`)
  }
  const other = join(folder, `other ${number}`)
  const opened = yield* Effect.result(Effect.scoped(Store.make({ path: other })))
  recorder.count(opened._tag === "Success" ? "stores opened on a full disk" : "stores refused on a full disk")
  const backup = join(folder, `backup ${number}`)
  const saved = yield* Effect.result(store.backup(backup))
  yield* ballast.remove
  const flushed = yield* Effect.result(store.flush)
  recorder.expect(flushed._tag === "Success", `cycle ${number}: there is room, and the flush fails`)
  if (saved._tag === "Failure") yield* store.backup(backup)
  yield* Effect.scoped(
    Effect.flatMap(Store.make({ path: backup, readOnly: true }), (copy) => copy.size)
  )
  rmSync(backup, { recursive: true })
  rmSync(other, { recursive: true, force: true })
  yield* expectModel(store, model, `after cycle ${number}`)
  recorder.count("times the disk was full")
})

const program = Effect.gen(function*() {
  const path = join(folder, "store")
  const model = new Map<string, string>()
  yield* Effect.scoped(Effect.gen(function*() {
    const store = yield* Store.make({ path, mapSize: "256 KiB", batchSize: random.between(1, 30) })
    for (let number = 0; number < 8; number++) yield* cycle(store, model, number)
    yield* store.close({ strict: true })
  }))
  yield* Effect.scoped(
    Effect.flatMap(Store.make({ path, readOnly: true }), (store) => expectModel(store, model, "opened again"))
  )
}).pipe(Effect.provide(Logger.layer([])))

await Effect.runPromise(program)
process.stdout.write(`${JSON.stringify(recorder.report())}\n`)
