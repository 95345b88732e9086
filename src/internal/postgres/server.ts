/**
 * The connection of a store to its database server: runs statements, again if the connection was lost, and reads cells.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Buffer } from "node:buffer"
import { type ByteString, fromBytes } from "../../Key.ts"
import { EngineFailure } from "../../StoreError.ts"
import type { Fork } from "../fork.ts"
import { engineFailure, retrying, unexpected } from "./sqlFailure.ts"
import type { Tables } from "./tables.ts"

/** The rows of an answer. */
export type Rows = ReadonlyArray<ReadonlyArray<unknown>>

/** Runs one statement. */
export type Run = (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, SqlError>

/** The server of an open store. */
export interface Server {
  readonly sql: SqlClient.SqlClient
  readonly tables: Tables
  /** The id of this process among the clients of the store. */
  readonly client: string
  /** How long statements are tried again after the connection was lost. */
  readonly patience: Duration.Duration
  readonly fork: Fork
  /** Whether the store has closed. Then no fiber can be started. */
  readonly isClosed: () => boolean
}

/**
 * Runs a statement on a connection of the pool. A reserved connection needs no span for each statement, and takes less
 * time than the template of the client.
 */
export const runOnce = (sql: SqlClient.SqlClient): Run => (text, parameters) =>
  Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValues(text, parameters)))

/** Runs a statement that may run twice, until it has an answer. */
export const run = (
  { patience, sql }: Pick<Server, "patience" | "sql">,
  operation: string,
  text: string,
  parameters: ReadonlyArray<unknown>
): Effect.Effect<Rows, EngineFailure> =>
  Effect.mapError(
    retrying(runOnce(sql)(text, parameters), patience),
    (error) => engineFailure(operation, error)
  )

/** The failure of a call on a store that has closed. */
export const closedFailure = (operation: string): EngineFailure => unexpected(operation, "the store has closed")

// ---------------------------------------------------------------------------
// cells and parameters
// ---------------------------------------------------------------------------

/** The number in a cell; `undefined` if it has none. */
export const numberIn = (cell: unknown): number | undefined => {
  if (typeof cell === "number") return cell
  return typeof cell === "bigint" || (typeof cell === "string" && cell !== "") ? Number(cell) : undefined
}

/** The bytes in a cell; `undefined` if it has none. */
export const bytesIn = (cell: unknown): Uint8Array | undefined => cell instanceof Uint8Array ? cell : undefined

/** The text in a cell; empty if it has none. */
export const textIn = (cell: unknown): string => typeof cell === "string" ? cell : ""

/** The numbers in the text of an array, such as `{1,2}`. */
export const numbersIn = (cell: unknown): ReadonlyArray<number> =>
  textIn(cell).slice(1, -1).split(",").filter((part) => part !== "").map(Number)

/** The key in a cell; `undefined` if it has none. */
export const keyIn = (cell: unknown): ByteString | undefined => cell instanceof Uint8Array ? fromBytes(cell) : undefined

/** The bytes of a key, as a parameter. */
export const keyParameter = (key: string): Uint8Array => Buffer.from(key, "latin1")

/** An array of whole numbers as text: every client passes text unchanged. */
export const numbersParameter = (numbers: ReadonlyArray<number>): string => `{${numbers.join(",")}}`
