/** The compaction of an encrypted server. Clients compact, because only they can read the events; the server keeps. */
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { EncryptedBatch } from "effect/eventlog/EventLogEncryption"
import type { StoreId } from "effect/eventlog/EventLogMessage"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import type { CallerFailure } from "../callerFailure.ts"
import * as Input from "./compactionInput.ts"
import { logCommit, logNoOp, logRollback, type Owner } from "./compactionLog.ts"
import { type Compaction, dieOfArgument, openStage, refuse, transact, withoutStage } from "./compactionStage.ts"
import * as Batches from "./encryptedBatches.ts"
import * as Generations from "./generations.ts"
import * as Server from "./server.ts"
import * as Snapshots from "./snapshots.ts"

type Methods = EventLogServerEncrypted.StorageCompaction

/** Opens the compaction of a server. */
export const open = Effect.fnUntraced(
  function*(batches: Batches.EncryptedBatches, config: EventLogServerEncrypted.CompactionConfig) {
    const self: Compaction = {
      batches,
      snapshots: yield* Snapshots.open,
      generations: yield* Generations.open,
      config,
      grace: Duration.toMillis(config.grace),
      lag: Duration.toMillis(config.lag),
      stageTtl: Duration.toMillis(config.stageTtl)
    }
    return self
  }
)

const status = Effect.fnUntraced(function*(self: Compaction, list: string, now: number) {
  const { base, keptCount, noOp } = yield* Generations.read(self.generations, list)
  return {
    head: yield* Batches.head(self.batches, list),
    base,
    activeKeptCount: keptCount,
    lagHead: yield* Batches.lagHead(self.batches, list, now, self.lag),
    noOp
  }
})

const begin = Effect.fnUntraced(function*(self: Compaction, list: string, through: number, now: number) {
  const state = yield* Generations.read(self.generations, list)
  if (state.stage !== undefined && state.stage.expiresAt > now) {
    return { _tag: "Busy", expiresAt: state.stage.expiresAt } as const
  }
  // If a snapshot replaced more than is stored, or a part of a batch, later readers would lose entries.
  if (through <= state.base || !(yield* Batches.isEnd(self.batches, list, through))) {
    return yield* dieOfArgument(
      `A compaction must end with the last entry of a stored batch, but ${through} is not one`
    )
  }
  const stageId = SecureRandom.uuidV4Unsafe()
  yield* Generations.write(self.generations, list, {
    ...yield* withoutStage(self, state),
    stage: { id: stageId, pinned: state.active, through, expiresAt: now + self.stageTtl }
  })
  return { _tag: "Started", stageId } as const
})

const segmentProblem = (segment: number, length: number): string | undefined => {
  if (!Number.isSafeInteger(segment) || segment < 0 || segment >= Snapshots.maxSegments) return "Invalid segment index"
  return length > Snapshots.positionsPerSegment ? "Too many batches in a segment" : undefined
}

/** Stages a segment. Returns what is wrong with the segment, which closes the stage. */
const stagePart = Effect.fnUntraced(function*(
  self: Compaction,
  list: string,
  stageId: string,
  { batches, now, segment }: {
    readonly segment: number
    readonly batches: ReadonlyArray<EncryptedBatch>
    readonly now: number
  }
) {
  const { stage, state } = yield* openStage(self, list, stageId, now)
  const problem = segmentProblem(segment, batches.length)
  if (problem !== undefined) {
    yield* Generations.write(self.generations, list, yield* withoutStage(self, state))
    return { problem }
  }
  if ((yield* Snapshots.stage(self.snapshots, stageId, segment, batches)) === 0) return "AlreadyStored"
  const renewed = { ...stage, expiresAt: now + self.stageTtl }
  yield* Generations.write(self.generations, list, { ...state, stage: renewed })
  return "Stored"
})

/**
 * Gives each place its number. Returns `undefined` if the numbers are not those of batches one after the other, of which the
 * last one ends with `through`.
 */
const numbered = (places: ReadonlyArray<Snapshots.Place>, sequences: ReadonlyArray<number>, through: number) => {
  if (places.length !== sequences.length) return undefined
  let next = Batches.firstSequence
  const placed: Array<Snapshots.Place & { readonly sequence: number }> = []
  for (const [index, place] of places.entries()) {
    const sequence = sequences[index]
    if (sequence === undefined || sequence < next) return undefined
    placed.push({ ...place, sequence })
    next = sequence + place.count
  }
  return next - 1 === through ? placed : undefined
}

const commit = Effect.fnUntraced(function*(
  self: Compaction,
  list: string,
  stageId: string,
  { now, sequences }: { readonly sequences: ReadonlyArray<number>; readonly now: number }
) {
  const { stage, state } = yield* openStage(self, list, stageId, now)
  const places = yield* Snapshots.placesOf(self.snapshots, stageId)
  const { through } = stage
  const keptCount = places.reduce((sum, { count }) => sum + count, 0)
  if (stage.pinned !== state.active) {
    yield* Generations.write(self.generations, list, yield* withoutStage(self, state))
    return { result: "Superseded", through, keptCount, activationId: undefined } as const
  }
  const placed = numbered(places, sequences, through)
  if (placed === undefined) {
    return yield* dieOfArgument(
      `A commit needs a number for each staged batch. They must rise, and the last batch must end with ${through}`
    )
  }
  yield* Snapshots.number(self.snapshots, placed)
  const activationId = SecureRandom.uuidV4Unsafe()
  yield* Generations.activate(
    self.generations,
    list,
    { ...state, stage: undefined },
    { id: activationId, set: stageId, base: through, keptCount, previous: state.active },
    { now, grace: self.grace }
  )
  return { result: "Committed", through, keptCount, activationId } as const
})

const recordNoOp = Effect.fnUntraced(function*(self: Compaction, list: string, stageId: string, now: number) {
  const { stage: { pinned, through }, state } = yield* openStage(self, list, stageId, now)
  const closed = yield* withoutStage(self, state)
  // After a rollback, the stage was about another generation.
  const noOp = pinned === state.active ? { at: through, count: (state.noOp?.count ?? 0) + 1 } : state.noOp
  yield* Generations.write(self.generations, list, { ...closed, noOp })
  return through
})

const abort = Effect.fnUntraced(function*(self: Compaction, list: string, stageId: string) {
  const state = yield* Generations.read(self.generations, list)
  if (state.stage?.id !== stageId) return
  yield* Generations.write(self.generations, list, yield* withoutStage(self, state))
})

/** Reads the input from which the set of a generation was made. */
const inputOf = Effect.fnUntraced(function*(
  self: Compaction,
  list: string,
  target: Generations.Activation,
  through: number
) {
  const kept = target.set === undefined ? [] : yield* self.snapshots.batches.collect({ prefix: [target.set] })
  return [...kept, ...yield* Batches.readAfter(self.batches, list, target.base, { through })]
})

const refused = (reason: EventLogServerEncrypted.CompactionRollbackError["reason"]) =>
  refuse(new EventLogServerEncrypted.CompactionRollbackError({ reason }))

const rollback = Effect.fnUntraced(function*(self: Compaction, list: string, expected: string, now: number) {
  const { generations } = self
  const state = yield* Generations.read(generations, list)
  const withdrawn = yield* Generations.activation(generations, list, state.active)
  if (withdrawn.id !== expected) return yield* refused("NotActive")
  if (withdrawn.previous === undefined) return yield* refused("NoPrevious")
  const target = yield* Generations.activation(generations, list, withdrawn.previous)
  if (target.isPruned) return yield* refused("PruneStarted")
  const activated = { ...target, id: SecureRandom.uuidV4Unsafe() }
  yield* Generations.activate(generations, list, state, activated, { now, grace: self.grace })
  // Clients that have read the withdrawn snapshot get here what it has dropped.
  let last: number | undefined
  for (const batch of yield* inputOf(self, list, target, withdrawn.base)) {
    last = Batches.lastOf(yield* Batches.append(self.batches, list, batch))
  }
  if (last !== undefined) yield* Batches.noteTime(self.batches, list, { last, now, lag: self.lag })
  return { activated, withdrawn }
})

const history = Effect.fnUntraced(function*(self: Compaction, list: string) {
  const state = yield* Generations.read(self.generations, list)
  return (yield* Generations.history(self.generations, list)).map(
    ({ base, id, isPruned, keptCount, supersededAt }, place): EventLogServerEncrypted.CompactionActivation => ({
      activationId: id,
      base,
      keptCount,
      active: place === state.active,
      supersededAt,
      restorable: !isPruned
    })
  )
})

const listOf = (self: Compaction, publicKey: string, storeId: StoreId): string =>
  Server.listOf(self.batches.server, publicKey, storeId)

/** Runs a transaction on a list, with the time of the call. */
const onList = <A, E1, E = never>(
  self: Compaction,
  { publicKey, storeId }: Owner,
  body: (list: string, now: number) => Effect.Effect<A, E1 | CallerFailure<E>>
): Effect.Effect<A, E> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => transact(self, body(listOf(self, publicKey, storeId), now)))

/** Makes the methods that work on a stage. */
const stageMethods = (
  self: Compaction
): Pick<Methods, "inputHeaders" | "fetch" | "stagePart" | "stagedHeaders" | "commit" | "recordNoOp" | "abort"> => ({
  inputHeaders: (publicKey, storeId, stageId) => Input.inputHeaders(self, listOf(self, publicKey, storeId), stageId),
  fetch: (publicKey, storeId, stageId, sequences) =>
    Input.fetch(self, listOf(self, publicKey, storeId), stageId, sequences),
  stagePart: (publicKey, storeId, stageId, segment, batches) =>
    onList(self, { publicKey, storeId }, (list, now) => stagePart(self, list, stageId, { segment, batches, now })).pipe(
      Effect.flatMap((result) =>
        typeof result === "string"
          ? Effect.succeed(result)
          : Effect.fail(new EventLogServerEncrypted.CompactionInvalidRequest({ stageId, message: result.problem }))
      )
    ),
  stagedHeaders: (publicKey, storeId, stageId) => Input.stagedHeaders(self, listOf(self, publicKey, storeId), stageId),
  commit: (publicKey, storeId, stageId, sequences) =>
    onList(self, { publicKey, storeId }, (list, now) => commit(self, list, stageId, { sequences, now })).pipe(
      Effect.tap((outcome) => logCommit({ publicKey, storeId }, outcome)),
      Effect.map(({ result }) => result)
    ),
  recordNoOp: (publicKey, storeId, stageId) =>
    onList(self, { publicKey, storeId }, (list, now) => recordNoOp(self, list, stageId, now)).pipe(
      Effect.flatMap((through) => logNoOp({ publicKey, storeId }, { stageId, through }))
    ),
  abort: (publicKey, storeId, stageId) => onList(self, { publicKey, storeId }, (list) => abort(self, list, stageId))
})

/** Makes the methods. Each of them is one transaction, except the streams. */
export const methods = (self: Compaction): Methods => ({
  ...stageMethods(self),
  config: self.config,
  status: (publicKey, storeId) => onList(self, { publicKey, storeId }, (list, now) => status(self, list, now)),
  begin: (publicKey, storeId, { through }) =>
    onList(self, { publicKey, storeId }, (list, now) => begin(self, list, through, now)),
  rollback: (publicKey, storeId, expected) =>
    onList(self, { publicKey, storeId }, (list, now) => rollback(self, list, expected, now)).pipe(
      Effect.tap((outcome) => logRollback({ publicKey, storeId }, outcome)),
      Effect.map(({ activated }) => activated.id)
    ),
  history: (publicKey, storeId) => onList(self, { publicKey, storeId }, (list) => history(self, list))
})
