/**
 * The runners of a cluster: processes that run entities, by their address.
 *
 * A runner that has left keeps its record, and so its machine id: it gets the same one when it comes back. The record of
 * the runner that has been away for the longest time makes room when all machine ids are taken.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Collection from "../../../Collection.ts"
import { storageKey } from "../storageKey.ts"

const Runner = Schema.Struct({
  address: Schema.String,
  /** The runner as Effect encodes it. */
  runner: Schema.String,
  machineId: Schema.Int,
  healthy: Schema.Boolean,
  /** When it was last heard of, in milliseconds. A runner that has left has none. */
  heartbeat: Schema.optionalKey(Schema.Number)
})

type Runner = typeof Runner.Type

/** The number of machine ids: a snowflake has 10 bits for it. */
const machineIds = 1024

/** All machine ids belong to runners that are alive. */
class TooManyRunners extends Data.TaggedError("TooManyRunners")<{ readonly address: string }> {
  override readonly message =
    `Cannot register the runner ${this.address}: the cluster has ${machineIds} runners, and no machine id is free`
}

/** Opens the collection. */
export const open = Collection.make("effect.Cluster.runners", { key: Schema.String, value: Runner })

export type Runners = Effect.Success<typeof open>

const isAlive = ({ heartbeat }: Runner, aliveSince: number): boolean =>
  heartbeat !== undefined && heartbeat > aliveSince

/** Reads the runners that were heard of after a time. */
export const alive = (runners: Runners, aliveSince: number) =>
  Effect.map(runners.collect({}), (all) => all.filter((runner) => isAlive(runner, aliveSince)))

/** Stores a runner and returns its machine id: the one that its address had before, or a free one. */
export const register = Effect.fnUntraced(function*(
  runners: Runners,
  { address, aliveSince, healthy, now, runner }: {
    readonly address: string
    readonly runner: string
    readonly healthy: boolean
    readonly now: number
    readonly aliveSince: number
  }
) {
  const known = yield* runners.get(storageKey(address))
  const machineId = Option.isSome(known) ? known.value.machineId : yield* freeMachineId(runners, address, aliveSince)
  yield* runners.put(storageKey(address), { address, runner, healthy, machineId, heartbeat: now })
  return machineId
})

const freeMachineId = Effect.fnUntraced(function*(runners: Runners, address: string, aliveSince: number) {
  const all = yield* runners.collect({})
  const taken = new Set(all.map(({ machineId }) => machineId))
  for (let machineId = 1; machineId <= machineIds; machineId++) if (!taken.has(machineId)) return machineId
  const [oldest] = all
    .filter((runner) => !isAlive(runner, aliveSince))
    .toSorted((a, b) => (a.heartbeat ?? 0) - (b.heartbeat ?? 0))
  if (oldest === undefined) return yield* new TooManyRunners({ address })
  yield* runners.delete(storageKey(oldest.address))
  return oldest.machineId
})

/** Changes a runner, if it is known. */
const change = (runners: Runners, address: string, f: (runner: Runner) => Runner) =>
  Effect.asVoid(runners.update(storageKey(address), Option.map(f), { durable: true }))

/** Notes that a runner has left. */
export const unregister = (runners: Runners, address: string) =>
  change(runners, address, ({ healthy, machineId, runner }) => ({ address, runner, machineId, healthy }))

/** Notes that a runner was heard of. */
export const beat = (runners: Runners, address: string, now: number) =>
  change(runners, address, (runner) => ({ ...runner, heartbeat: now }))

export const setHealth = (runners: Runners, address: string, healthy: boolean) =>
  change(runners, address, (runner) => ({ ...runner, healthy }))
