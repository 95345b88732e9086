/**
 * Every call of an engine fails once, one run of a scenario for each: what was taken
 * stays, what failed changed nothing, and all of it can be committed afterwards.
 */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Engine } from "../../src/Engine.ts"
import { Store } from "../../src/index.ts"
import * as FaultyEngine from "../../src/testing/FaultyEngine.ts"
import { temporaryFolder } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"
import type { Model, Scenario, Step } from "./faultScenarios.ts"
import { record, type Recorder, type Report } from "./section.ts"

const sorted = (model: Model): Model => new Map([...model].toSorted(([a], [b]) => a < b ? -1 : 1))

const isSame = (a: Model, b: Model): boolean => isDeepStrictEqual(sorted(a), sorted(b))

const showKeys = (seen: Model, expected: Model): string =>
  `it holds ${[...seen.keys()].join()} and not ${[...expected.keys()].join()}`

const changed = <Subject>(model: Model, { change }: Step<Subject>): Model => {
  const next = new Map(model)
  change?.(next)
  return next
}

/** What the store may hold after a step, by how the step ended. */
const possible = <Subject>(
  step: Step<Subject>,
  model: Model,
  { hasFailed, isLate }: { readonly hasFailed: boolean; readonly isLate: boolean }
): ReadonlyArray<Model> => {
  const next = changed(model, step)
  if (!hasFailed) return [next]
  const mayBeMade = step.goOn !== undefined || (isLate && step.isUnit === true)
  return mayBeMade ? [model, next] : [model]
}

/** Runs a scenario with a fault, and says what it does; gives how many calls there were. */
const runWith = Effect.fnUntraced(function*<Subject>(
  scenario: Scenario<Subject>,
  fault: FaultyEngine.CallFault,
  recorder: Recorder,
  say: (what: string) => void
) {
  const folder = yield* temporaryFolder
  const options = {
    path: join(folder, "store"),
    mapSize: "256 KiB",
    batchSize: 4,
    flushInterval: "Infinity",
    durability: "noSync"
  } as const
  const failing = yield* FaultyEngine.make
  yield* failing.failCall(fault)
  const lose = (step: string, loss: string) => recorder.lose(`${JSON.stringify(fault)}, ${step}: ${loss}`)
  const expectNoProblems = Effect.fnUntraced(function*(step: string, subject: Subject) {
    for (const problem of yield* scenario.problems(subject)) lose(step, JSON.stringify(problem))
  })

  /** Takes a step; gives what the store holds then. */
  const take = Effect.fnUntraced(function*(step: Step<Subject>, subject: Subject, model: Model) {
    say(step.name)
    const result = yield* Effect.result(step.run(subject, folder))
    const hasFailed = result._tag === "Failure"
    if (hasFailed) {
      const { failure } = result
      recorder.count("typed errors")
      const isOrdered = failure._tag === "EngineFailure" && "code" in failure && failure.code === fault.code
      const isRight = isOrdered || failure._tag === step.refusal?.(model)
      // What is deleted may be there no more, or not yet again
      if (!isRight && failure._tag !== "KeyNotFound") lose(step.name, `failed with ${failure._tag}: ${failure.message}`)
    } else if (step.refusal?.(model) !== undefined) lose(step.name, `it did not fail with ${step.refusal(model)}`)
    say(`after ${step.name}`)
    return yield* failing.unharmed(Effect.gen(function*() {
      if (hasFailed && step.goOn !== undefined) yield* step.goOn(subject)
      const seen = yield* scenario.contents(subject)
      yield* expectNoProblems(step.name, subject)
      // A clear that was made although it failed leaves what was pending, which it could not know to drop
      const isRest = fault.isLate && step.name === "clear" && [...seen.keys()].every((key) => model.has(key))
      const found = possible(step, model, { hasFailed, isLate: fault.isLate }).some((each) => isSame(each, seen))
      if (!found && !isRest) lose(step.name, showKeys(seen, changed(model, step)))
      return seen
    }))
  })

  let model: Model = new Map()
  yield* Effect.scoped(Effect.gen(function*() {
    const refused = Effect.tap(failing.heal, () => Effect.sync(() => recorder.count("typed errors")))
    const open = Effect.provideService(Store.makeWithEngine(options), Engine, failing.engine)
    const store = yield* Effect.catchTag(open, "OpenFailed", () => Effect.andThen(refused, open))
    const subject = yield* Effect.catch(
      scenario.open(store),
      (failure) =>
        failure._tag === "EngineFailure" ? Effect.andThen(refused, scenario.open(store)) : Effect.fail(failure)
    )
    for (const step of scenario.steps) model = yield* take(step, subject, model)
    yield* failing.heal
    say("the last flush")
    // The first may wait for a commit that failed before
    const healed = yield* Effect.result(Effect.catch(store.flush, () => store.flush))
    if (healed._tag === "Failure") lose("the last flush", healed.failure.message)
    say("closing")
    yield* store.close({ strict: true })
  }))
  say("opening again")
  yield* Effect.scoped(Effect.gen(function*() {
    const subject = yield* scenario.reopen(yield* Store.make(options))
    const onDisk = yield* scenario.contents(subject)
    if (!isSame(model, onDisk)) lose("opened again", showKeys(onDisk, model))
    yield* expectNoProblems("opened again", subject)
  }))
  return failing.allCalls()
}, Effect.scoped)

/** Runs a scenario as often as it has calls, a later one failing each time; `stride` leaves some of them out. */
export const everyCall = Effect.fnUntraced(function*<Subject>(
  scenario: Scenario<Subject>,
  variant: Omit<FaultyEngine.CallFault, "call">,
  stride = 1
): Effect.fn.Return<Report, unknown> {
  const recorder = record()
  let last = "opening"
  const say = (what: string): void => {
    last = what
  }
  const calls = yield* runWith(scenario, { ...variant, call: Infinity }, recorder, say)
  recorder.count("most calls of a scenario", calls)
  for (let call = 1; call <= calls; call += stride) {
    recorder.count("calls that failed")
    say("opening")
    const run = Effect.asVoid(runWith(scenario, { ...variant, call }, recorder, say))
    yield* Effect.timeoutOrElse(run, {
      duration: hangLimit,
      orElse: () =>
        Effect.sync(() => recorder.lose(`${JSON.stringify({ ...variant, call })}, ${last}: nothing comes any more`))
    })
  }
  return recorder.report()
})
