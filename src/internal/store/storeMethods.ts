/**
 * The methods that concern a store as a whole, with all of its namespaces and collections.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Commit } from "../../Backend.ts"
import type { PollOptions } from "../../Change.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import { recordsDatabase } from "../databases.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as ChangeStream from "./changeStream.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = StoreAccess.StoreAccess

/** Reads the statistics. It commits nothing first, because a commit would change them. */
const readStats = (self: Access) =>
  StoreAccess.enter(self, () =>
    StoreAccess.whenReadable(self, () => {
      const { core: { backend, openSnapshots, sweeper }, options: { maxMapSize } } = self.handle
      return Effect.flatMap(backend.stats, (stats) =>
        Effect.map(StoreAccess.readMoment(self, (reader) => reader.count(recordsDatabase)), (entries) => ({
          ...stats,
          entries,
          maxMapSize: Option.fromUndefinedOr(maxMapSize),
          snapshots: openSnapshots(),
          expired: sweeper?.deleted ?? 0
        })))
    }))

const backup = (self: Access, target: string, options?: { readonly compact?: boolean | undefined }) => {
  const { core: { backend }, options: { path, readOnly } } = self.handle
  return StoreAccess.enter(self, () => {
    const problem = CallArguments.backupProblem(target, options)
    if (problem !== undefined) return Effect.fail(CallArguments.badCall("backup", problem))
    const copy = backend.backup(target, { compact: options?.compact === true })
    return readOnly ? copy : Effect.andThen(backend.flush, copy)
  }).pipe(Effect.withSpan("Store.backup", { attributes: { path } }))
}

/** The maximum number of commits that wait for a subscriber of `commits`. */
const commitsCapacity = 1024

/** Makes a stream of the commits of all processes. */
const commitsOf = (
  access: StoreAccess.StoreAccess,
  options: PollOptions
): Stream.Stream<Commit, Closed | EngineFailure> =>
  Stream.unwrap(StoreAccess.enter(access, () =>
    Effect.gen(function*() {
      const { backend } = access.handle.core
      const pollInterval = ChangeStream.pollIntervalOf(options)
      const { end, take } = yield* backend.commits({ pollInterval, capacity: commitsCapacity })
      yield* StoreAccess.whenReleased(access, end)
      return Stream.fromPull(Effect.succeed(Effect.map(take, (commit) => [commit] as const)))
    })))

const commits = (self: Access, options: PollOptions = {}): Stream.Stream<Commit, Closed | EngineFailure> =>
  Stream.unwrap(
    Effect.as(CallArguments.checkedCall("commits", options, CallArguments.pollChecks), commitsOf(self, options))
  )

/** Makes the methods of one handle. */
export const make = (self: Access) => ({
  flush: StoreAccess.enterToWrite(self, () => self.handle.core.backend.flush),
  stats: readStats(self),
  backup: (target: string, options?: { readonly compact?: boolean | undefined }) => backup(self, target, options),
  inTransaction: Effect.withFiber((fiber) =>
    Effect.succeed(Transaction.currentOf(fiber, self.handle.core) !== undefined)
  ),
  commits: (options?: PollOptions) => commits(self, options)
})
