/**
 * The torture harness in its shortest form; the long one is `npm run torture`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { everyCall } from "../torture/faults.ts"
import { ofCollections, ofStore } from "../torture/faultScenarios.ts"
import { openDamaged } from "../torture/files.ts"
import * as input from "../torture/input.ts"
import { roundOf } from "../torture/kill.ts"
import * as limit from "../torture/limit.ts"
import { useFibers, useThreads } from "../torture/load.ts"
import { useTransactingFibers, useTransactingProcesses } from "../torture/loadTransactions.ts"
import { record, type Report } from "../torture/section.ts"
import * as workflows from "../torture/workflows.ts"

const options = { store: "lmdb", quick: true, minutes: 0, elements: 0 } as const

const assertNothingLost = <E, R>(round: Effect.Effect<Report, E, R>) =>
  Effect.tap(round, ({ losses }) => Effect.sync(() => assert.deepStrictEqual(losses, []))).pipe(
    Effect.provide(Logger.layer([]))
  )

describe("torture", () => {
  it.live("a process that is killed repeatedly loses no acknowledged write", () =>
    assertNothingLost(roundOf(["SIGKILL", "SIGTERM", "SIGKILL", "SIGINT"])(1, options)))

  it.live("a process on a PostgreSQL server loses no acknowledged write: the server is killed, and the process", () =>
    assertNothingLost(roundOf(["server", "SIGKILL"])(1, { ...options, store: "postgres" })))

  it.live.each([{ code: 28, lasts: false, isLate: false }, { code: -30796, lasts: true, isLate: true }])(
    "each call of the engine fails once, and no write is lost: $code",
    (fault) =>
      Effect.gen(function*() {
        const { figures } = yield* assertNothingLost(everyCall(ofStore, fault))
        assert.isAtLeast(figures["typed errors"] ?? 0, 20)
      })
  )

  it.live.each([{ code: 28, lasts: true, isLate: false }, { code: 5, lasts: false, isLate: true }])(
    "each tenth call of collections and transactions fails once, and every operation is atomic: $code",
    (fault) =>
      Effect.gen(function*() {
        const { figures } = yield* assertNothingLost(everyCall(ofCollections, fault, 10))
        assert.isAtLeast(figures["typed errors"] ?? 0, 20)
      })
  )

  it.live("thousands of fibers of a store, and threads of a process, count correctly", () =>
    assertNothingLost(Effect.gen(function*() {
      const recorder = record()
      yield* useFibers(3000, recorder)
      yield* useThreads(3, 50, recorder)
      return recorder.report()
    })))

  it.live("transactions of processes, one of which is killed, are exact", () =>
    assertNothingLost(Effect.gen(function*() {
      const recorder = record()
      yield* useTransactingProcesses({ processes: 2, times: 40, seed: 1 }, recorder)
      yield* useTransactingFibers(500, recorder)
      return recorder.report()
    })))

  // The last three brought out defects
  it.live.each([1, 102, 433, 820])(
    "no page is over a limit, and no write is lost, seed %i",
    (seed) => assertNothingLost(limit.section.round(seed, options))
  )

  it.live.each([[0, true], [6, true], [2, false], [8, false]] as const)(
    "a truncated, swapped, overwritten or foreign file ends no process, shape %i, known to be damaged: %s",
    ([shape, onlyKnown]) =>
      Effect.gen(function*() {
        const { figures } = yield* assertNothingLost(openDamaged(shape, 25, { onlyKnown }))
        assert.strictEqual(figures["files"], 25)
      }).pipe(Effect.scoped)
  )

  it.live.each([1, 2])(
    "workflows that wait for a queue at the same time all end, each with its result, seed %i",
    (seed) => assertNothingLost(workflows.section.round(seed, options))
  )

  it.live("input that is not valid, and every method in every state, give a result or a typed error", () =>
    assertNothingLost(input.section.round(1, options)))
})
