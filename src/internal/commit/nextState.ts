/**
 * The next state of a store: the state that the running commit and the batches accepted for the next one will leave, as
 * far as it is known.
 *
 * A transaction that conflicted runs again on this state, and its batch is accepted for the coming commit. So conflicting
 * transactions share commits, instead of waiting for the disk one after the other.
 *
 * ```text
 *   LMDB ◀─ pending writes ◀─ batches of the running commit ◀─ batches accepted for the next commit
 * ```
 *
 * **Details**
 *
 * The next state is only a prediction. A commit may fail, and another process or a pending write may change the state
 * before it. LMDB's write transaction validates every batch against the stored state. A batch that was computed from a
 * wrong prediction conflicts, and its transaction runs again.
 */
import * as Exit from "effect/Exit"
import type { Read } from "../../Backend.ts"
import type { Reader as EngineReader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import * as VersionedWrites from "../buffer/versionedWrites.ts"
import { qualifiedKey, type Writes, type WriteSet } from "../buffer/writeSet.ts"
import { over } from "../reader/overlay.ts"
import type { Submission } from "./groupCommit.ts"

/** The writes of the running commit and of the batches accepted for the next one. */
export interface NextState {
  /** The expected writes of the running commit; from `setActualWrites` on, the writes that it makes. */
  committing: Writes | undefined
  /** The batches that were accepted for the next commit, in the order of their acceptance. */
  accepted: Array<Submission>
  /** The writes of these batches. */
  writes: VersionedWrites.VersionedWrites
  /** What these batches have read or write: qualified keys, and databases of which they have read a range or the count. */
  readonly addresses: Set<string>
}

/** Makes the next state of a store in which no commit runs. */
export const make = (): NextState => ({
  committing: undefined,
  accepted: [],
  writes: VersionedWrites.make(),
  addresses: new Set()
})

const addressOf = (read: Read): string =>
  read._tag === "Value" || read._tag === "Existence" ? qualifiedKey(read.database, read.key) : read.database

const add = (self: NextState, { batch }: Submission): void => {
  VersionedWrites.add(self.writes, batch.writes)
  for (const [database, key] of batch.writes) self.addresses.add(qualifiedKey(database, key))
  for (const database of batch.writes.cleared) self.addresses.add(database)
  for (const read of batch.acceptance?.reads ?? []) self.addresses.add(addressOf(read))
}

/** Replaces the accepted batches. */
const keep = (self: NextState, accepted: Array<Submission>): void => {
  self.writes = VersionedWrites.make()
  self.addresses.clear()
  self.accepted = accepted
  for (const submission of accepted) add(self, submission)
}

/** The writes that are not committed, in the order of their commits. */
export const layersOf = ({ accepted, committing, writes }: NextState): ReadonlyArray<Writes> => [
  ...(committing === undefined ? [] : [committing]),
  ...(accepted.length === 0 ? [] : [VersionedWrites.view(writes)])
]

/** Accepts a batch for the coming commit if its reads are valid in the next state. `live` reads the current state. */
export const accept = (self: NextState, submission: Submission, live: EngineReader): boolean => {
  const decided = submission.batch.decide(layersOf(self).reduce((base, writes) => over(writes, base), live))
  if (Exit.isFailure(decided) || decided.value === undefined) return false
  submission.isAccepted = true
  self.accepted.push(submission)
  add(self, submission)
  return true
}

/** Moves the batches that a commit has taken from `accepted` to `committing`. */
export const begin = (self: NextState, taken: ReadonlyArray<Submission>): void => {
  const rest = self.accepted.filter(({ state }) => state._tag === "Waiting")
  if (rest.length > 0) keep(self, taken.filter(({ isAccepted }) => isAccepted))
  self.committing = layersOf({ ...self, committing: undefined })[0]
  keep(self, rest)
}

/** Withdraws the acceptance of all batches. They stay in the queue, and their commit validates them. */
const rejectAll = (self: NextState): void => {
  for (const submission of self.accepted) submission.isAccepted = false
  keep(self, [])
}

/** Whether the accepted batches have read or write a key, or its database as a whole. */
const isConcerned = ({ addresses }: NextState, database: string, key: ByteString): boolean =>
  addresses.has(database) || addresses.has(qualifiedKey(database, key))

/** Records what the running commit writes. Batches that were accepted earlier may have expected other writes. */
export const setActualWrites = (self: NextState, writes: WriteSet): void => {
  const { committing } = self
  const isUnexpected = ([database, key, write]: Write) =>
    committing?.get(database, key) !== write && isConcerned(self, database, key)
  if (self.accepted.length > 0 && (writes.cleared.size > 0 || Array.from(writes).some(isUnexpected))) rejectAll(self)
  self.committing = writes
}

const isAsExpected = ({ isAccepted, state }: Submission): boolean =>
  !isAccepted || (state._tag === "Ended" && state.isMade)

/** Records that a commit has ended. If an accepted batch was not committed, those after it may depend on it. */
export const end = (self: NextState, taken: ReadonlyArray<Submission>): void => {
  self.committing = undefined
  if (self.accepted.length > 0 && !taken.every(isAsExpected)) rejectAll(self)
}

/** Removes a batch whose fiber was interrupted. */
export const remove = (self: NextState, submission: Submission): void => {
  if (submission.isAccepted) keep(self, self.accepted.filter((other) => other !== submission))
}

/** Records writes that will be committed before the accepted batches. */
export const noteEarlierWrites = (self: NextState, writes: ReadonlyArray<Write>): void => {
  if (self.accepted.length === 0) return
  if (writes.some(([database, key]) => isConcerned(self, database, key))) rejectAll(self)
}
