import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Settled from "../../src/internal/settled.ts"

/** Makes an exit as another copy of Effect does: it has the same properties, but another prototype. */
const ofAnotherCopy = <A, E>(exit: Exit.Exit<A, E>): Exit.Exit<A, E> =>
  new Proxy(exit, { getPrototypeOf: () => Object.prototype })

describe("settled", () => {
  for (
    const [name, copy] of [["Effect", <A, E>(exit: Exit.Exit<A, E>) => exit], [
      "another copy of Effect",
      ofAnotherCopy
    ]] as const
  ) {
    it(`continues at once after an exit of ${name}`, () => {
      const success = copy(Exit.succeed(1))
      const failure = copy(Exit.fail("no"))
      assert.isTrue(Settled.isSucceeded(success))
      assert.isTrue(Settled.isSettled(success))
      assert.isFalse(Settled.isSucceeded(failure))
      assert.isTrue(Settled.isSettled(failure))
      assert.deepStrictEqual(Settled.map(success, (value) => value + 1), Exit.succeed(2))
      assert.deepStrictEqual(Settled.flatMap(success, (value) => Exit.succeed(value + 1)), Exit.succeed(2))
      assert.deepStrictEqual(Settled.map(failure, () => 2), Exit.fail("no"))
      assert.deepStrictEqual(Settled.catchError(failure, (error) => Exit.succeed(error)), Exit.succeed("no"))
      assert.deepStrictEqual(Settled.all([success, success]), Exit.succeed([1, 1]))
      assert.deepStrictEqual(Settled.all([success, failure]), Exit.fail("no"))
    })
  }

  it.effect("continues after an effect that has not ended when it has", () =>
    Effect.gen(function*() {
      const waiting = Effect.as(Effect.yieldNow, 1)
      assert.isFalse(Settled.isSettled(waiting))
      assert.isFalse(Settled.isSettled(Settled.map(waiting, (value) => value + 1)))
      assert.strictEqual(yield* Settled.map(waiting, (value) => value + 1), 2)
      assert.strictEqual(yield* Settled.flatMap(waiting, (value) => Exit.succeed(value + 2)), 3)
      assert.deepStrictEqual(yield* Settled.all([Exit.succeed(0), waiting]), [0, 1])
    }))
})
