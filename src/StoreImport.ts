/**
 * Defines the options, the report and the errors of imports.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * What an import does with a record whose key exists: refuses the line (`insert`), replaces the stored record (`put`), or
 * keeps the stored record (`skip`).
 *
 * @category models
 * @since 0.2.0
 */
export type ImportMode = "insert" | "put" | "skip"

/**
 * Counts what became of the lines of an import.
 *
 * @category models
 * @since 0.2.0
 */
export interface ImportReport {
  /** The number of the last line that was imported. The first line has the number 1. */
  readonly lines: number
  readonly written: number
  /** The records that existed, with the mode `skip`. */
  readonly skipped: number
  /** The records that have expired since they were exported. */
  readonly expired: number
  readonly rejected: number
}

/**
 * A line that was not imported.
 *
 * @category models
 * @since 0.2.0
 */
export interface RejectedLine {
  readonly number: number
  readonly text: string
  /** Says what is wrong with it. */
  readonly detail: string
}

/**
 * A line cannot be imported. The lines before it are imported.
 *
 * @category errors
 * @since 0.2.0
 */
export class LineRejected extends Schema.TaggedError<LineRejected>("effect-lmdb/LineRejected")("LineRejected", {
  /** The number of the line. The first line has the number 1. */
  line: Schema.Number,
  /** Says what is wrong with it. */
  detail: Schema.String,
  /** The line itself. */
  text: Schema.String
}) {
  /** Says which line is wrong, and what is wrong with it. */
  override get message(): string {
    return `Line ${this.line} cannot be imported: ${this.detail}`
  }
}

/**
 * An import cannot be continued, because its beginning is not the one that was imported.
 *
 * @category errors
 * @since 0.2.0
 */
export class ImportMismatch extends Schema.TaggedError<ImportMismatch>("effect-lmdb/ImportMismatch")("ImportMismatch", {
  /** How many lines were imported before the interruption. */
  lines: Schema.Number
}) {
  /** Says what differs, and what to do. */
  override get message(): string {
    return `The first ${this.lines} lines are not those of the import that was interrupted: give the same file, or leave out resume`
  }
}
