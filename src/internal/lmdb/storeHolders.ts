/**
 * Reads and writes the lines of the store lock file, which name the processes that have the store open.
 * Explains to a program why it cannot open the store because of them.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OpenFailed } from "../../StoreError.ts"
import type { StoreHolder } from "../../StoreHolder.ts"

/** A line of the lock file. */
const Line = Schema.fromJsonString(Schema.Struct({
  processId: Schema.Int,
  host: Schema.String,
  /** The PID namespace; missing if the system has none. */
  namespace: Schema.optionalKey(Schema.String),
  since: Schema.DateTimeUtcFromString,
  shared: Schema.Boolean,
  readOnly: Schema.Boolean,
  /** The number of the byte that the process keeps locked while it has the store open. */
  id: Schema.Int
}))

/** A process that has a store open. */
export type Line = typeof Line.Type

const decodeLine = Schema.decodeOption(Line)
const encodeLine = Schema.encodeSync(Line)

/**
 * Decodes the lines of a lock file. Skips an incomplete line, because a process may be writing it. The file of a store
 * that no process has open is an empty line, and trying to decode that one would take longer than all locks.
 */
export const decode = (text: string): ReadonlyArray<Line> =>
  text.split("\n").flatMap((line) => line === "" ? [] : Option.toArray(decodeLine(line)))

/** Encodes the lines of a lock file. */
export const encode = (lines: ReadonlyArray<Line>): string => lines.map((line) => `${encodeLine(line)}\n`).join("")

/** Why a store cannot be opened yet. */
export interface Conflict {
  readonly kind:
    /** A process has the store open for writing, and one of the two does not share. */
    | "writing"
    /** A process in another PID namespace has it open. */
    | "namespace"
    /** A process is opening it or writing to it, or was stopped while it did. */
    | "opening"
    /** Another copy of this package in this process has it open. */
    | "copy"
  /** The processes that cause the conflict, if they are known. */
  readonly holders: ReadonlyArray<Line>
}

/** The process that tries to open the store. */
export interface Opener {
  readonly path: string
  readonly shared: boolean
  readonly readOnly: boolean
  readonly line: Pick<Line, "processId" | "namespace">
}

const describe = ({ host, namespace, processId }: Line, { line }: Opener): string =>
  processId === line.processId && namespace === line.namespace
    ? `another thread of this process (${processId})`
    : `process ${processId} on host ${JSON.stringify(host)}`

const adviceOf = (holder: Line | undefined, { shared }: Opener): string => {
  if (holder === undefined || holder.shared === shared) {
    return "End it, or set `shared: true` in every program that writes to the store"
  }
  return holder.shared
    ? "It has set `shared: true` and this program has not: set it in both, or end the other program"
    : "This program has set `shared: true` and the other has not: set it in both, or end the other program"
}

/** Says which process keeps the store from being opened, and what to do. */
export const explain = ({ holders, kind }: Conflict, opener: Opener): string => {
  const [holder] = holders
  const who = holder === undefined ? "another process" : describe(holder, opener)
  const since = holder === undefined ? "" : ` since ${DateTime.formatIso(holder.since)}`
  switch (kind) {
    case "copy":
      return "another copy of effect-lmdb in this process has it open; LMDB cannot open a file twice in a process"
    case "namespace":
      return `${who} has had it open in another PID namespace (another container)${since}. LMDB identifies readers ` +
        "by process ids, which are valid only within a PID namespace. Run both programs in one PID namespace " +
        "(docker run --pid=container:NAME, or shareProcessNamespace in Kubernetes), or one after the other"
    case "opening":
      return "another process is opening it, growing it or writing to it, or was stopped while it did" +
        (holder === undefined ? "" : `; ${who} has had it open${since}`)
    case "writing":
      return `${who} has had it open for writing${since}. ${adviceOf(holder, opener)}. ` +
        "Do not delete store.lock: a process that has ended holds no lock"
  }
}

/** The process of a line, as errors name it. */
export const toHolder = ({ host, processId, readOnly, shared, since }: Line): StoreHolder => ({
  processId,
  host,
  since,
  shared,
  readOnly
})

/** The error of a store that is still open elsewhere after the time to wait. */
export const refusal = (conflict: Conflict, opener: Opener): OpenFailed => {
  const [holder] = conflict.holders
  return new OpenFailed({
    reason: {
      _tag: "AlreadyOpen",
      detail: explain(conflict, opener),
      ...(holder === undefined ? {} : { holder: toHolder(holder) })
    },
    path: opener.path
  })
}
