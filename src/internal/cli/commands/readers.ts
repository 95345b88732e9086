/** `readers`: which processes have a store open. */
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Inspect from "../../../Inspect.ts"
import * as Format from "../format.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import type { Column } from "../table.ts"

const parameters = {
  store: Parameters.store,
  clean: Parameters.flag("clean", "Free the slots of processes that have ended without closing the store")
}

type Readers = Effect.Success<typeof Inspect.readers>

/** A process that has the store open. */
interface Row {
  readonly processId: number
  readonly host: string
  readonly mode: string
  readonly since: string
  readonly slots: number
  /** How many transactions were committed after the oldest snapshot of the process. LMDB cannot use again the pages that they freed. */
  readonly behind: number | undefined
}

const rowsOf = ({ processes, slots }: Readers, last: number): ReadonlyArray<Row> =>
  processes.map(({ host, processId, readOnly, shared, since }) => {
    const own = slots.filter((slot) => slot.processId === processId)
    const reading = own.flatMap(({ transactionId }) => transactionId === undefined ? [] : [transactionId])
    return {
      processId,
      host,
      mode: readOnly ? "reads" : shared ? "writes, shared" : "writes",
      since: DateTime.formatIso(since),
      slots: own.length,
      behind: reading.length === 0 ? undefined : last - Math.min(...reading)
    }
  })

const columns: ReadonlyArray<Column<Row>> = [
  { name: "PROCESS", get: ({ processId }) => String(processId), isNumber: true },
  { name: "HOST", get: ({ host }) => host },
  { name: "MODE", get: ({ mode }) => mode },
  { name: "SINCE", get: ({ since }) => since },
  { name: "SLOTS", get: ({ slots }) => Format.number(slots), isNumber: true },
  { name: "BEHIND", get: ({ behind }) => behind === undefined ? "" : Format.number(behind), isNumber: true }
]

const handle = Effect.fnUntraced(function*(clean: boolean) {
  const output = yield* Output.make
  if (clean) yield* output.note(`Slots freed: ${Format.number(yield* Inspect.clearReaders)}`)
  const { transactionId } = yield* Inspect.state
  const rows = rowsOf(yield* Inspect.readers, transactionId)
  yield* Output.writeList(output, Stream.fromIterable(rows), { columns, toJson: (row) => row })
  if (rows.length === 0) yield* output.note("No other process has the store open.")
})

/** The command. */
export const command = Command.make("readers", parameters, ({ clean, store }) => withStore(store, handle(clean))).pipe(
  Command.withExamples([
    { command: "effect-lmdb readers ./data/cities", description: "The processes that have the store open" },
    { command: "effect-lmdb readers ./data/cities --clean", description: "Free the slots of processes that have ended" }
  ])
)
