/**
 * The runners of a cluster: processes that run entities, by their address.
 *
 * A runner that has left keeps its record, and so its machine id: it gets the same one when it comes back. The record of
 * the runner that has been away for the longest time makes room when all machine ids are taken.
 *
 * The runner that has a machine id is also a record of its own, by the machine id. So the machine id of a runner whose record is
 * damaged is known, and no other runner gets it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type * as Collection from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import type { StoreOpening } from "../../../StoreOpening.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

const Runner = Schema.Struct({
  address: Schema.String,
  /** The runner as Effect encodes it. */
  runner: Schema.String,
  machineId: Schema.Int,
  healthy: Schema.Boolean,
  /** When it was last heard of, in milliseconds. A runner that has left has none. */
  heartbeat: Schema.optionalKey(Schema.Number),
  /** The opening of the store by its process. Earlier versions of the package did not store it. */
  opening: Schema.optionalKey(Schema.String)
})

type Runner = typeof Runner.Type

/** The number of machine ids: a snowflake has 10 bits for it. */
const machineIds = 1024

/** All machine ids belong to runners that are alive. */
class TooManyRunners extends Data.TaggedError("TooManyRunners")<{ readonly address: string }> {
  override readonly message =
    `Cannot register the runner ${this.address}: the cluster has ${machineIds} runners, and no machine id is free`
}

const openRunners = PortCollection.make("effect.Cluster.runners", { key: Schema.String, value: Runner })

/** The keys of the runners, by their machine ids. */
const openMachineIds = PortCollection.make("effect.Cluster.machineIds", { key: Schema.Int, value: Schema.String })

export interface Runners {
  readonly records: Effect.Success<typeof openRunners>
  readonly machineIds: Effect.Success<typeof openMachineIds>
  readonly damage: Damage.Damage
  /** What this process has registered, by address. It replaces a record that was damaged since then. */
  readonly own: Map<string, Runner>
}

/** Opens the collections. */
export const open = Effect.gen(function*(): Effect.fn.Return<Runners, Collection.OpenError, Store> {
  return { records: yield* openRunners, machineIds: yield* openMachineIds, damage: Damage.make(), own: new Map() }
})

const isAlive = ({ heartbeat }: Runner, aliveSince: number): boolean =>
  heartbeat !== undefined && heartbeat > aliveSince

/** Reads all runners that are not damaged. */
const readAll = Effect.fnUntraced(function*({ damage, records }: Runners) {
  const all = yield* records.collect({ undecodable: "result" })
  yield* Damage.reportRows(
    damage,
    all,
    "A runner of the cluster is damaged. The others do not find it until it is started again"
  )
  return all.filter(Result.isSuccess).map(({ success }) => success)
})

/** Reads the runners that were heard of after a time, and whose processes have not ended. */
export const alive = Effect.fnUntraced(function*(self: Runners, { hasEnded }: StoreOpening, aliveSince: number) {
  const heardOf = (yield* readAll(self)).filter((runner) => isAlive(runner, aliveSince))
  const ended = new Set(yield* Effect.filter(new Set(heardOf.map(({ opening = "" }) => opening)), hasEnded))
  return heardOf.filter(({ opening = "" }) => !ended.has(opening))
})

/** Stores a runner and returns its machine id: the one that its address had before, or a free one. */
export const register = Effect.fnUntraced(function*(
  self: Runners,
  { address, aliveSince, healthy, now, opening, runner }: {
    readonly address: string
    /** The opening of the store by the process of the runner. */
    readonly opening: string
    readonly runner: string
    readonly healthy: boolean
    readonly now: number
    readonly aliveSince: number
  }
) {
  const key = storageKey(address)
  const { found } = yield* Damage.getEach(self.records, [key])
  const machineId = found.get(key)?.machineId ?? (yield* machineIdFor(self, key, { address, aliveSince }))
  const registered = { address, runner, healthy, machineId, heartbeat: now, opening }
  yield* self.machineIds.put(machineId, key)
  yield* self.records.put(key, registered)
  self.own.set(address, registered)
  return machineId
})

/** Returns a machine id for a runner without a record that decodes: the one that it had before, or a free one. */
const machineIdFor = Effect.fnUntraced(function*(
  self: Runners,
  key: string,
  { address, aliveSince }: { readonly address: string; readonly aliveSince: number }
) {
  const runners = yield* readAll(self)
  const ids = Array.from({ length: machineIds }, (_, index) => index + 1)
  // One by one, because a damaged key would end a stream.
  const given = yield* Damage.getEach(self.machineIds, ids)
  for (const [machineId, holder] of given.found) if (holder === key) return machineId
  const taken = new Set([...given.found.keys(), ...given.damaged.keys(), ...runners.map(({ machineId }) => machineId)])
  const free = ids.find((id) => !taken.has(id))
  if (free !== undefined) return free
  const [oldest] = runners
    .filter((runner) => !isAlive(runner, aliveSince))
    .toSorted((a, b) => (a.heartbeat ?? 0) - (b.heartbeat ?? 0))
  if (oldest === undefined) return yield* new TooManyRunners({ address })
  yield* self.records.delete(storageKey(oldest.address))
  return oldest.machineId
})

/** Changes a runner, if it is known. If its record is damaged, what this process has registered replaces it. */
const change = (self: Runners, address: string, f: (runner: Runner) => Runner) => {
  const key = storageKey(address)
  const own = Option.fromUndefinedOr(self.own.get(address))
  return self.records.update(key, Option.map(f), { durable: true }).pipe(
    Effect.catchTag("ValueDecoding", () =>
      Option.match(own, {
        onNone: () => Effect.void,
        onSome: (runner) => self.records.put(key, f(runner), { durable: true })
      })),
    Effect.asVoid
  )
}

/** Notes that a runner has left. */
export const unregister = (self: Runners, address: string) => change(self, address, Struct.omit(["heartbeat"]))

/** Deletes runners, in the transaction of the caller. Their machine ids are free then. */
const removeAll = Effect.fnUntraced(function*(self: Runners, gone: ReadonlyArray<Runner>) {
  yield* self.records.deleteMany(gone.map(({ address }) => storageKey(address)))
  yield* self.machineIds.deleteMany(gone.map(({ machineId }) => machineId))
})

/** Deletes a runner whose process makes no ids any more, in the transaction of the caller. */
export const remove = Effect.fnUntraced(function*(self: Runners, address: string) {
  const { found } = yield* Damage.getEach(self.records, [storageKey(address)])
  yield* removeAll(self, [...found.values()])
})

/** Deletes those of the selected runners whose processes have ended, in the transaction of the caller. */
export const removeEnded = Effect.fnUntraced(function*(
  self: Runners,
  { hasEnded }: StoreOpening,
  { endedBefore, selects }: {
    readonly selects: (address: string) => boolean
    /** The process of a runner that was last heard of before this time counts as ended. */
    readonly endedBefore: number
  }
) {
  const selected = (yield* readAll(self)).filter(({ address }) => selects(address))
  const openings = new Set(selected.flatMap(({ opening }) => opening ?? []))
  const ended = new Set(yield* Effect.filter(openings, hasEnded))
  yield* removeAll(
    self,
    selected.filter(({ heartbeat = Infinity, opening = "" }) => ended.has(opening) || heartbeat < endedBefore)
  )
})

/** Notes that a runner was heard of, in an opening of the store. */
export const beat = (self: Runners, address: string, opening: string, now: number) =>
  change(self, address, (runner) => ({ ...runner, heartbeat: now, opening }))

export const setHealth = (self: Runners, address: string, healthy: boolean) =>
  change(self, address, (runner) => ({ ...runner, healthy }))
