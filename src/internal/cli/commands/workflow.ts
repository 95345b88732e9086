/** `workflow`: the executions of workflows of `effect-lmdb/Cluster`. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { WorkflowExecutions } from "../../../Cluster.ts"
import * as Confirm from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import * as Format from "../format.ts"
import { jsonText } from "../jsonText.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import type { Column } from "../table.ts"

const states = ["running", "suspended", "completed", "failed", "interrupted", "damaged"] as const

/** An execution or a damaged message. */
type Listed = Stream.Success<typeof WorkflowExecutions.list>

const stateOf = (listed: Listed): WorkflowExecutions.WorkflowState =>
  Result.isSuccess(listed) ? listed.success.state : "damaged"

/** Whether a state is selected: `suspended` also selects those that were suspended after a failure. */
const isIn = (state: WorkflowExecutions.WorkflowState, selected: string): boolean =>
  state === selected || (selected === "suspended" && state === "suspended after a failure")

const timesToJson = <T extends { readonly startedAt: DateTime.Utc; readonly repliedAt: DateTime.Utc | undefined }>(
  { repliedAt, startedAt, ...others }: T
) => ({
  ...others,
  startedAt: DateTime.formatIso(startedAt),
  ...(repliedAt === undefined ? {} : { repliedAt: DateTime.formatIso(repliedAt) })
})

const toJson = (listed: Listed): object =>
  Result.match(listed, { onSuccess: timesToJson, onFailure: (damaged) => ({ ...damaged, state: "damaged" }) })

const stepToJson = (step: Result.Result<WorkflowExecutions.WorkflowStep, WorkflowExecutions.DamagedMessage>): object =>
  Result.match(step, {
    onSuccess: ({ until, ...others }) => ({
      ...timesToJson(others),
      ...(until === undefined ? {} : { until: DateTime.formatIso(until) })
    }),
    onFailure: (damaged) => ({ ...damaged, state: "damaged" })
  })

const textOf = (result: unknown): string => result === undefined ? "" : jsonText(result)

const columns: ReadonlyArray<Column<Listed>> = [
  { name: "WORKFLOW", get: (listed) => Result.isSuccess(listed) ? listed.success.workflow : "" },
  {
    name: "EXECUTION",
    get: (listed) => Result.isSuccess(listed) ? listed.success.executionId : `(message ${listed.failure.messageId})`
  },
  { name: "STATE", get: stateOf },
  { name: "STARTED", get: (listed) => Result.isSuccess(listed) ? Format.time(listed.success.startedAt) : "" },
  { name: "SINCE", get: (listed) => Result.isSuccess(listed) ? Format.time(listed.success.repliedAt) : "" },
  { name: "RESULT", get: (listed) => Result.isSuccess(listed) ? textOf(listed.success.result) : listed.failure.detail }
]

const name = Flag.String("name").pipe(
  Flag.withDescription("Name of the workflow"),
  Flag.withMetavar("workflow"),
  Flag.optional
)

const ls = Command.make(
  "ls",
  {
    store: Parameters.store,
    name,
    state: Flag.Literals("state", states).pipe(Flag.withDescription("Only executions in this state"), Flag.optional),
    limit: Parameters.limit
  },
  Effect.fnUntraced(function*({ limit, name: workflow, state, store }) {
    const output = yield* Output.make
    const found = WorkflowExecutions.list.pipe(
      Stream.filter((listed) =>
        Option.isNone(workflow) || (Result.isSuccess(listed) && listed.success.workflow === workflow.value)
      ),
      Stream.filter((listed) => Option.isNone(state) || isIn(stateOf(listed), state.value)),
      // One execution more tells whether the limit has left some out.
      (all) => limit === Infinity ? all : Stream.take(all, limit + 1)
    )
    let read = 0
    const shown = Stream.filter(found, () => ++read <= limit)
    yield* withStore(store, Output.writeList(output, shown, { columns, toJson }))
    if (read > limit) yield* output.note(`There are more: ${limit} shown. Use --limit to see more, or --limit=all.`)
    if (read === 0) yield* output.note("No executions.")
  })
).pipe(
  Command.withDescription("List executions, the oldest first"),
  Command.withExamples([
    { command: "effect-lmdb workflow ls ./data/orders", description: "All executions with their results" },
    { command: "effect-lmdb workflow ls ./data/orders --state suspended", description: "What waits, and since when" }
  ])
)

// ---------------------------------------------------------------------------
// one execution
// ---------------------------------------------------------------------------

const one = {
  store: Parameters.store,
  execution: Argument.String("execution").pipe(Argument.withDescription("Execution id, as ls shows it")),
  name
}

/** Finds an execution by its id. Two workflows can have executions with the same id. */
const find = Effect.fnUntraced(function*(executionId: string, workflow: Option.Option<string>) {
  const found = yield* WorkflowExecutions.list.pipe(
    Stream.filter(Result.isSuccess),
    Stream.map(({ success }) => success),
    Stream.filter((execution) =>
      execution.executionId === executionId && (Option.isNone(workflow) || execution.workflow === workflow.value)
    ),
    Stream.runCollect
  )
  const [first] = found
  if (first === undefined) return yield* new No({ message: `There is no execution "${executionId}".` })
  if (found.length === 1) return first
  const names = found.map((execution) => execution.workflow).join(", ")
  return yield* new Usage({ message: `Several workflows have an execution "${executionId}": ${names}. Give --name.` })
})

const show = Command.make(
  "show",
  one,
  Effect.fnUntraced(function*({ execution, name: workflow, store }) {
    const output = yield* Output.make
    const json = yield* withStore(
      store,
      Effect.gen(function*() {
        const found = yield* find(execution, workflow)
        const steps = yield* WorkflowExecutions.steps(found)
        return { ...timesToJson(found), steps: steps.map(stepToJson) }
      })
    )
    yield* output.write(`${jsonText(json, output.settings.format === "ndjson" ? 0 : 2)}\n`)
  })
).pipe(
  Command.withDescription("Show an execution with its activities and sleeps as JSON"),
  Command.withExamples([
    {
      command: "effect-lmdb workflow show ./data/orders a03fc03ba19d48d85c4824a4dbe210c6",
      description: "Where an order is"
    }
  ])
)

/** Changes an execution, and says what becomes of it. */
const change = Effect.fnUntraced(function*(
  { execution, name: workflow, store, write }: {
    readonly store: Parameters.StoreParameters
    readonly execution: string
    readonly name: Option.Option<string>
    readonly write: boolean
  },
  make: typeof WorkflowExecutions.resume,
  { done, refused }: { readonly done: string; readonly refused: string }
) {
  yield* Confirm.checkWrite(write)
  const output = yield* Output.make
  const changing = Effect.gen(function*() {
    const found = yield* find(execution, workflow)
    if (yield* make(found)) return
    return yield* new No({ message: `The execution "${execution}" ${refused}: it is ${found.state}.` })
  })
  yield* withStore(store, changing, { write })
  const text = `${done} The program does it when it starts, or when it next looks for messages.`
  yield* Output.writeDone(output, text, { changed: 1 })
})

const resume = Command.make(
  "resume",
  { ...one, write: Parameters.write },
  (given) => change(given, WorkflowExecutions.resume, { done: "Resumed.", refused: "is not suspended" })
).pipe(
  Command.withDescription("Let a suspended execution run again"),
  Command.withExamples([
    {
      command: "effect-lmdb workflow resume ./data/orders a03fc03ba19d48d85c4824a4dbe210c6 --write",
      description: "After the reason of a failure is removed"
    }
  ])
)

const interrupt = Command.make(
  "interrupt",
  { ...one, write: Parameters.write },
  (given) => change(given, WorkflowExecutions.interrupt, { done: "Interrupted.", refused: "has a result" })
).pipe(
  Command.withDescription("Interrupt an execution: its compensations run, and it ends"),
  Command.withExamples([
    {
      command: "effect-lmdb workflow interrupt ./data/orders a03fc03ba19d48d85c4824a4dbe210c6 --write",
      description: "Give up an order"
    }
  ])
)

/** The command. */
export const command = Command.make("workflow").pipe(
  Command.withSubcommands([ls, show, resume, interrupt]),
  Command.withExamples([ls, show, resume, interrupt].flatMap(({ examples }) => examples))
)
