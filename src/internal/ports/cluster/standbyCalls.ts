/**
 * Tells of calls that wait because another process runs the entities.
 *
 * A call that is not persisted exists only in its process. Effect tries to send it again and again, and succeeds when the
 * process gets the shard itself. Without a message in the log, nobody would know why the call waits.
 */
import * as Runners from "effect/cluster/Runners"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Logs the first call that waits. */
export const layer: Layer.Layer<Runners.Runners, never, Runners.Runners> = Layer.effect(
  Runners.Runners,
  Effect.map(Runners.Runners, (runners) => {
    let isReported = false
    const report = (entityType: string) =>
      Effect.suspend(() => {
        if (isReported) return Effect.void
        isReported = true
        return Effect.logWarning(
          `A call of the entity ${entityType} waits: another process that shares the store runs the entities. Annotate the ` +
            "Rpc with ClusterSchema.Persisted, so that the other process gets the call through the store"
        )
      })
    return Runners.Runners.of({
      ...runners,
      send: (options) => Effect.andThen(report(options.message.envelope.address.entityType), runners.send(options))
    })
  })
)
