/**
 * The systems that are compared. Each is loaded by the process that measures it and by
 * no other.
 */
import * as Effect from "effect/Effect"
import * as Struct from "effect/Struct"
import type { Open } from "./driver.ts"
import type { Effort, ScenarioId, Step } from "./plan.ts"

/** A system and what is known of it before it is loaded. */
export interface System {
  readonly open: Effect.Effect<Open>
  /** The scenarios that it has no means for. Default: none. */
  readonly lacks?: ReadonlyArray<ScenarioId>
  /** Whether it takes long to be filled. Default: `false`. */
  readonly isSlow?: boolean
  /** Whether it is this store, in one of its forms. Default: `false`. */
  readonly isOurs?: boolean
  /** Fails where the system cannot be used. Default: it can be used everywhere. */
  readonly probe?: Effect.Effect<void, unknown>
}

const filesLack = [
  "get-pending",
  "range-100",
  "index-lookup",
  "transaction-10",
  "transaction-10-fibers",
  "counter",
  "commit-1000",
  "stream-memory"
] as const

const loading = <A>(load: () => Promise<A>, open: (module: A) => Open) => Effect.map(Effect.promise(load), open)

/** The systems by their names, in the order of the table. The first is the yardstick. */
const systems = {
  "lmdb": {
    open: loading(() => import("./systems/lmdb.ts"), (module) => module.open)
  },
  "lmdb shared structures": {
    open: loading(() => import("./systems/lmdb.ts"), (module) => module.openWithSharedStructures)
  },
  "effect-lmdb": {
    open: loading(() => import("./systems/effectLmdb.ts"), (module) => module.open),
    lacks: ["index-lookup"],
    isOurs: true
  },
  "effect-lmdb collection": {
    open: loading(() => import("./systems/effectLmdbCollection.ts"), (module) => module.open),
    isOurs: true
  },
  "node:sqlite": {
    open: loading(() => import("./systems/nodeSqlite.ts"), (module) => module.open)
  },
  "Effect SQL": {
    open: loading(() => import("./systems/effectSql.ts"), (module) => module.open)
  },
  "better-sqlite3": {
    open: loading(() => import("./systems/betterSqlite3.ts"), (module) => module.open),
    probe: Effect.flatten(
      Effect.tryPromise(() => import("./systems/betterSqlite3.ts").then((module) => module.probe))
    )
  },
  "classic-level": {
    open: loading(() => import("./systems/classicLevel.ts"), (module) => module.open),
    lacks: ["get-pending", "index-lookup", "counter"]
  },
  "KeyValueStore": {
    open: loading(() => import("./systems/keyValueStore.ts"), (module) => module.open),
    lacks: filesLack,
    isSlow: true
  },
  "KeyValueStore toSchemaStore": {
    open: loading(() => import("./systems/keyValueStore.ts"), (module) => module.openTyped),
    lacks: filesLack,
    isSlow: true
  }
} as const satisfies Record<string, System>

/** The name of a system. */
export type SystemName = keyof typeof systems

/** The names of the systems in the order of the table. */
export const systemNames: ReadonlyArray<SystemName> = Struct.keys(systems)

/** The system that all others are compared with. */
export const yardstick: SystemName = "lmdb"

/** What is known of a system. */
export const systemOf = (name: SystemName): System => systems[name]

/** Those of some systems that are measured in a step. */
export const participantsOf = (
  { records, scenario, slowOnly }: Step,
  names: ReadonlyArray<SystemName>,
  { slowRecords }: Effort
): ReadonlyArray<SystemName> => {
  const isSlow = (name: SystemName): boolean => systemOf(name).isSlow ?? false
  const able = names.filter((name) =>
    !(systemOf(name).lacks ?? []).includes(scenario) && !(isSlow(name) && records > slowRecords)
  )
  if (!slowOnly) return able
  if (!able.some(isSlow)) return []
  return able.filter((name) => isSlow(name) || name === yardstick || systemOf(name).isOurs === true)
}
