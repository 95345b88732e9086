/**
 * What ends the benchmark.
 */
import * as Schema from "effect/Schema"

/** A system gave something else than what was written. */
export class WrongResult extends Schema.TaggedError<WrongResult>()("WrongResult", {
  what: Schema.String,
  seen: Schema.Unknown,
  expected: Schema.Unknown
}) {
  override get message(): string {
    return `${this.what} is ${JSON.stringify(this.seen)}, but should be ${JSON.stringify(this.expected)}`
  }
}

/** A process that measured a system ended before it was done; it has said why on its standard error. */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  system: Schema.String,
  task: Schema.String
}) {
  override get message(): string {
    return `${this.system} failed at ${this.task}`
  }
}
