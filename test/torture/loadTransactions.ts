/**
 * Load by transactions: several processes that move money on one path while one of
 * them is killed, and very many fibers on few keys.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Store } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as Bank from "./bank.ts"
import * as Children from "./children.ts"
import * as Random from "./random.ts"
import type { Recorder } from "./section.ts"

const program = new URL("../programs/transfers.ts", import.meta.url)

const timesSaid = (what: string, { lines }: Children.Ending): number => lines.filter((line) => line === what).length

/** What a process says when it is killed. */
const moments = ["open", "done"] as const

/** Runs processes that transfer; the first is killed some time after it began, and the others go on. */
const runProcesses = (path: string, processes: number, times: number, random: Random.Random) => {
  const moment = random.pick(moments)
  const delay = random.below(200)
  let isKilled = false
  const onLine: Children.Watch["onLine"] = (line, child) => {
    if (line !== moment || isKilled) return
    isKilled = true
    setTimeout(() => child.kill("SIGKILL"), delay)
  }
  return Effect.forEach(
    Array.from({ length: processes + 1 }, (_, number) => ({ path, name: `${number}`, times, seed: random.below(1e9) })),
    (args, number) => Children.run(program, args, number === 0 ? { onLine } : {}),
    { concurrency: "unbounded" }
  )
}

/** Counters and sums are exact, whoever was killed. */
export const useTransactingProcesses = Effect.fnUntraced(function*(
  options: { readonly processes: number; readonly times: number; readonly seed: number },
  recorder: Recorder
) {
  const path = yield* temporaryFolder
  const store = yield* Store.make({ path, shared: true })
  const bank = yield* Bank.open(store)
  yield* Bank.fill(bank)
  const endings = yield* runProcesses(path, options.processes, options.times, Random.make(options.seed))
  for (const [number, ending] of endings.entries()) {
    const isVictim = number === 0
    const isRight = ending.code === 0 || (isVictim && ending.code === "SIGKILL")
    recorder.expect(isRight, `process ${number} that transfers: ${Children.describe(ending)}`)
    for (const line of ending.lines.filter((each) => each.startsWith("wrong "))) recorder.lose(`an audit: ${line}`)
    const done = timesSaid("done", ending)
    const counted = Number(Option.getOrElse(yield* store.get(`of ${number}`), () => 0))
    // The last of who was killed may have been made before he could say so
    const mayBe = isVictim ? counted === done || counted === done + 1 : counted === done && done === options.times
    recorder.expect(mayBe, `process ${number} counted to ${counted} in ${done} transfers`)
    recorder.count("transfers of processes", done)
    recorder.count("transfers given up", timesSaid("gave up", ending))
  }
  for (const difference of yield* Bank.audit(bank)) recorder.lose(`in the end: ${difference}`)
  for (const problem of yield* bank.accounts.verify) recorder.lose(`accounts: ${JSON.stringify(problem)}`)
}, Effect.scoped)

/** Each fiber counts up in a transaction, and some move money; none of them is lost, whatever they wait for. */
export const useTransactingFibers = Effect.fnUntraced(function*(fibers: number, recorder: Recorder) {
  const counters = 10
  const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
  const bank = yield* Bank.open(store)
  yield* Bank.fill(bank)
  const random = Random.make(fibers)
  const one = (fiber: number) =>
    Effect.result(Effect.asVoid<unknown, { readonly _tag: string; readonly message: string }, never>(
      fiber % 20 === 0
        ? Bank.transfer(bank, `${fiber % 7}`, random)
        : store.withTransaction(Bank.increment(store, `counter ${fiber % counters}`))
    ))
  const results = yield* Effect.forEach(Array.from({ length: fibers }, (_, fiber) => fiber), one, {
    concurrency: "unbounded"
  })
  let expected = 0
  for (const [fiber, result] of results.entries()) {
    if (result._tag === "Failure" && result.failure._tag !== "TransactionConflict") {
      recorder.lose(`a transaction among ${fibers}: ${result.failure.message}`)
    }
    recorder.count(result._tag === "Success" ? "transactions of fibers" : "transactions of fibers given up")
    if (result._tag === "Success" && fiber % 20 !== 0) expected++
  }
  let counted = 0
  for (let counter = 0; counter < counters; counter++) {
    counted += Number(Option.getOrElse(yield* store.get(`counter ${counter}`), () => 0))
  }
  recorder.expect(counted === expected, `${expected} transactions counted to ${counted}`)
  for (const difference of yield* Bank.audit(bank)) recorder.lose(`among ${fibers} fibers: ${difference}`)
  for (const problem of yield* bank.accounts.verify) recorder.lose(`accounts: ${JSON.stringify(problem)}`)
}, Effect.scoped)
