/**
 * Expiry times that a read may have missed.
 *
 * A read that looks for the next expiry time can wait, and a write can wait too until a reader sees it. Between the two, a
 * time could be lost: the read does not find it, and what the read has found is stored after the time was noted. So a write
 * is registered until readers see it, and a read is registered until its result is stored. The result of a read includes the
 * times of all writes that were registered when the read began, and of all writes since.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { EngineFailure } from "../../StoreError.ts"
import * as Settled from "../settled.ts"

/** A running read or write. */
interface Running {
  /** The earliest time that the read may have missed, or of the records of the write. */
  earliest: number
}

/** The reads and writes of a store that are running. */
export interface UnseenTimes {
  readonly reads: Set<Running>
  readonly writes: Set<Running>
}

export const make = (): UnseenTimes => ({ reads: new Set(), writes: new Set() })

const earliestOf = (writes: ReadonlySet<Running>): number => {
  let earliest = Infinity
  for (const write of writes) earliest = Math.min(earliest, write.earliest)
  return earliest
}

/** Notes the time of a record that is being written. */
const note = ({ reads }: UnseenTimes, time: number): void => {
  for (const read of reads) read.earliest = Math.min(read.earliest, time)
}

/** Registers a write until it ends. `write` gets a function that it calls with the time of each record. */
export const writing = <A, E>(
  self: UnseenTimes,
  write: (expiring: (time: number) => void) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const running: Running = { earliest: Infinity }
    const expiring = (time: number) => {
      running.earliest = Math.min(running.earliest, time)
      self.writes.add(running)
      note(self, time)
    }
    return Effect.ensuring(write(expiring), Effect.sync(() => self.writes.delete(running)))
  })

/**
 * Runs a read, and passes its result to `use` with the earliest time that it may have missed. No other fiber runs between
 * the two.
 */
export const reading = <A, B>(
  { reads, writes }: UnseenTimes,
  read: () => Effect.Effect<A, EngineFailure>,
  use: (found: A, unseen: number) => B
): Effect.Effect<B, EngineFailure> => {
  const running: Running = { earliest: earliestOf(writes) }
  reads.add(running)
  const found = read()
  if (!Settled.isSettled(found)) {
    return Effect.ensuring(
      Effect.map(found, (value) => use(value, running.earliest)),
      Effect.sync(() => reads.delete(running))
    )
  }
  reads.delete(running)
  return Exit.map(found, (value) => use(value, running.earliest))
}
