/**
 * Follows the log: gives the commits of all processes after a given one, and then the new commits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CommittedChanges, CommittedWrite, LogSubscriptionOptions, Subscription } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import { ChangesMissed, type EngineFailure } from "../../StoreError.ts"
import { writeKinds } from "./commitFunction.ts"
import * as CommitNumbers from "./commitNumbers.ts"
import * as DatabaseNumbers from "./databaseNumbers.ts"
import { bytesIn, keyIn, numberIn, type Rows, run } from "./server.ts"

/** The parts of a store that a follower uses. */
export interface Followed {
  readonly path: string
  readonly numbers: DatabaseNumbers.DatabaseNumbers
  readonly commits: CommitNumbers.CommitNumbers
  readonly isClosed: () => boolean
}

/** The most rows of the log that one statement reads. */
const pageRows = 1000

/** One statement stops after the row that brings the size of the values to this many bytes. */
const pageBytes = 4 * 1024 * 1024

/** A row of the log, and the time of its commit in milliseconds. */
interface Anchor {
  readonly number: number
  readonly n: number
  readonly at: number
}

/** One row of the log. */
interface LogRow extends Anchor {
  readonly kind: number
  readonly key: ByteString
  readonly value: Uint8Array | null
  readonly had: boolean
  readonly old: Uint8Array | undefined
  readonly hasOld: boolean
}

const toAnchor = (number: unknown, n: unknown, at: unknown): Anchor | undefined => {
  const [of, place, time] = [numberIn(number), numberIn(n), numberIn(at)]
  return of === undefined || place === undefined || time === undefined ? undefined : { number: of, n: place, at: time }
}

const toRow = (
  [, , , number, n, kind, key, value, had, old, hasOld, at]: ReadonlyArray<unknown>
): LogRow | undefined => {
  const bytes = keyIn(key)
  const anchor = toAnchor(number, n, at)
  const of = numberIn(kind)
  return bytes === undefined || anchor === undefined || of === undefined ? undefined : {
    ...anchor,
    kind: of,
    key: bytes,
    value: bytesIn(value) ?? null,
    had: had === true,
    old: bytesIn(old),
    hasOld: hasOld === true
  }
}

/** A page of the log. */
interface Page {
  readonly rows: ReadonlyArray<LogRow>
  /** The number of the last commit, whether or not it has rows. */
  readonly last: number
  /** The log has all commits after this one. */
  readonly start: number
  /** Whether there are more rows. */
  readonly hasMore: boolean
  /** The last row of the log, of whatever database; `undefined` if the log is empty. */
  readonly end: Anchor | undefined
  /** Whether the log still has the row that was passed to `readPage`. */
  readonly hasAnchor: boolean
}

const toPage = (rows: Rows): Page => {
  const found = rows.flatMap((row) => toRow(row) ?? [])
  const total = numberIn(rows[0]?.[2]) ?? 0
  return {
    rows: found,
    last: numberIn(rows[0]?.[0]) ?? 0,
    start: numberIn(rows[0]?.[1]) ?? 0,
    hasMore: found.length < total || total === pageRows,
    end: toAnchor(rows[0]?.[12], rows[0]?.[13], rows[0]?.[14]),
    hasAnchor: rows[0]?.[15] === true
  }
}

/** A place in the log: after a row of a commit. */
interface Position {
  readonly number: number
  readonly n: number
}

const readPage = (
  { commits: { server } }: Followed,
  database: number,
  { n, number }: Position,
  anchor: Anchor | undefined,
  values: boolean
): Effect.Effect<Page, EngineFailure> => {
  const { log, store } = server.tables
  const size = `coalesce(length(l.value), 0)${values ? " + coalesce(length(l.old), 0)" : ""}`
  return Effect.map(
    run(
      server,
      "read the log of changes",
      `SELECT s.number::float8, s.log_start::float8, q.total::float8, q.number::float8, q.n::float8, q.kind::float8, q.key,
         q.value, q.had, q.old, q.has_old, q.at::float8, e.number::float8, e.n::float8, e.at::float8,
         EXISTS (SELECT 1 FROM ${log} a WHERE a.number = $4::bigint AND a.n = $5::int AND a.at = $6::bigint)
       FROM ${store} s
       LEFT JOIN (SELECT l.number, l.n, l.at FROM ${log} l ORDER BY l.number DESC, l.n DESC LIMIT 1) e ON true
       LEFT JOIN (
         SELECT p.*, count(*) OVER () AS total, sum(p.size) OVER (ORDER BY p.number, p.n) - p.size AS before FROM (
           SELECT l.number, l.n, l.kind, l.key, l.value, l.had, ${values ? "l.old" : "NULL::bytea AS old"}, l.has_old,
             l.at, ${size} AS size
           FROM ${log} l
           WHERE l.number >= $2::bigint AND (l.number, l.n) > ($2::bigint, $3::int) AND l.db = $1::int
           ORDER BY l.number, l.n LIMIT ${pageRows}) p) q ON q.before < ${pageBytes}
       WHERE s.id = 1 ORDER BY q.number, q.n`,
      [database, `${number}`, n, `${anchor?.number ?? -1}`, anchor?.n ?? 0, `${anchor?.at ?? 0}`]
    ),
    toPage
  )
}

/** Makes the changes of the rows of one commit. */
const changesOf = (
  rows: ReadonlyArray<LogRow>,
  { before = "nothing", contains }: LogSubscriptionOptions
): CommittedChanges | undefined => {
  const writes: Array<CommittedWrite> = []
  const expired = new Set<ByteString>()
  let isCleared = false
  for (const { had, key, kind, old, value } of rows) {
    if (kind === writeKinds.clear) isCleared = true
    else if (contains(key)) {
      if (kind === writeKinds.expire) expired.add(key)
      writes.push([key, value, before === "value" && had ? old ?? true : had])
    }
  }
  const transactionId = rows[0]?.number
  return transactionId === undefined || (!isCleared && writes.length === 0)
    ? undefined
    : { transactionId, isCleared, writes, expired }
}

/** Groups the rows of complete commits. Returns the rows of the last commit if more of them may follow. */
const grouped = (rows: ReadonlyArray<LogRow>, hasMore: boolean) => {
  const commits: Array<Array<LogRow>> = []
  for (const row of rows) {
    const last = commits.at(-1)
    if (last?.[0]?.number === row.number) last.push(row)
    else commits.push([row])
  }
  return { partial: hasMore ? commits.pop() ?? [] : [], commits }
}

/** Subscribes to the log, until the scope closes. */
export const make = Effect.fnUntraced(function*(
  self: Followed,
  options: LogSubscriptionOptions
): Effect.fn.Return<Subscription<EngineFailure>, ChangesMissed | EngineFailure, Scope.Scope> {
  const { before, database, pollInterval, since } = options
  // However many commits there were, they cause one read. So the queue keeps only the last.
  const commits = yield* CommitNumbers.subscribe(self.commits, { pollInterval, capacity: 1, wakes: true })
  const withValues = before === "value"
  /** All commits up to this one were given or queued. */
  let position = since
  let read: Position = { number: since, n: 2 ** 31 - 1 }
  /** The last row of the log that was there when it was read up to `read`. */
  let anchor: Anchor | undefined
  let partial: ReadonlyArray<LogRow> = []
  let isEnded = false
  let queued: ReadonlyArray<CommittedChanges> = []

  const missed = Effect.suspend(() => Effect.fail(new ChangesMissed({ path: self.path, capacity: 0, since: position })))

  /**
   * Whether commits are gone that were read before: the server has crashed and lost them, or was replaced by a standby or a
   * backup without them. Other commits may have their numbers now.
   */
  const isRewritten = ({ hasAnchor, last, start }: Page): boolean =>
    last < position || (anchor !== undefined && anchor.number > start && !hasAnchor)

  /** Takes in a page. Returns whether it has moved on. */
  const takePage = (page: Page): Effect.Effect<boolean, ChangesMissed> => {
    if (page.start > position || isRewritten(page)) return missed
    if (withValues && page.rows.some(({ had, hasOld }) => had && !hasOld)) return missed
    const last = page.rows.at(-1)
    const { commits: complete, partial: rest } = grouped([...partial, ...page.rows], page.hasMore)
    partial = rest
    queued = complete.flatMap((rows) => changesOf(rows, options) ?? [])
    const hasMoved = page.rows.length > 0
    if (page.hasMore && last !== undefined) {
      const { at, n, number } = last
      anchor = { number, n, at }
      read = anchor
      position = number - 1
    } else {
      position = Math.max(position, page.last)
      // The log has no rows after the end yet. If later commits take the place of lost ones, the next page has their rows.
      anchor = page.end
      read = page.end ?? { number: page.start, n: 2 ** 31 - 1 }
    }
    return Effect.succeed(hasMoved)
  }

  const readMore: Effect.Effect<boolean, ChangesMissed | EngineFailure> = Effect.gen(function*() {
    const number = yield* DatabaseNumbers.find(self.numbers, database)
    const page = yield* readPage(self, number ?? 0, read, anchor, withValues)
    if (number !== undefined) return yield* takePage(page)
    // Another process may have created the database, and written to it, before the page was read.
    const isCreated = (yield* DatabaseNumbers.find(self.numbers, database)) !== undefined
    return isCreated ? yield* readMore : yield* takePage(page)
  })

  /** Reads more while the store is open. After the close, ends the subscription: the log keeps what was not read. */
  const readOpen = Effect.catchTag(
    Effect.suspend(() => readMore),
    "EngineFailure",
    (error): Effect.Effect<never, EngineFailure | Cause.Done> =>
      isEnded || self.isClosed() ? Cause.done() : Effect.fail(error)
  )

  const take: Subscription<EngineFailure>["take"] = Effect.suspend((): Subscription<EngineFailure>["take"] => {
    const [next, ...rest] = queued
    if (next !== undefined) {
      queued = rest
      return Effect.succeed(next)
    }
    return Effect.flatMap(readOpen, (hasMoved) => hasMoved ? take : Effect.andThen(commits.take, take))
  })

  yield* readMore
  return {
    take,
    end: () => {
      isEnded = true
      commits.end()
    }
  }
})
