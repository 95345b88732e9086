/** What the log says of compactions: the messages and annotations of Effect's other implementations. */
import * as Effect from "effect/Effect"
import type { StoreId } from "effect/eventlog/EventLogMessage"

/** Whose compaction it is. */
export interface Owner {
  readonly publicKey: string
  readonly storeId: StoreId
}

const log = (message: string, annotations: Record<string, unknown>): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logInfo(message), { service: "EventLogServerEncrypted", ...annotations })

/** Logs what became of a snapshot. */
export const logCommit = (
  owner: Owner,
  outcome: {
    readonly result: "Committed" | "Superseded"
    readonly through: number
    readonly keptCount: number
    readonly activationId: string | undefined
  }
): Effect.Effect<void> =>
  log(outcome.result === "Committed" ? "Committed compaction snapshot" : "Compaction snapshot superseded", {
    ...owner,
    keptCount: outcome.keptCount,
    through: outcome.through,
    activationId: outcome.activationId
  })

/** Logs that a compaction would have dropped nothing. */
export const logNoOp = (
  owner: Owner,
  stage: { readonly stageId: string; readonly through: number }
): Effect.Effect<void> => log("Committed compaction no-op", { ...owner, ...stage })

interface LoggedActivation {
  readonly id: string
  readonly base: number
  readonly keptCount: number | undefined
}

/** Logs that the generation before is active again. */
export const logRollback = (
  owner: Owner,
  { activated, withdrawn }: { readonly activated: LoggedActivation; readonly withdrawn: LoggedActivation }
): Effect.Effect<void> =>
  log("Rolled back compaction snapshot", {
    ...owner,
    keptCount: activated.keptCount,
    base: activated.base,
    activationId: activated.id,
    withdrawnActivationId: withdrawn.id,
    withdrawnBase: withdrawn.base,
    withdrawnKeptCount: withdrawn.keptCount
  })
