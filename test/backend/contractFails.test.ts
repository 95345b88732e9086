/** The contract of backends can fail: each way to break a promise is found by a case of the suite. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Backend, Reader } from "../../src/Backend.ts"
import { fromWrites } from "../../src/internal/buffer/writeSet.ts"
import { changes, closing } from "../../src/testing/contract/changes.ts"
import { commits } from "../../src/testing/contract/commits.ts"
import { rangeReads } from "../../src/testing/contract/ranges.ts"
import { snapshots } from "../../src/testing/contract/snapshots.ts"
import { steps } from "../../src/testing/contract/steps.ts"
import type { ContractGroup } from "../../src/testing/contract/subject.ts"
import { visibility } from "../../src/testing/contract/visibility.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { temporaryFolder } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

/** A backend that breaks a promise, and the group of the suite that finds it. */
interface Sabotage {
  readonly name: string
  readonly group: ContractGroup
  readonly change: (backend: Backend) => Partial<Backend>
}

const withReader = (backend: Backend, change: (reader: Reader) => Partial<Reader>): Partial<Backend> => ({
  reader: { ...backend.reader, ...change(backend.reader) }
})

const sabotages: ReadonlyArray<Sabotage> = [
  {
    name: "reads do not see pending deletions",
    group: visibility,
    change: () => ({ remove: () => Effect.void })
  },
  {
    name: "values of many keys are of several moments",
    group: visibility,
    change: (backend) =>
      withReader(backend, (reader) => ({
        getMany: (database, keys, decode) =>
          Effect.forEach(keys, (key, at) =>
            Effect.tap(
              Effect.suspend(() => reader.get(database, key, (bytes) => decode(bytes, at))),
              () => Effect.yieldNow
            ))
      }))
  },
  {
    name: "a snapshot is the present",
    group: snapshots,
    change: (backend) => ({ snapshot: () => Exit.succeed({ ...backend.reader, release: () => undefined }) })
  },
  {
    name: "ranges are read from their beginning only",
    group: rangeReads,
    change: (backend) =>
      withReader(backend, (reader) => ({
        read: (database, request) => reader.read(database, { ...request, reverse: false })
      }))
  },
  {
    name: "a step is not one",
    group: steps,
    change: (backend) => ({
      step: (step, { admission }) =>
        Effect.flatMap(step(backend.reader), ({ result, writes }) =>
          Effect.andThen(
            Effect.yieldNow,
            Effect.as(Effect.suspend(() => backend.write(writes, admission)), result)
          ))
    })
  },
  {
    name: "a commit does not check what was read",
    group: commits,
    change: ({ commit }) => ({ commit: (request, admission) => commit({ ...request, reads: [] }, admission) })
  },
  {
    name: "a commit does not clear",
    group: commits,
    change: ({ commit }) => ({
      commit: (request, admission) => commit({ ...request, writes: fromWrites(request.writes) }, admission)
    })
  },
  {
    name: "some changes are not told",
    group: changes,
    change: ({ subscribe }) => ({
      subscribe: (options) => subscribe({ ...options, contains: () => false })
    })
  },
  {
    name: "a close does not commit",
    group: closing,
    change: () => ({ close: (beforeClosing) => beforeClosing })
  }
]

/** The cases of a group that a backend does not pass. */
const failuresOf = (group: ContractGroup, change: Sabotage["change"]) =>
  Effect.filter(group.cases, ({ run }) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const open = Effect.map(
        LocalBackend.make({ path, durability: "noSync", flushInterval: "Infinity" }),
        (backend) => ({ ...backend, ...change(backend) })
      )
      const exit = yield* Effect.exit(Effect.timeoutOption(run(open), "1 second"))
      return Exit.isFailure(exit) || exit.value._tag === "None"
    }).pipe(Effect.scoped))

describe("the contract of backends finds that", () => {
  it.live.each(sabotages)("$name", ({ change, group }) =>
    Effect.gen(function*() {
      assert.isAbove((yield* failuresOf(group, change)).length, 0)
    }), testLimit)
})
