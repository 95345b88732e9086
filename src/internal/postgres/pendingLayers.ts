/**
 * The pending writes as layers over what the server has: those that no commit has taken, and those of the running commit.
 *
 * A read that waits keeps the layers of the moment at which it began. When it is answered, the server may have some of them
 * already, and later writes of the same keys. So each layer knows the token of its commit, and a read
 * leaves out the layers that its answer includes.
 */
import type { Memtable } from "../buffer/memtable.ts"
import type { WriteBuffer } from "../buffer/writeBuffer.ts"
import { freeze, type Writes } from "../buffer/writeSet.ts"

/** What became of the writes of a memtable. */
interface LayerState {
  /** The token of the commit that has them; `undefined` before it begins. */
  token: number | undefined
  /** The memtable that took them after their commit had failed. */
  movedTo: Memtable | undefined
  frozen: { readonly revision: number; readonly writes: Writes } | undefined
}

/** The layers of a store. */
export interface PendingLayers {
  readonly buffer: WriteBuffer
  readonly states: WeakMap<Memtable, LayerState>
}

/** The writes of one layer at one moment. */
export interface Layer {
  readonly writes: Writes
  /** Whether an answer with this token includes the writes. */
  readonly isIncluded: (token: number) => boolean
}

/** Makes the layers of a buffer. */
export const make = (buffer: WriteBuffer): PendingLayers => ({ buffer, states: new WeakMap() })

const stateOf = ({ states }: PendingLayers, memtable: Memtable): LayerState => {
  const known = states.get(memtable)
  if (known !== undefined) return known
  const made: LayerState = { token: undefined, movedTo: undefined, frozen: undefined }
  states.set(memtable, made)
  return made
}

/** Notes the token of the commit of a memtable. */
export const begin = (self: PendingLayers, memtable: Memtable, token: number): void => {
  stateOf(self, memtable).token = token
}

/** Notes that another memtable has taken the writes, because the commit has failed. */
export const move = (self: PendingLayers, memtable: Memtable, to: Memtable): void => {
  const state = stateOf(self, memtable)
  state.token = undefined
  state.movedTo = to
}

const isIncluded = (self: PendingLayers, memtable: Memtable, token: number): boolean => {
  const { movedTo, token: own } = stateOf(self, memtable)
  return movedTo === undefined ? own !== undefined && own <= token : isIncluded(self, movedTo, token)
}

/** The writes of a memtable, which later writes do not change. */
const frozenOf = (self: PendingLayers, memtable: Memtable): Writes => {
  const state = stateOf(self, memtable)
  const { writes } = memtable
  if (state.frozen?.revision !== writes.revision) {
    state.frozen = { revision: writes.revision, writes: freeze([writes]) }
  }
  return state.frozen.writes
}

/** The memtables with writes, the newest first. */
const memtables = ({ buffer: { active, flushing } }: PendingLayers): ReadonlyArray<Memtable> =>
  [active, ...(flushing === undefined ? [] : [flushing])].filter(({ writes }) => !writes.isEmpty)

/** Returns all layers, the newest first. Later writes do not change them. */
export const layers = (self: PendingLayers): ReadonlyArray<Layer> =>
  memtables(self).map((memtable) => ({
    writes: frozenOf(self, memtable),
    isIncluded: (token) => isIncluded(self, memtable, token)
  }))
