/**
 * Deletes old commits from the log, in the background after commits of this process.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as ChangeFeed from "../commit/changeFeed.ts"
import type { ChangeLogOptions } from "../commit/changeLog.ts"
import { runOnce, type Server } from "./server.ts"

/** How many commits of this process are made between two trims. */
const commitsBetween = 16

/** How long after a trim the next commit trims again, in milliseconds. */
const millisBetween = 5000

const limit = (value: number): string | null => Number.isFinite(value) ? `${Math.floor(value)}` : null

const trim = ({ sql, tables }: Server, { retention }: ChangeLogOptions): Effect.Effect<void> => {
  const { age, bytes, commits } = retention
  const once = runOnce(sql)(`SELECT ${tables.trim}($1::bigint, $2::bigint, $3::bigint)`, [
    limit(age),
    limit(commits),
    limit(bytes)
  ])
  const untilDone: Effect.Effect<void> = Effect.flatMap(
    Effect.catch(once, () => Effect.succeed([])),
    ([row]) => row?.[0] === true ? untilDone : Effect.void
  )
  return untilDone
}

/** Real time: a `TestClock` must not stop it. */
const now = (): number => Clock.Clock.defaultValue().currentTimeMillisUnsafe()

/** Trims the log after commits of this process, until the store closes. */
export const start = (server: Server, changes: ChangeFeed.ChangeFeed, options: ChangeLogOptions): void => {
  let isRunning = false
  let commits = commitsBetween
  let last = -Infinity
  ChangeFeed.listen(changes, {
    onEnd: constVoid,
    onCommitted: () => {
      commits++
      if (isRunning || server.isClosed() || (commits < commitsBetween && now() - last < millisBetween)) return
      isRunning = true
      commits = 0
      last = now()
      server.fork(Effect.andThen(
        trim(server, options),
        Effect.sync(() => {
          isRunning = false
        })
      ))
    }
  })
}
