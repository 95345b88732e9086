/** `verify`: checks a store, and lists its problems. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Collection from "../../../Collection.ts"
import * as Inspect from "../../../Inspect.ts"
import type { OpenFailed } from "../../../StoreError.ts"
import { No } from "../failures.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as SchemaModule from "../schemaModule.ts"
import type { Column } from "../table.ts"

const parameters = {
  store: Parameters.store,
  deep: Parameters.flag("deep", "Also decode all keys and values, and compare the records with the indexes"),
  schema: SchemaModule.schema
}

/** A line of the list. */
interface Problem {
  readonly problem: string
  readonly where: string
  readonly key: string
  readonly detail: string
}

const ofStored = ({ detail, index, key, kind, place }: Inspect.StoredProblem): Problem => ({
  problem: kind,
  where: place._tag === "Store" ? "(store)" : index === undefined ? place.name : `${place.name}.${index}`,
  key: key === undefined ? "" : Keys.show(key),
  detail
})

/** The reasons that say that a file is damaged. The others say that it cannot be verified. */
const damages: ReadonlySet<OpenFailed["reason"]["_tag"]> = new Set(["NotADatabase", "Truncated"])

const ofFile = ({ detail, reason }: OpenFailed): Problem => ({ problem: reason._tag, where: "(file)", key: "", detail })

/** The collections whose catalog entries cannot be read. `--deep` finds them too. */
const unreadable = Effect.map(
  Inspect.contents,
  ({ collections }) =>
    collections.flatMap(({ name, problem }): ReadonlyArray<Problem> =>
      problem === undefined ? [] : [{ problem: "UnreadableCollection", where: name, key: "", detail: problem }]
    )
)

/** Verifies a collection by the schemas and the index functions of the program. */
const bySchemas = Effect.fnUntraced(function*(definition: SchemaModule.Definition) {
  const { name, ...options } = definition
  const found = yield* Effect.flatMap(Collection.make(name, options), (collection) => collection.verify).pipe(
    Effect.catchTag("CollectionFailed", ({ message }) => Effect.succeed(message))
  )
  if (typeof found === "string") return [{ problem: "CollectionFailed", where: name, key: "", detail: found }]
  return found.map((problem): Problem =>
    problem._tag === "Undecodable"
      ? { problem: problem._tag, where: name, key: problem.key, detail: problem.detail }
      : {
        problem: problem._tag,
        where: `${name}.${problem.index}`,
        key: problem.key,
        detail: `${
          problem._tag === "MissingEntry" ? "the index has no entry" : "the index has the entry"
        } ${problem.indexKey}`
      }
  )
})

const contentProblems = Effect.fnUntraced(function*(
  isDeep: boolean,
  definitions: ReadonlyArray<SchemaModule.Definition>
) {
  const stored = isDeep ? Effect.map(Inspect.verify, (problems) => problems.map(ofStored)) : unreadable
  return [...(yield* stored), ...(yield* Effect.forEach(definitions, bySchemas)).flat()]
})

const columns: ReadonlyArray<Column<Problem>> = [
  { name: "PROBLEM", get: ({ problem }) => problem },
  { name: "WHERE", get: ({ where }) => where },
  { name: "KEY", get: ({ key }) => key },
  { name: "DETAIL", get: ({ detail }) => detail }
]

/** The command. */
export const command = Command.make(
  "verify",
  parameters,
  Effect.fnUntraced(function*({ deep, schema, store }) {
    const output = yield* Output.make
    const definitions = yield* SchemaModule.definitionsOf(schema)
    const problems = yield* withStore(store, contentProblems(deep, definitions), { verify: true }).pipe(
      Effect.catchIf(
        (error) => error._tag === "OpenFailed" && damages.has(error.reason._tag),
        (error) => Effect.succeed(error._tag === "OpenFailed" ? [ofFile(error)] : [])
      )
    )
    if (problems.length > 0 || output.settings.format === "json") {
      yield* Output.writeList(output, Stream.fromIterable(problems), { columns, toJson: (problem) => problem })
    }
    if (problems.length > 0) {
      return yield* new No({ message: problems.length === 1 ? "1 problem." : `${problems.length} problems.` })
    }
    const checked = deep ? "pages, records and indexes" : "pages and catalog"
    yield* output.note(`No problems (${checked}${Option.isSome(schema) ? ", schemas" : ""}).`)
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb verify ./data/cities", description: "Check every page of the file" },
    {
      command: "effect-lmdb verify ./data/cities --deep",
      description: "Also decode all values, and compare the indexes"
    }
  ])
)
