/**
 * Statements that many calls share: the calls that are made while a statement runs wait, and share the next one.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { EngineFailure } from "../../StoreError.ts"
import { closedFailure, type Server } from "./server.ts"

/** How the calls of one kind share statements. */
interface SharingOptions<C, A> {
  readonly server: Server
  /** The maximum number of statements that run at the same time. */
  readonly maxRunning: number
  /** The maximum size of a statement that several calls share. */
  readonly maxSize: number
  readonly sizeOf: (call: C) => number
  /** Runs one statement. Returns the answers in the order of the calls. */
  readonly run: (calls: ReadonlyArray<C>) => Effect.Effect<ReadonlyArray<A>, EngineFailure>
}

/** A call that waits for its answer. */
interface Waiting<C, A> {
  readonly call: C
  readonly answer: Deferred.Deferred<A, EngineFailure>
}

/** The calls that wait, and how many statements run. */
export interface SharedStatements<C, A> {
  readonly options: SharingOptions<C, A>
  readonly waiting: Array<Waiting<C, A>>
  running: number
}

/** Makes statements that no call has used yet. */
export const make = <C, A>(options: SharingOptions<C, A>): SharedStatements<C, A> => ({
  options,
  waiting: [],
  running: 0
})

/** Takes waiting calls for one statement: at least one, if there are any. */
const takeCalls = <C, A>(
  { options: { maxSize, sizeOf }, waiting }: SharedStatements<C, A>
): ReadonlyArray<Waiting<C, A>> => {
  let size = 0
  let number = 0
  for (const { call } of waiting) {
    size += sizeOf(call)
    if (number > 0 && size > maxSize) break
    number++
  }
  return waiting.splice(0, number)
}

const fail = <C, A>(taken: ReadonlyArray<Waiting<C, A>>, exit: Exit.Exit<never, EngineFailure>): void => {
  for (const { answer } of taken) Deferred.doneUnsafe(answer, exit)
}

/** Ends the calls of a statement. If the store has closed, no statement runs any more, so the waiting calls end too. */
const end = <C, A>(
  self: SharedStatements<C, A>,
  taken: ReadonlyArray<Waiting<C, A>>,
  exit: Exit.Exit<ReadonlyArray<A>, EngineFailure>
): void => {
  if (Exit.isSuccess(exit)) {
    for (const [at, answer] of exit.value.entries()) {
      const waiting = taken[at]
      if (waiting !== undefined) Deferred.doneUnsafe(waiting.answer, Exit.succeed(answer))
    }
    return
  }
  if (!Exit.hasInterrupts(exit)) return fail(taken, Exit.failCause(exit.cause))
  fail([...taken, ...self.waiting.splice(0)], Exit.fail(closedFailure("read")))
}

/** Runs statements until no call waits. */
const drain = <C, A>(self: SharedStatements<C, A>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const taken = takeCalls(self)
    if (taken.length === 0) {
      self.running--
      return Effect.void
    }
    return Effect.andThen(
      Effect.ignoreCause(
        Effect.onExit(
          self.options.run(taken.map(({ call }) => call)),
          (exit) => Effect.sync(() => end(self, taken, exit))
        )
      ),
      drain(self)
    )
  })

/** Makes a call, and waits for its answer. */
export const ask = <C, A>(self: SharedStatements<C, A>, call: C): Effect.Effect<A, EngineFailure> =>
  Effect.suspend(() => {
    const { options: { maxRunning, server } } = self
    if (server.isClosed()) return Effect.fail(closedFailure("read"))
    const answer = Deferred.makeUnsafe<A, EngineFailure>()
    self.waiting.push({ call, answer })
    if (self.running < maxRunning) {
      self.running++
      // The other fibers of this turn add their calls first.
      server.fork(Effect.andThen(Effect.yieldNow, drain(self)))
    }
    return Deferred.await(answer)
  })
