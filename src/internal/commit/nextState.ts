/**
 * The next state of a store: what the commits that are under way will leave, as far as is known.
 *
 * A transaction that was in conflict runs again on this state, and its batch is accepted: it joins the commit that
 * it has read from or the one after it. So transactions in conflict share commits, and do not wait for the disk
 * one after the other.
 *
 * ```text
 *   LMDB ◀─ pending writes ◀─ batches of the commit that runs ◀─ batches accepted for the commit after it
 * ```
 *
 * **Details**
 *
 * The next state promises nothing. A commit may fail, and another process or a pending write may come before
 * it. Inside LMDB's write transaction every batch is validated by what is really there. A batch that was computed from
 * something that did not come about is in conflict, and its transaction runs again.
 */
import * as Exit from "effect/Exit"
import type { Read } from "../../Backend.ts"
import type { Reader as EngineReader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import * as VersionedWrites from "../buffer/versionedWrites.ts"
import { qualifiedKey, type Writes, type WriteSet } from "../buffer/writeSet.ts"
import { over } from "../reader/overlay.ts"
import type { Submission } from "./groupCommit.ts"

/** What the commits that are under way will leave. */
export interface NextState {
  /** What the commit that runs writes. */
  committing: Writes | undefined
  /** The batches that were accepted for the commit after it, in this order. */
  accepted: Array<Submission>
  /** What these batches write. */
  writes: VersionedWrites.VersionedWrites
  /** What these batches have read or write: keys, and databases of which they have read a range or the size. */
  readonly addresses: Set<string>
}

/** Makes the state in which no commit is under way. */
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

/** Keeps only these batches accepted. */
const keep = (self: NextState, accepted: Array<Submission>): void => {
  self.writes = VersionedWrites.make()
  self.addresses.clear()
  self.accepted = accepted
  for (const submission of accepted) add(self, submission)
}

/** The writes that are not committed, the first to be committed first. */
export const layersOf = ({ accepted, committing, writes }: NextState): ReadonlyArray<Writes> => [
  ...(committing === undefined ? [] : [committing]),
  ...(accepted.length === 0 ? [] : [VersionedWrites.view(writes)])
]

/** Accepts a batch for the coming commit, if its precondition holds in the next state; `live` reads what there is at present. */
export const accept = (self: NextState, submission: Submission, live: EngineReader): boolean => {
  const decided = submission.batch.decide(layersOf(self).reduce((base, writes) => over(writes, base), live))
  if (Exit.isFailure(decided) || decided.value === undefined) return false
  submission.isAccepted = true
  self.accepted.push(submission)
  add(self, submission)
  return true
}

/** Notes that a commit has begun with some batches. */
export const begin = (self: NextState, taken: ReadonlyArray<Submission>): void => {
  const rest = self.accepted.filter(({ state }) => state._tag === "Waiting")
  if (rest.length > 0) keep(self, taken.filter(({ isAccepted }) => isAccepted))
  self.committing = layersOf({ ...self, committing: undefined })[0]
  keep(self, rest)
}

/** Accepts no batch any more that was accepted so far. It stays in the queue, and is validated in its commit. */
const rejectAll = (self: NextState): void => {
  for (const submission of self.accepted) submission.isAccepted = false
  keep(self, [])
}

/** Whether the accepted batches have read or write a key, or its database as a whole. */
const isConcerned = ({ addresses }: NextState, database: string, key: ByteString): boolean =>
  addresses.has(database) || addresses.has(qualifiedKey(database, key))

/** Notes what the commit that runs writes. Batches that were accepted before may have expected something else. */
export const fitted = (self: NextState, writes: WriteSet): void => {
  const { committing } = self
  const isUnexpected = ([database, key, write]: Write) =>
    committing?.get(database, key) !== write && isConcerned(self, database, key)
  if (self.accepted.length > 0 && (writes.cleared.size > 0 || Array.from(writes).some(isUnexpected))) rejectAll(self)
  self.committing = writes
}

const isAsExpected = ({ isAccepted, state }: Submission): boolean =>
  !isAccepted || (state._tag === "Ended" && state.isMade)

/** Notes that a commit has ended. Where an accepted batch was not made, those after it may depend on it. */
export const end = (self: NextState, taken: ReadonlyArray<Submission>): void => {
  self.committing = undefined
  if (self.accepted.length > 0 && !taken.every(isAsExpected)) rejectAll(self)
}

/** Removes a batch whose fiber was interrupted. */
export const remove = (self: NextState, submission: Submission): void => {
  if (submission.isAccepted) keep(self, self.accepted.filter((other) => other !== submission))
}

/** Notes writes that will be committed before the accepted batches. */
export const overtake = (self: NextState, writes: ReadonlyArray<Write>): void => {
  if (self.accepted.length === 0) return
  if (writes.some(([database, key]) => isConcerned(self, database, key))) rejectAll(self)
}
