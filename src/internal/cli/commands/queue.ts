/** `queue`: the elements of `effect-lmdb/PersistedQueue`. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as PersistedQueue from "../../../PersistedQueue.ts"
import { similarTo } from "../../similarNames.ts"
import * as Confirm from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import * as Format from "../format.ts"
import { jsonText } from "../jsonText.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import type { Column } from "../table.ts"

const states = ["due", "delayed", "leased", "failed", "completed", "damaged"] as const

type State = typeof states[number]

const stateOf = (listed: PersistedQueue.ListedQueueElement): State =>
  Result.match(listed, { onSuccess: ({ state }) => state, onFailure: () => "damaged" })

const nameOf = (listed: PersistedQueue.ListedQueueElement): string =>
  Result.match(listed, { onSuccess: ({ queue }) => queue, onFailure: ({ queue }) => queue })

/** Fails if the store has no element of a queue, not even a completed one: its name may be misspelled. */
const checkName = Effect.fnUntraced(function*(name: string) {
  if (Option.isSome(yield* Stream.runHead(PersistedQueue.elements({ name })))) return
  const names = yield* Stream.runFold(
    PersistedQueue.elements(),
    () => new Set<string>(),
    (known, listed) => known.add(nameOf(listed))
  )
  const similar = similarTo(name, [...names])
  return yield* new Usage({ message: `The store has no queue "${name}"${similar === "" ? "." : similar}` })
})

// ---------------------------------------------------------------------------
// ls
// ---------------------------------------------------------------------------

/** How many elements of a queue are in each state. */
type Counts = { readonly queue: string } & { readonly [S in State]: number }

const noCounts = { due: 0, delayed: 0, leased: 0, failed: 0, completed: 0, damaged: 0 }

const countQueues = Effect.map(
  Stream.runFold(PersistedQueue.elements(), () => new Map<string, Counts>(), (queues, listed) => {
    const queue = nameOf(listed)
    const counts = queues.get(queue) ?? { queue, ...noCounts }
    const state = stateOf(listed)
    return queues.set(queue, { ...counts, [state]: counts[state] + 1 })
  }),
  (queues) => [...queues.values()]
)

const countColumns: ReadonlyArray<Column<Counts>> = [
  { name: "QUEUE", get: ({ queue }) => queue },
  ...states.map((state): Column<Counts> => ({
    name: state.toUpperCase(),
    get: (counts) => Format.number(counts[state]),
    isNumber: true
  }))
]

const columns: ReadonlyArray<Column<PersistedQueue.ListedQueueElement>> = [
  { name: "QUEUE", get: nameOf },
  { name: "ID", get: (listed) => Result.isSuccess(listed) ? listed.success.id : listed.failure.id },
  { name: "STATE", get: stateOf },
  { name: "ATTEMPTS", get: (listed) => Result.isSuccess(listed) ? `${listed.success.attempts}` : "", isNumber: true },
  { name: "DUE", get: (listed) => Result.isSuccess(listed) ? Format.time(listed.success.dueAt) : "" },
  {
    name: "LAST FAILURE",
    get: (listed) => Result.isSuccess(listed) ? listed.success.lastFailure ?? "" : listed.failure.detail
  }
]

const toJson = (listed: PersistedQueue.ListedQueueElement): object =>
  Result.match(listed, {
    onSuccess: ({ changedAt, dueAt, leasedUntil, ...others }) => ({
      ...others,
      dueAt: DateTime.formatIso(dueAt),
      changedAt: DateTime.formatIso(changedAt),
      ...(leasedUntil === undefined ? {} : { leasedUntil: DateTime.formatIso(leasedUntil) })
    }),
    onFailure: (damaged) => ({ ...damaged, state: "damaged" })
  })

const optionalName = Flag.String("name").pipe(
  Flag.withDescription("Only this queue"),
  Flag.withMetavar("queue"),
  Flag.optional
)

const listElements = Effect.fnUntraced(function*(
  output: Output.Output,
  { limit, name, state }: {
    readonly limit: number
    readonly name: Option.Option<string>
    readonly state: Option.Option<State>
  }
) {
  if (Option.isSome(name)) yield* checkName(name.value)
  const found = PersistedQueue.elements({ name: Option.getOrUndefined(name) }).pipe(
    Stream.filter((listed) => Option.isSome(state) ? stateOf(listed) === state.value : stateOf(listed) !== "completed"),
    // One element more tells whether the limit has left some out.
    (all) => limit === Infinity ? all : Stream.take(all, limit + 1)
  )
  let read = 0
  yield* Output.writeList(output, Stream.filter(found, () => ++read <= limit), { columns, toJson })
  if (read > limit) yield* output.note(`There are more: ${limit} shown. Use --limit to see more, or --limit=all.`)
  if (read === 0) yield* output.note("No elements.")
})

const ls = Command.make(
  "ls",
  {
    store: Parameters.store,
    name: optionalName,
    state: Flag.Literals("state", states).pipe(
      Flag.withDescription("Only elements in this state"),
      Flag.optional
    ),
    limit: Parameters.limit
  },
  Effect.fnUntraced(function*({ limit, name, state, store }) {
    const output = yield* Output.make
    if (Option.isSome(name) || Option.isSome(state)) {
      return yield* withStore(store, listElements(output, { limit, name, state }))
    }
    const counts = yield* withStore(store, countQueues)
    yield* Output.writeList(output, Stream.fromIterable(counts), { columns: countColumns, toJson: (queue) => queue })
    if (counts.length === 0) yield* output.note("No queues.")
  })
).pipe(
  Command.withDescription("List the queues with their numbers of elements; with --name or --state, list elements"),
  Command.withExamples([
    { command: "effect-lmdb queue ls ./data/jobs", description: "How much waits in each queue, and what has failed" },
    {
      command: "effect-lmdb queue ls ./data/jobs --state failed",
      description: "The failed elements with their failures"
    }
  ])
)

// ---------------------------------------------------------------------------
// show
// ---------------------------------------------------------------------------

const oneName = Flag.String("name").pipe(Flag.withDescription("Name of the queue"), Flag.withMetavar("queue"))

const show = Command.make(
  "show",
  {
    store: Parameters.store,
    id: Argument.String("id").pipe(Argument.withDescription("Id of the element")),
    name: oneName
  },
  Effect.fnUntraced(function*({ id, name, store }) {
    const output = yield* Output.make
    const found = yield* withStore(store, Effect.andThen(checkName(name), PersistedQueue.element(name, id)))
    if (Option.isNone(found)) return yield* new No({ message: `The queue "${name}" has no element "${id}".` })
    yield* output.write(`${jsonText(toJson(found.value), output.settings.format === "ndjson" ? 0 : 2)}\n`)
  })
).pipe(
  Command.withDescription("Show an element as JSON"),
  Command.withExamples([
    {
      command: "effect-lmdb queue show ./data/jobs 2 --name emails",
      description: "What was offered, and why it failed"
    }
  ])
)

// ---------------------------------------------------------------------------
// requeue and purge
// ---------------------------------------------------------------------------

const selection = {
  store: Parameters.store,
  ids: Argument.String("id").pipe(Argument.withDescription("Ids of failed elements"), Argument.variadic()),
  name: oneName,
  all: Parameters.flag("all", "All elements of the queue that have failed"),
  write: Parameters.write
}

const idsOf = (ids: ReadonlyArray<string>, all: boolean): Effect.Effect<ReadonlyArray<string> | "all", Usage> => {
  if (all === ids.length > 0) return Effect.fail(new Usage({ message: "Give ids, or --all." }))
  return Effect.succeed(all ? "all" : ids)
}

const report = Effect.fnUntraced(function*(done: string, changed: number, ids: ReadonlyArray<string> | "all") {
  const output = yield* Output.make
  if (output.settings.format !== "text") yield* output.write(`${jsonText({ changed })}\n`)
  const text = `${done} ${Format.number(changed)} ${changed === 1 ? "element" : "elements"}.`
  if (ids === "all" || changed === new Set(ids).size) return yield* output.note(text)
  return yield* new No({ message: `${text} The others have not failed, or are damaged.` })
})

const requeue = Command.make(
  "requeue",
  selection,
  Effect.fnUntraced(function*({ all, ids: given, name, store, write }) {
    yield* Confirm.checkWrite(write)
    const ids = yield* idsOf(given, all)
    const requeueing = Effect.flatMap(PersistedQueue.makeFailedElements, (failed) => failed.requeue({ name, ids }))
    const requeued = yield* withStore(store, Effect.andThen(checkName(name), requeueing), { write })
    yield* report("Requeued", requeued, ids)
  })
).pipe(
  Command.withDescription("Put failed elements back into their queue, with all attempts"),
  Command.withExamples([
    { command: "effect-lmdb queue requeue ./data/jobs --name emails --all --write", description: "Try all again" }
  ])
)

const purge = Command.make(
  "purge",
  { ...selection, yes: Confirm.yes },
  Effect.fnUntraced(function*({ all, ids: given, name, store, write, yes }) {
    yield* Confirm.checkWrite(write)
    const ids = yield* idsOf(given, all)
    const what = ids === "all" ? "all failed elements" : `${ids.length} failed elements`
    yield* Confirm.confirm(`Delete ${what} of the queue "${name}"?`, yes || ids.length === 1)
    const purging = Effect.flatMap(PersistedQueue.makeFailedElements, (failed) => failed.purge({ name, ids }))
    const purged = yield* withStore(store, Effect.andThen(checkName(name), purging), { write })
    yield* report("Deleted", purged, ids)
  })
).pipe(
  Command.withDescription("Delete failed elements; their ids can be offered again"),
  Command.withExamples([
    { command: "effect-lmdb queue purge ./data/jobs 2 --name emails --write", description: "Give up an element" }
  ])
)

/** The command. */
export const command = Command.make("queue").pipe(
  Command.withSubcommands([ls, show, requeue, purge]),
  Command.withExamples([ls, show, purge, requeue].flatMap(({ examples }) => examples))
)
