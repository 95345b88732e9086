/**
 * What is measured of the storage interfaces.
 */
import * as Struct from "effect/Struct"

/** What a scenario of the interfaces is about. */
export interface PortScale {
  readonly about: string
  /** Whether each write is on disk when it returns. Otherwise all are when the clock stops. */
  readonly isDurable: boolean
  /** Whether Effect has no SQL store for it. */
  readonly lacksSql?: boolean
}

const scenarios = {
  "queue-offer-1": { about: "offers of 1 fiber", isDurable: true },
  "queue-offer-16": { about: "offers of 16 fibers", isDurable: true },
  "queue-offer-200": { about: "offers of 200 fibers", isDurable: true },
  "queue-take-1": { about: "elements taken and completed by 1 fiber", isDurable: true },
  "queue-take-16": { about: "elements taken and completed by 16 fibers", isDurable: true },
  "queue-take-200": { about: "elements taken and completed by 200 fibers", isDurable: true },
  "workflow-1": { about: "activities of one workflow after the other", isDurable: true },
  "workflow-16": { about: "activities of 16 workflows at a time", isDurable: true },
  "cache-hit": { about: "PersistedCache finds results in its store", isDurable: false },
  "cache-get": { about: "results read from Persistence", isDurable: false },
  "cache-set": { about: "results set in Persistence", isDurable: false },
  "cache-set-ttl": { about: "the same with a time to live", isDurable: false },
  "cache-set-durable": { about: "the same, each on disk", isDurable: true },
  "limit-window": { about: "checks of limits by fixed windows", isDurable: false, lacksSql: true },
  "limit-bucket": { about: "checks of limits by token buckets", isDurable: false, lacksSql: true },
  "kv-get": { about: "values read from KeyValueStore", isDurable: false },
  "kv-set": { about: "values set in KeyValueStore", isDurable: false },
  "kv-set-durable": { about: "the same, each on disk", isDurable: true }
} as const satisfies Record<string, PortScale>

/** The name of a scenario. */
export type PortScenarioId = keyof typeof scenarios

/** The names of the scenarios in the order of the table. */
export const portScenarioIds: ReadonlyArray<PortScenarioId> = Struct.keys(scenarios)

/** What is known of a scenario. */
export const portScaleOf = (scenario: PortScenarioId): PortScale => scenarios[scenario]

/** The systems in the order of the table: the first is the yardstick. */
export const portSystemNames = ["memory", "effect-lmdb", "SQL on SQLite"] as const

/** The name of a system. */
export type PortSystem = (typeof portSystemNames)[number]
