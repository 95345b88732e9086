/** The opening of a store: one for all handles of a process, and what is known of those of others. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Store } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { startProgram } from "../support/startProgram.ts"
import { hangLimit } from "../support/timeLimits.ts"

const claimant = new URL("../programs/claimant.ts", import.meta.url).pathname

describe("the opening of a store", () => {
  it.effect("is the same for all handles, and another one each time the store is opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* withStore({ path }, (one) =>
        withStore({ path }, (two) =>
          Effect.sync(() => {
            assert.strictEqual(two.opening, one.opening)
            return one.opening
          })))
      yield* withStore({ path }, ({ opening }) =>
        Effect.gen(function*() {
          assert.notStrictEqual(opening.id, first.id)
          assert.isTrue(yield* opening.hasEnded(first.id))
          assert.isFalse(yield* opening.hasEnded(opening.id))
          // Another process could have it open now.
          assert.isFalse(yield* first.hasEnded(opening.id))
        }))
    }).pipe(Effect.scoped))

  it.effect("is known to have ended without `lock` too, if the store is not shared", () =>
    Effect.gen(function*() {
      const options = { path: yield* temporaryFolder, lock: false }
      const first = yield* withStore(options, ({ opening }) => Effect.succeed(opening.id))
      assert.isTrue(yield* withStore(options, ({ opening }) => opening.hasEnded(first)))
      assert.isFalse(yield* withStore({ ...options, shared: true }, ({ opening }) => opening.hasEnded(first)))
    }).pipe(Effect.scoped))

  it.live("of another process with which it is shared has ended when the process has", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { opening } = yield* Store.make({ path, shared: true })
      const { child, exit, line } = yield* startProgram(claimant, path, "shared")
      const [, other = ""] = (yield* line("claims")).split(" ")
      assert.isFalse(yield* opening.hasEnded(other))
      assert.isFalse(yield* opening.hasEnded(opening.id))
      yield* withStore({ path, shared: true }, ({ opening: same }) =>
        Effect.gen(function*() {
          assert.strictEqual(same, opening)
          for (const id of ["", "x", "-1", "1.5", " 1", `${2 ** 40}`]) assert.isFalse(yield* same.hasEnded(id), id)
        }))
      child.kill("SIGKILL")
      yield* exit
      assert.isTrue(yield* opening.hasEnded(other))
    }).pipe(Effect.scoped), hangLimit)
})
