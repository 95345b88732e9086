/**
 * Numbers that rise from process to process, because they begin with the time. A counter on disk would do the same, but
 * everything that takes a number would be in conflict with everything else that does.
 */

/** The numbers for each millisecond. The numbers of a time in the year 2248 are still exact. */
const perMillisecond = 1024

/** A sequence. A process has one for each kind, as several layers can be on one store. */
export interface TimeSequence {
  last: number
}

export const make = (): TimeSequence => ({ last: 0 })

/** Returns the number that follows another one at a time: higher than that one, and than those of an earlier time. */
export const following = (last: number, now: number): number => Math.max(last + 1, Math.floor(now) * perMillisecond)

/** Returns the next number of a sequence. */
export const next = (self: TimeSequence, now: number): number => {
  self.last = following(self.last, now)
  return self.last
}

/** Continues after a number, so that the order stays right after the clock was set back. */
export const continueAfter = (self: TimeSequence, last: number): void => {
  self.last = Math.max(self.last, last)
}
