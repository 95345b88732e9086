/**
 * What this store is to reach: ratios to a system in the same run, and limits in milliseconds.
 */
import type { ImportTime } from "./importTime.ts"
import type { ScenarioId, Step } from "./plan.ts"
import type { Row } from "./result.ts"
import { type SystemName, systemOf, yardstick } from "./systems.ts"
import { type Column, headOf, lineOf, showCount, showRatio } from "./table.ts"

/** What of a row is compared. A time is that of one operation. */
type Quantity = "time" | "first calls" | "CPU"

/** A target: this store's time over that of a peer. */
interface RatioTarget {
  readonly about: string
  readonly scenario: ScenarioId
  readonly records: number
  readonly quantity: Quantity
  readonly own: SystemName
  readonly peer: SystemName
  /** The scenario of the peer. Default: the same. */
  readonly peerScenario?: ScenarioId
  readonly atMost: number
}

const base = { records: 1e5, quantity: "time", own: "effect-lmdb", peer: "lmdb" } as const

const collection = "effect-lmdb collection"

/** The first 1,000 calls of a method that reads are to be faster than those of SQLite. */
const firstCalls = (scenario: ScenarioId, own: SystemName = base.own): RatioTarget => ({
  ...base,
  about: "first 1,000 calls",
  scenario,
  quantity: "first calls",
  own,
  peer: "node:sqlite",
  atMost: 1
})

const ratioTargets: ReadonlyArray<RatioTarget> = [
  { ...base, about: "transactions of 10", scenario: "transaction-10", atMost: 1.3 },
  { ...base, about: "the same", scenario: "transaction-10", quantity: "CPU", atMost: 2 },
  {
    ...base,
    about: "the same from 100 fibers",
    scenario: "transaction-10-fibers",
    peer: "node:sqlite",
    peerScenario: "transaction-10",
    atMost: 0.3
  },
  { ...base, about: "a counter, 1,000 fibers", scenario: "counter", atMost: 2 },
  ...(["time", "first calls"] as const).flatMap((quantity): Array<RatioTarget> => [
    { ...base, about: "10,000 `put` in a new store", scenario: "put", records: 1e4, quantity, atMost: 2 },
    {
      ...base,
      about: "10,000 `put` in a new store",
      scenario: "put",
      records: 1e4,
      quantity,
      peer: "node:sqlite",
      atMost: 1
    }
  ]),
  { ...base, about: "1,000,000 `put`", scenario: "put", records: 1e6, atMost: 1.3 },
  { ...base, about: "1,000,000 `put`", scenario: "put", records: 1e6, peer: "node:sqlite", atMost: 1 },
  { ...base, about: "overwrites of 1,000 keys", scenario: "overwrite-hot", peer: "node:sqlite", atMost: 1 },
  { ...base, about: "`putMany` in key order", scenario: "putMany", atMost: 1.2 },
  { ...base, about: "`putMany` in random order", scenario: "putMany-random", atMost: 1.4 },
  { ...base, about: "open", scenario: "open", atMost: 3 },
  { ...base, about: "open", scenario: "open", records: 1e7, atMost: 3 },
  firstCalls("get"),
  firstCalls("get-pending"),
  firstCalls("has"),
  firstCalls("getMany"),
  firstCalls("scan"),
  firstCalls("range-100"),
  firstCalls("index-lookup", collection),
  { ...base, about: "typed `get` to untyped", scenario: "get", own: collection, peer: "effect-lmdb", atMost: 1.4 },
  { ...base, about: "typed `put` to untyped", scenario: "put", own: collection, peer: "effect-lmdb", atMost: 1.6 },
  { ...base, about: "lookup by an index", scenario: "index-lookup", own: collection, peer: "node:sqlite", atMost: 1 }
]

/** The event loop may stand still for so many milliseconds in 99 of 100 commits of 1,000 spread writes. */
const pauseTarget = { scenario: "commit-1000", records: 1e5, own: base.own, atMostMillis: 2 } as const

/** The package may take so many milliseconds to be imported after `effect`. */
const importMillis = 60

/** What is shown of a scenario though it has no target: the peers that a program could choose. */
const alwaysShown: ReadonlySet<SystemName> = new Set([yardstick, base.own, "node:sqlite", "Effect SQL"])

/** The steps that the targets need, none with more records than the largest. */
export const stepsOf = (largest: number): ReadonlyArray<Step> => {
  const needed = [
    ...ratioTargets.flatMap(({ peerScenario, records, scenario }) =>
      [scenario, peerScenario ?? scenario].map((one) => ({ scenario: one, records }))
    ),
    pauseTarget
  ].filter(({ records }) => records <= largest)
  const unique = new Map(needed.map(({ records, scenario }) => [
    `${scenario} ${records}`,
    { scenario, records, slowOnly: false }
  ]))
  return [...unique.values()]
}

/** Whether a system takes part in a step: millions of records are filled for the systems of the targets alone. */
export const needs = ({ records, scenario }: Step, system: SystemName): boolean => {
  if ((systemOf(system).lacks ?? []).includes(scenario)) return false
  const isNamed = ratioTargets.some((target) =>
    target.records === records &&
    ((target.scenario === scenario && [target.own, target.peer].includes(system)) ||
      (target.peerScenario === scenario && target.peer === system))
  )
  return isNamed || system === yardstick || (records <= 1e5 && alwaysShown.has(system))
}

/** A target and what was measured. */
export interface Outcome {
  readonly about: string
  readonly measured: string
  readonly records: number | undefined
  readonly peer: string
  readonly atMost: string
  readonly value: string
  /** The ratio of the processor times, which depends less on what else the machine does. */
  readonly cpu: string
  /** Whether the target is met. `unsure` if the spreads of the processes allow both. */
  readonly met: "yes" | "no" | "unsure"
}

interface Times {
  readonly time: number
  readonly spread: number
  readonly cpu: number
}

const timesOf = (row: Row, quantity: Quantity): Times | undefined => {
  switch (quantity) {
    case "time":
      return { time: 1 / row.opsPerSecond, spread: row.spread, cpu: row.cpuMicros }
    case "CPU":
      return { time: row.cpuMicros, spread: 0, cpu: row.cpuMicros }
    case "first calls":
      return row.first === undefined
        ? undefined
        : { time: 1 / row.first.opsPerSecond, spread: row.first.spread, cpu: row.first.cpuMicros }
  }
}

/** The two medians can be wrong by the spreads of their processes, each in the other direction. */
const verdictOf = (ours: Times, theirs: Times, atMost: number): Outcome["met"] => {
  const ratio = ours.time / theirs.time
  const least = ratio * Math.max(0, 1 - ours.spread) / (1 + theirs.spread)
  const most = theirs.spread < 1 ? ratio * (1 + ours.spread) / (1 - theirs.spread) : Infinity
  if (most <= atMost) return "yes"
  return least > atMost ? "no" : "unsure"
}

const ratioOutcome = (rows: ReadonlyArray<Row>, target: RatioTarget): ReadonlyArray<Outcome> => {
  const { about, atMost, own, peer, peerScenario = target.scenario, quantity, records, scenario } = target
  const find = (wantedScenario: ScenarioId, system: SystemName) => {
    const row = rows.find((one) => one.scenario === wantedScenario && one.records === records && one.system === system)
    return row === undefined ? undefined : timesOf(row, quantity)
  }
  const [ours, theirs] = [find(scenario, own), find(peerScenario, peer)]
  if (ours === undefined || theirs === undefined) return []
  return [{
    about,
    measured: `${scenario}, ${quantity}`,
    records,
    peer: peerScenario === scenario ? peer : `${peer}, ${peerScenario}`,
    atMost: showRatio(atMost),
    value: showRatio(ours.time / theirs.time),
    cpu: showRatio(ours.cpu / theirs.cpu),
    met: verdictOf(ours, theirs, atMost)
  }]
}

const pauseOutcome = (rows: ReadonlyArray<Row>): ReadonlyArray<Outcome> => {
  const { atMostMillis, own, records, scenario } = pauseTarget
  return rows
    .filter((row) => row.scenario === scenario && row.records === records && row.system === own)
    .map(({ pause99Millis }) => ({
      about: "pause of a commit of 1,000",
      measured: `${scenario}, 99 %`,
      records,
      peer: "",
      atMost: `${atMostMillis} ms`,
      value: `${showRatio(pause99Millis)} ms`,
      cpu: "",
      met: pause99Millis <= atMostMillis ? "yes" : "no"
    }))
}

/** The targets of which the rows tell something. */
export const outcomesOf = (rows: ReadonlyArray<Row>, importing: ImportTime): ReadonlyArray<Outcome> => [
  ...ratioTargets.flatMap((target) => ratioOutcome(rows, target)),
  ...pauseOutcome(rows),
  {
    about: "`import` after `effect`",
    measured: "import",
    records: undefined,
    peer: "",
    atMost: `${importMillis} ms`,
    value: `${showCount(importing.wallMillis)} ms`,
    cpu: `${showCount(importing.cpuMillis)} ms`,
    met: importing.wallMillis <= importMillis ? "yes" : "no"
  }
]

const text = (title: string, width: number, show: (outcome: Outcome) => string): Column<Outcome> => ({
  title,
  width,
  isNumber: false,
  show
})

const columns: ReadonlyArray<Column<Outcome>> = [
  text("target", 27, ({ about }) => about),
  text("measured", 29, ({ measured }) => measured),
  {
    title: "records",
    width: 10,
    isNumber: true,
    show: ({ records }) => records === undefined ? "" : showCount(records)
  },
  text("peer", 27, ({ peer }) => peer),
  { title: "at most", width: 7, isNumber: true, show: ({ atMost }) => atMost },
  { title: "here", width: 8, isNumber: true, show: ({ value }) => value },
  { title: "CPU", width: 8, isNumber: true, show: ({ cpu }) => cpu },
  text("met", 6, ({ met }) => met)
]

/** The head of the table of targets, in Markdown. */
export const head: string = headOf(columns)

/** A row of the table of targets. */
export const showOutcome = (outcome: Outcome): string => lineOf(columns, outcome)
