/**
 * What a section of the torture harness is: rounds that follow from a seed, each of
 * which counts what it did and names what was lost.
 *
 * Round `n` of a run has the seed of the run plus `n`: the same round alone is run
 * by `--seed <its seed> --rounds 1`.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Kind } from "../support/place.ts"

const Report = Schema.Struct({
  figures: Schema.Record(Schema.String, Schema.Number),
  losses: Schema.Array(Schema.String),
  skipped: Schema.Array(Schema.String)
})

/**
 * What came of one or more rounds: how often things were done (of figures whose name
 * begins with "most" the largest counts), what should not have happened, and what
 * could not be done here and why.
 */
export type Report = typeof Report.Type

/** Reads a report as JSON. */
export const readReport = Schema.decodeUnknownSync(Schema.fromJsonString(Report))

/** What a round is given besides its seed. */
export interface RoundOptions {
  /** What the stores of the section are on. Most sections are about files, and run on LMDB alone. */
  readonly store: Kind
  /** Whether the short form was asked for. */
  readonly quick: boolean
  /** How long a section that runs for a time does so, in minutes. */
  readonly minutes: number
  /** How many elements a queue has in a day. */
  readonly elements: number
}

/** A part of the harness. */
export interface Section {
  /** How many rounds are run unless the command says otherwise. */
  readonly rounds: { readonly quick: number; readonly long: number }
  /** Whether it runs on PostgreSQL too. */
  readonly runsOnPostgres?: boolean
  /** Runs one round; what fails or dies in it is a loss. */
  readonly round: (seed: number, options: RoundOptions) => Effect.Effect<Report, unknown, Scope.Scope>
}

/** A report that nothing stands in yet. */
export const empty: Report = { figures: {}, losses: [], skipped: [] }

const merged = (name: string, a: number, b: number): number => name.startsWith("most") ? Math.max(a, b) : a + b

/** Two reports as one. */
export const combine = (a: Report, b: Report): Report => {
  const figures: Record<string, number> = { ...a.figures }
  for (const [name, value] of Object.entries(b.figures)) figures[name] = merged(name, figures[name] ?? 0, value)
  return {
    figures,
    losses: [...a.losses, ...b.losses],
    skipped: [...new Set([...a.skipped, ...b.skipped])]
  }
}

/** A report that is being written. */
export interface Recorder {
  /** Adds to a figure. */
  readonly count: (figure: string, by?: number) => void
  /** Notes something that should not have happened. */
  readonly lose: (loss: string) => void
  /** Notes a loss unless something holds. */
  readonly expect: (holds: boolean, loss: string) => void
  /** Notes what could not be done, and why. */
  readonly skip: (reason: string) => void
  /** Takes over another report. */
  readonly add: (report: Report) => void
  /** The report so far. */
  readonly report: () => Report
}

/** Begins a report. */
export const record = (): Recorder => {
  let report = empty
  const add = (more: Partial<Report>): void => {
    report = combine(report, { ...empty, ...more })
  }
  const lose = (loss: string): void => add({ losses: [loss] })
  return {
    count: (figure, by = 1) => add({ figures: { [figure]: by } }),
    lose,
    expect: (holds, loss) => {
      if (!holds) lose(loss)
    },
    skip: (reason) => add({ skipped: [reason] }),
    add,
    report: () => report
  }
}
