/**
 * Tests whether a backend does everything that a store needs: the contract of backends as a test suite.
 *
 * **Details**
 *
 * The suite uses `@effect/vitest`. The caller passes it as an argument, so this module also loads without a test runner.
 * Each test opens its own place. The suite tests what reads see, snapshots, ranges, steps, conditional commits, changes
 * and closing. It also runs random programs and compares the backend with a simple model.
 *
 * **Example** (Testing the backend of a store on LMDB)
 *
 * ```ts
 * import * as vitest from "@effect/vitest"
 * import { NodeServices } from "@effect/platform-node"
 * import { Effect, FileSystem } from "effect"
 * import { BackendContract, LocalBackend } from "effect-lmdb/testing"
 *
 * BackendContract.define(vitest, {
 *   name: "LMDB",
 *   makePlace: FileSystem.FileSystem.pipe(
 *     Effect.flatMap((fs) => fs.makeTempDirectoryScoped()),
 *     Effect.map((path) => LocalBackend.make({ path })),
 *     Effect.provide(NodeServices.layer)
 *   )
 * })
 * ```
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Backend } from "../Backend.ts"
import { changes, closing } from "./contract/changes.ts"
import { commits } from "./contract/commits.ts"
import { following } from "./contract/following.ts"
import * as Model from "./contract/model.ts"
import { rangeReads } from "./contract/ranges.ts"
import { snapshots } from "./contract/snapshots.ts"
import { steps } from "./contract/steps.ts"
import type { ContractGroup } from "./contract/subject.ts"
import { visibility } from "./contract/visibility.ts"

/**
 * The part of `@effect/vitest` that the suite uses.
 *
 * @category models
 * @since 0.2.0
 */
export interface TestApi {
  readonly describe: (name: string, define: () => void) => unknown
  readonly it: {
    readonly effect: {
      (name: string, test: () => Effect.Effect<void, unknown, Scope.Scope>, options?: TestOptions): void
      readonly prop: (
        name: string,
        inputs: { readonly actions: typeof Model.Actions },
        test: (input: { readonly actions: typeof Model.Actions.Type }) => Effect.Effect<void, unknown, Scope.Scope>,
        options?: TestOptions & { readonly arbitrary?: { readonly runs?: number } }
      ) => void
    }
  }
}

/** The options of a test. */
interface TestOptions {
  readonly timeout?: number
}

/**
 * Options of the test suite.
 *
 * @category options
 * @since 0.2.0
 */
export interface ContractOptions {
  /** The name of the suite. */
  readonly name: string
  /**
   * Prepares an empty place, such as a folder or a schema of a database server, and removes it when the scope
   * closes. Returns the effect that opens the backend of the place. A test runs that effect several times, one after
   * the other.
   */
  readonly makePlace: Effect.Effect<Effect.Effect<Backend, unknown, Scope.Scope>, unknown, Scope.Scope>
  /** The time limit of a test, in milliseconds. Default: that of the test runner. */
  readonly timeout?: number | undefined
  /** The number of random programs that are compared with the model. Default: 25. */
  readonly runs?: number | undefined
}

const groups: ReadonlyArray<ContractGroup> = [
  visibility,
  snapshots,
  rangeReads,
  steps,
  commits,
  changes,
  following,
  closing
]

/**
 * Defines the tests of a backend.
 *
 * @category constructors
 * @since 0.2.0
 */
export const define = (
  { describe, it }: TestApi,
  { makePlace, name, runs = 25, timeout }: ContractOptions
): void => {
  const limit = timeout === undefined ? {} : { timeout }
  describe(`the contract of backends: ${name}`, () => {
    for (const group of groups) {
      describe(group.name, () => {
        for (const each of group.cases) {
          it.effect(each.name, () => Effect.flatMap(makePlace, each.run), limit)
        }
      })
    }

    it.effect.prop(
      "it agrees with a simple model after each action and when it is opened again",
      { actions: Model.Actions },
      ({ actions }) => Effect.scoped(Effect.flatMap(makePlace, (open) => Model.run(open, actions))),
      { ...limit, arbitrary: { runs } }
    )
  })
}
