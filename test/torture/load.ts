/**
 * Load: very many fibers on one store, several processes and threads on one path, by
 * buffered calls and by transactions.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { statSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { Store } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"
import { useTransactingFibers, useTransactingProcesses } from "./loadTransactions.ts"
import * as Observer from "./observer.ts"
import { record, type Recorder, type RoundOptions, type Section } from "./section.ts"

// ---------------------------------------------------------------------------
// fibers
// ---------------------------------------------------------------------------

const addOne = Option.match({
  onNone: () => Option.some(1),
  onSome: (count: unknown) => Option.some(Number(count) + 1)
})

const counters = 100

/** Each fiber counts up, keeps a value of its own, and reads something. */
export const useFibers = Effect.fnUntraced(function*(fibers: number, recorder: Recorder) {
  const store = yield* Store.make({ path: yield* temporaryFolder, batchSize: 500 })
  const one = (fiber: number) =>
    Effect.gen(function*() {
      yield* store.update(`counter ${fiber % counters}`, addOne)
      yield* store.put(`fiber ${fiber}`, fiber)
      const back = yield* store.get(`fiber ${fiber}`)
      if (fiber % 1000 === 0) yield* store.flush
      return Option.isSome(back) && back.value === fiber
    })
  const isRight = yield* Effect.forEach(Array.from({ length: fibers }, (_, fiber) => fiber), one, {
    concurrency: "unbounded"
  })
  recorder.count("fibers", fibers)
  recorder.expect(isRight.every(Boolean), "a fiber did not see its own value")
  yield* store.flush
  const total = yield* Stream.runFold(
    store.values({ prefix: "counter " }),
    () => 0,
    (sum, count) => sum + Number(count)
  )
  recorder.expect(total === fibers, `${fibers} fibers counted to ${total}`)
  recorder.expect((yield* store.count({ prefix: "fiber " })) === fibers, "values of fibers are missing")
}, Effect.scoped)

// ---------------------------------------------------------------------------
// processes and threads
// ---------------------------------------------------------------------------

const sameEntries = (round: number) =>
  Array.from({ length: 20 }, (_, index) => [`same ${index}`, `${round} ${"x".repeat(2000)}`] as const)

const bytesOf = (path: string): number => statSync(join(path, "data.mdb")).size

/** Several processes read, all of one state each time, while this one writes; one more is killed in the middle of a reading. */
const useProcesses = Effect.fnUntraced(function*(processes: number, recorder: Recorder) {
  const path = yield* temporaryFolder
  const store = yield* Store.make({ path, shared: true })
  yield* store.putMany(sameEntries(0))
  const observers = yield* Effect.all(
    Array.from(
      { length: processes },
      (_, index) => Observer.start({ place: { _tag: "Folder", path }, readOnly: index % 2 === 0, stays: false })
    ),
    { concurrency: "unbounded" }
  )
  const write = (rounds: number) =>
    Effect.forEach(
      Array.from({ length: rounds }, (_, round) => round + 1),
      (round) => store.putMany(sameEntries(round)),
      { discard: true }
    )
  yield* write(100)
  const before = bytesOf(path)
  const victim = yield* Observer.start({ place: { _tag: "Folder", path }, readOnly: true, stays: true })
  yield* victim.kill
  yield* write(300)
  const after = bytesOf(path)
  recorder.count("most bytes beside a killed reader", after)
  recorder.expect(after <= 4 * before, `beside a killed reader the file grew from ${before} to ${after} bytes`)
  for (const observer of observers) {
    const { readings, torn, wrong } = yield* observer.end
    recorder.count("readings of other processes", readings)
    recorder.expect(torn === 0, `${torn} of ${readings} readings were not of one state`)
    recorder.expect(wrong === undefined, `a reading process ended badly: ${wrong}`)
  }
}, Effect.scoped)

const runThread = (data: { readonly path: string; readonly number: number; readonly times: number }) =>
  Effect.callback<string>((resume) => {
    const worker = new Worker(new URL("../programs/threads.ts", import.meta.url), { workerData: data })
    worker.once("error", (error) => resume(Effect.succeed(String(error))))
    worker.once("exit", (code) => resume(Effect.succeed(String(code))))
  })

/** Threads that each count for themselves and write a pair together. */
export const useThreads = Effect.fnUntraced(function*(threads: number, times: number, recorder: Recorder) {
  const path = yield* temporaryFolder
  const endings = yield* Effect.forEach(
    Array.from({ length: threads }, (_, number) => ({ path, number, times })),
    runThread,
    { concurrency: "unbounded" }
  )
  recorder.count("threads", threads)
  for (const ending of endings) recorder.expect(ending === "0", `a thread ended with ${ending}`)
  const store = yield* Store.make({ path, shared: true })
  for (let number = 0; number < threads; number++) {
    const counted = yield* store.get(`thread ${number}`)
    recorder.expect(
      Option.isSome(counted) && counted.value === times,
      `thread ${number} counted to ${String(Option.getOrUndefined(counted))}`
    )
  }
}, Effect.scoped)

/** The section. */
export const section: Section = {
  rounds: { quick: 1, long: 1 },
  round: Effect.fnUntraced(function*(seed, { quick }: RoundOptions) {
    const recorder = record()
    yield* useFibers(quick ? 10_000 : 100_000, recorder)
    yield* useTransactingFibers(quick ? 10_000 : 100_000, recorder)
    yield* useProcesses(quick ? 4 : 8, recorder)
    yield* useTransactingProcesses({ processes: quick ? 4 : 8, times: quick ? 200 : 3000, seed }, recorder)
    yield* useThreads(4, quick ? 200 : 2000, recorder)
    return recorder.report()
  })
}
