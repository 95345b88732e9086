/**
 * The generations of each list of an encrypted server: the originals, and the snapshots that compactions have put in the
 * place of their first part.
 *
 * The words are those of Effect. An activation makes a generation the active one. Its `base` is the number through which
 * the generation replaces the originals. An open stage is a snapshot that a client uploads.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as PortCollection from "../portCollection.ts"

/** The base of the originals: below all numbers. */
const originalsBase = -1

const Stage = Schema.Struct({
  /** Also the id of the set in which it is staged. */
  id: Schema.String,
  /** The place of the activation that was active when it began. */
  pinned: Schema.Int,
  through: Schema.Int,
  expiresAt: Schema.Number
})

/** An open stage. */
export type Stage = typeof Stage.Type

const State = Schema.Struct({
  /** The place of the active activation. It is the last one. */
  active: Schema.Int,
  /** The set of the active generation. The originals have none. */
  set: Schema.UndefinedOr(Schema.String),
  base: Schema.Int,
  keptCount: Schema.Int,
  noOp: Schema.UndefinedOr(Schema.Struct({ at: Schema.Int, count: Schema.Int })),
  stage: Schema.UndefinedOr(Stage),
  /** When the next generation can be pruned. */
  pruneAt: Schema.UndefinedOr(Schema.Number),
  /** Sets that nobody reads any more, and that are still to be deleted. */
  discarded: Schema.Array(Schema.String),
  /** Originals up to this number are still to be deleted. */
  pruneThrough: Schema.UndefinedOr(Schema.Int)
})

/** The state of a list. */
export type State = typeof State.Type

/** When the sweep has something to do for a list. */
const dueAt = ({ discarded, pruneAt, pruneThrough, stage }: State): number | undefined => {
  if (discarded.length > 0 || pruneThrough !== undefined) return -Infinity
  const due = Math.min(pruneAt ?? Infinity, stage?.expiresAt ?? Infinity)
  return due === Infinity ? undefined : due
}

const openStates = PortCollection.make("effect.EventLogServerEncrypted.generations", {
  key: Schema.String,
  value: State,
  indexes: { byDue: { key: Schema.Number, of: dueAt } }
})

const Activation = Schema.Struct({
  id: Schema.String,
  set: Schema.UndefinedOr(Schema.String),
  base: Schema.Int,
  /** The number of entries of a snapshot. */
  keptCount: Schema.UndefinedOr(Schema.Int),
  /** The place of the activation to which a rollback goes back. */
  previous: Schema.UndefinedOr(Schema.Int),
  /** When another activation followed it. */
  supersededAt: Schema.UndefinedOr(Schema.Number),
  pruneAt: Schema.UndefinedOr(Schema.Number),
  /** Whether what only this generation needs is deleted, or is being deleted. */
  isPruned: Schema.Boolean
})

/** An activation of a generation. */
export type Activation = typeof Activation.Type

/** The list, and the place of the activation in the history of the list. */
const openActivations = PortCollection.make("effect.EventLogServerEncrypted.activations", {
  key: Schema.Tuple([Schema.String, Schema.Int]),
  value: Activation
})

/** The generations of all lists in a store. */
export interface Generations {
  readonly states: Effect.Success<typeof openStates>
  readonly activations: Effect.Success<typeof openActivations>
}

/** Opens the generations. */
export const open = Effect.gen(function*() {
  const self: Generations = { states: yield* openStates, activations: yield* openActivations }
  return self
})

/** The state of a list that was never compacted. */
const initial: State = {
  active: 0,
  set: undefined,
  base: originalsBase,
  keptCount: 0,
  noOp: undefined,
  stage: undefined,
  pruneAt: undefined,
  discarded: [],
  pruneThrough: undefined
}

/** The first activation of each list. It is stored when another one follows it. */
const originals: Activation = {
  id: "originals",
  set: undefined,
  base: originalsBase,
  keptCount: undefined,
  previous: undefined,
  supersededAt: undefined,
  pruneAt: undefined,
  isPruned: false
}

/** Reads the state of a list. */
export const read = ({ states }: Generations, list: string) =>
  Effect.map(states.get(list), Option.getOrElse(() => initial))

/** Stores the state of a list, inside a transaction. */
export const write = ({ states }: Generations, list: string, state: State) => states.put(list, state)

/** Reads an activation of a list. */
export const activation = ({ activations }: Generations, list: string, place: number) =>
  place === 0
    ? Effect.map(activations.get([list, 0]), Option.getOrElse(() => originals))
    : activations.getOrFail([list, place])

/** Reads all activations of a list, the oldest first. */
export const history = ({ activations }: Generations, list: string) =>
  Effect.map(activations.collect({ prefix: [list] }), (all) => all.length === 0 ? [originals] : all)

/** The earlier of two times, of which there may be none. */
const earlier = (first: number | undefined, second: number): number => Math.min(first ?? Infinity, second)

/**
 * Makes a generation the active one, inside a transaction. The one before can be pruned after `grace` milliseconds. `state`
 * is the state of the list, with what else is to change.
 */
export const activate = Effect.fnUntraced(function*(
  self: Generations,
  list: string,
  state: State,
  next: Pick<Activation, "id" | "set" | "base" | "keptCount" | "previous">,
  { grace, now }: { readonly now: number; readonly grace: number }
) {
  const superseded = yield* activation(self, list, state.active)
  const pruneAt = now + grace
  const active = state.active + 1
  yield* self.activations.putMany([
    [[list, state.active], { ...superseded, supersededAt: now, pruneAt }],
    [[list, active], { ...next, supersededAt: undefined, pruneAt: undefined, isPruned: false }]
  ])
  yield* write(self, list, {
    ...state,
    active,
    set: next.set,
    base: next.base,
    keptCount: next.keptCount ?? 0,
    noOp: undefined,
    pruneAt: earlier(state.pruneAt, pruneAt)
  })
})

/**
 * Marks the generations of a list whose time has come as pruned, inside a transaction. Returns the state that says what is
 * to be deleted: the sets of these generations, and the originals that no other generation needs.
 */
export const prune = Effect.fnUntraced(function*(self: Generations, list: string, state: State, now: number) {
  const all = yield* history(self, list)
  const isKept = ({ isPruned, pruneAt }: Activation, place: number) =>
    place === state.active || (!isPruned && (pruneAt ?? Infinity) > now)
  const kept = all.filter(isKept)
  const keptSets = new Set(kept.map(({ set }) => set))
  const discarded = new Set(state.discarded)
  for (const [place, pruned] of all.entries()) {
    if (isKept(pruned, place) || pruned.isPruned) continue
    yield* self.activations.put([list, place], { ...pruned, isPruned: true })
    if (pruned.set !== undefined && !keptSets.has(pruned.set)) discarded.add(pruned.set)
  }
  const base = Math.min(...kept.map((each) => each.base))
  const pruneAt = kept.reduce<number | undefined>(
    (first, each) => each.pruneAt === undefined ? first : earlier(first, each.pruneAt),
    undefined
  )
  return { ...state, discarded: [...discarded], pruneAt, pruneThrough: base === originalsBase ? undefined : base }
})
