/**
 * Draws the rows of a run: for each scenario a bar for each system, from the line of
 * the yardstick to the left where it is faster and to the right where it is slower.
 */
import { scaleOf, type ScenarioId, scenarioIds } from "./plan.ts"
import type { Row } from "./result.ts"
import { type SystemName, yardstick } from "./systems.ts"

const width = 840
const labelWidth = 260
const plotWidth = width - labelWidth - 70
const barHeight = 11
const groupGap = 16
const headHeight = 96

/** Colours that can be told apart on white and on black, also by those who see few colours (Okabe and Ito). */
const colours = [
  "#009e73",
  "#56b4e9",
  "#d55e00",
  "#e69f00",
  "#cc79a7",
  "#0072b2",
  "#8f8f8f",
  "#b3a100",
  "#aa4499"
] as const

const style = `
    text { font: 12px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .quiet, .value { fill: #59636e; font-size: 10px }
    .grid { stroke: #d1d9e0 }
    .unit { stroke: #59636e; stroke-width: 1.5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .quiet, .value { fill: #9198a1 }
      .grid { stroke: #3d444d }
      .unit { stroke: #9198a1 }
    }`

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const number = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 2 })

const compact = new Intl.NumberFormat("en-US", { notation: "compact" })

// -----------------------------------------------------------------------------
// what is drawn
// -----------------------------------------------------------------------------

/** A scenario with a row for each system. */
interface Group {
  readonly scenario: ScenarioId
  readonly rows: ReadonlyArray<Row>
}

interface Chart {
  readonly systems: ReadonlyArray<SystemName>
  readonly groups: ReadonlyArray<Group>
  readonly height: number
  /** The powers of ten around all ratios. */
  readonly low: number
  readonly high: number
}

/** Of the rows of each system the one with most records, up to a limit, or with fewest where all are above it. */
const groupsOf = (rows: ReadonlyArray<Row>, systems: ReadonlyArray<SystemName>, mostRecords: number): Array<Group> =>
  scenarioIds.flatMap((scenario) => {
    const ofScenario = rows.filter((row) => row.scenario === scenario)
    const most = Math.max(mostRecords, Math.min(...ofScenario.map(({ records }) => records)))
    const chosen = systems.flatMap((system) =>
      ofScenario
        .filter((row) => row.system === system && row.records <= most)
        .toSorted((a, b) => b.records - a.records)
        .slice(0, 1)
    )
    return chosen.length === 0 ? [] : [{ scenario, rows: chosen }]
  })

const heightOf = ({ rows }: Group): number => Math.max(rows.length * barHeight, 2 * barHeight + 4) + groupGap

/** The yardstick is the line that the bars begin at, and has none. */
const chartOf = (rows: ReadonlyArray<Row>, wanted: ReadonlyArray<SystemName>, mostRecords: number): Chart => {
  const systems = wanted.filter((system) => system !== yardstick && rows.some((row) => row.system === system))
  const groups = groupsOf(rows, systems, mostRecords)
  const exponents = groups.flatMap((group) => group.rows.map(({ ratio }) => Math.log10(ratio)))
  return {
    systems,
    groups,
    height: groups.reduce((height, group) => height + heightOf(group), headHeight + 8),
    low: Math.floor(Math.min(-1, ...exponents)),
    high: Math.ceil(Math.max(1, ...exponents))
  }
}

// -----------------------------------------------------------------------------
// how it is drawn
// -----------------------------------------------------------------------------

const px = (value: number): string => value.toFixed(1)

const xOf = ({ high, low }: Chart, ratio: number): number =>
  labelWidth + (Math.log10(ratio) - low) / (high - low) * plotWidth

const colourOf = ({ systems }: Chart, system: SystemName): string =>
  colours[systems.indexOf(system) % colours.length] ?? colours[0]

const legend = (chart: Chart): Array<string> =>
  chart.systems.map((system, index) => {
    const x = 12 + (index % 4) * 205
    const y = 34 + Math.floor(index / 4) * 17
    return `<rect x="${x}" y="${y}" width="10" height="10" fill="${colourOf(chart, system)}"/>` +
      `<text x="${x + 15}" y="${y + 9}">${escaped(system)}</text>`
  })

const grid = (chart: Chart): Array<string> =>
  Array.from({ length: chart.high - chart.low + 1 }, (_, index) => {
    const ratio = 10 ** (chart.low + index)
    const x = px(xOf(chart, ratio))
    const kind = ratio === 1 ? "unit" : "grid"
    return `<line class="${kind}" x1="${x}" x2="${x}" y1="${headHeight - 8}" y2="${chart.height - 8}"/>` +
      `<text class="quiet" x="${x}" y="${headHeight - 13}" text-anchor="middle">${ratio}×</text>`
  })

const bar = (chart: Chart, row: Row, top: number): string => {
  const [unit, end] = [xOf(chart, 1), xOf(chart, row.ratio)]
  const ratio = number.format(row.ratio)
  const [anchor, distance] = row.ratio < 1 ? ["end", -4] : ["start", 4]
  const title = `${row.system}, ${row.scenario}, ${row.records} records: ${ratio}×`
  const size = `width="${px(Math.max(1, Math.abs(end - unit)))}" height="${barHeight - 2}"`
  return `<rect x="${px(Math.min(end, unit))}" y="${top}" ${size} fill="${colourOf(chart, row.system)}">` +
    `<title>${escaped(title)}</title></rect>` +
    `<text class="value" x="${px(end + distance)}" y="${top + barHeight - 3}" text-anchor="${anchor}">${ratio}</text>`
}

const group = (chart: Chart, { rows, scenario }: Group, top: number): Array<string> => {
  const sizes = [...new Set(rows.map(({ records }) => compact.format(records)))].join(", ")
  return [
    `<text x="12" y="${top + 10}">${escaped(scenario)} <tspan class="quiet">${sizes} records</tspan></text>`,
    `<text class="quiet" x="12" y="${top + 23}">${escaped(scaleOf(scenario).about)}</text>`,
    ...rows.map((row, index) => bar(chart, row, top + index * barHeight))
  ]
}

const body = (chart: Chart): Array<string> => {
  let top = headHeight
  return chart.groups.flatMap((one) => {
    const elements = group(chart, one, top)
    top += heightOf(one)
    return elements
  })
}

/** Draws rows as an SVG document, readable on light and on dark ground. */
export const draw = (
  rows: ReadonlyArray<Row>,
  options: { readonly systems: ReadonlyArray<SystemName>; readonly mostRecords: number }
): string => {
  const chart = chartOf(rows, options.systems, options.mostRecords)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${chart.height}" role="img">`,
    `  <title>Time per operation over that of ${yardstick}</title>`,
    `  <style>${style}\n  </style>`,
    `  <text class="title" x="12" y="20">Time per operation over that of ${yardstick}: left of 1× is faster</text>`,
    ...[...legend(chart), ...grid(chart), ...body(chart)].map((element) => `  ${element}`),
    "</svg>",
    ""
  ].join("\n")
}
