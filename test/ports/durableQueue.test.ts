/** Effect's `DurableQueue` on the queues of a store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as DurableQueue from "effect/workflow/DurableQueue"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { live } from "../support/fixtures/queues.ts"

const Doubles = DurableQueue.make({
  name: "doubles",
  payload: { number: Schema.Int },
  success: Schema.Int,
  idempotencyKey: ({ number }) => `${number}`
})

const FourTimes = Workflow.make("FourTimes", {
  payload: { number: Schema.Int },
  success: Schema.Int,
  idempotencyKey: ({ number }) => `${number}`
})

describe("DurableQueue", () => {
  it.live("gives the results of its workers to many workflows at the same time", () => {
    const handled: Array<number> = []
    const workflows = FourTimes.toLayer(Effect.fnUntraced(function*({ number }) {
      const doubled = yield* DurableQueue.process(Doubles, { number })
      return yield* DurableQueue.process(Doubles, { number: doubled })
    }))
    const workers = DurableQueue.worker(
      Doubles,
      ({ number }) => Effect.sync(() => (handled.push(number), 2 * number)),
      { concurrency: 5 }
    )
    const numbers = Array.from({ length: 40 }, (_, number) => number + 1)
    return Effect.forEach(numbers, (number) => FourTimes.execute({ number }), { concurrency: 20 }).pipe(
      Effect.map((results) => {
        assert.deepStrictEqual(results, numbers.map((number) => 4 * number))
        // Each workflow has its own elements, although two of them double the same number.
        assert.sameMembers(handled, numbers.flatMap((number) => [number, 2 * number]))
      }),
      Effect.provide(
        Layer.mergeAll(workflows, workers).pipe(
          Layer.provideMerge(WorkflowEngine.layerMemory),
          Layer.provideMerge(live())
        )
      )
    )
  })
})
