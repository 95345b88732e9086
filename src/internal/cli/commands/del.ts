/** `del`: deletes records, by their keys or by a range. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Inspect from "../../../Inspect.ts"
import type { OrderedKey } from "../../../KeySchema.ts"
import { checkWrite, confirm, yes } from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import * as Format from "../format.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"

const parameters = {
  store: Parameters.store,
  keys: Argument.String("key").pipe(
    Argument.withDescription("Keys of records; a tuple is written as JSON"),
    Argument.variadic()
  ),
  place: Parameters.place,
  bounds: Parameters.bounds,
  yes,
  write: Parameters.write
}

type Given = {
  readonly keys: ReadonlyArray<string>
  readonly place: Inspect.Place
  readonly bounds: Parameters.BoundParameters
  readonly yes: boolean
}

/** The keys to delete: those that were given, or those of the range that have a record. */
const selected = Effect.fnUntraced(function*({ bounds, keys, place }: Given) {
  const examples = yield* Keys.examplesOf(place)
  const range = yield* Keys.rangeOf(bounds, examples)
  const isRange = Object.keys(range).length > 0
  if (isRange === keys.length > 0) {
    return yield* new Usage({
      message: "Give keys, or a range such as --prefix. For all records, give --gte with the first key."
    })
  }
  if (!isRange) return yield* Effect.forEach(keys, (word) => Effect.fromResult(Keys.parse(word, examples)))
  const found = yield* Stream.runCollect(Inspect.records(place, { ...range, values: false }))
  return found.map(({ key }): OrderedKey => key)
})

const countOf = ({ length }: ReadonlyArray<OrderedKey>): string =>
  `${Format.number(length)} record${length === 1 ? "" : "s"}`

const handle = Effect.fnUntraced(function*(given: Given) {
  const output = yield* Output.make
  const { place } = given
  const keys = yield* selected(given)
  const count = countOf(keys)
  if (keys.length > 1) yield* confirm(`Delete ${count} of ${Inspect.show(place)}?`, given.yes)
  const removed = yield* Inspect.remove(place, keys)
  const done = `Deleted ${Format.number(removed)} of ${count} in ${Inspect.show(place)}.`
  yield* Output.writeDone(output, done, { deleted: removed })
  if (keys.length === 0) return yield* new No({ message: "The range has no records." })
  if (removed < keys.length) {
    return yield* new No({ message: `No value: ${Format.number(keys.length - removed)} of the keys.` })
  }
})

/** Fails without a change. Counts what would be deleted if it is a range. */
const refuse = Effect.fnUntraced(function*(given: Given) {
  if (given.keys.length > 0) return yield* checkWrite(false)
  const keys = yield* selected(given)
  return yield* new Usage({
    message: `This would delete ${countOf(keys)} of ${Inspect.show(given.place)}. Give --write to do it.`
  })
})

/** The command. */
export const command = Command.make(
  "del",
  parameters,
  Effect.fnUntraced(function*({ place: given, store, write, ...others }) {
    const place = yield* Parameters.placeOf(given)
    yield* withStore(store, (write ? handle : refuse)({ ...others, place }), { write })
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb del ./data/notes greeting --write", description: "Delete a record" },
    {
      command: "effect-lmdb del ./data/notes --prefix draft/ --write --yes",
      description: "Delete all keys that begin so, without a question"
    }
  ])
)
