/**
 * Wakes the runner of this process for a message that was saved while the runner acquired its shards.
 *
 * Effect decides before a save whether it tells the runner about the message, which it does only for shards that the runner
 * holds. If the runner acquires the shard during the save, and looks for messages before the save is committed, nobody
 * tells it: it would find the message at its next poll, 10 seconds later by default. So the storage opens the next look
 * itself, after such a save.
 *
 * A message that another process has saved wakes the runner too: the other process cannot.
 */
import * as MessageStorage from "effect/cluster/MessageStorage"
import type * as ShardId from "effect/cluster/ShardId"
import * as Sharding from "effect/cluster/Sharding"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Store } from "../../../Store.ts"

type Storage = MessageStorage.MessageStorage["Service"]

/** The runner of this process, after it was made. The storage of messages is made before it. */
export class WakeUp extends Context.Service<WakeUp, { runner: Sharding.Sharding["Service"] | undefined }>()(
  "effect-lmdb/cluster/WakeUp"
) {
  static readonly layer = Layer.sync(WakeUp, () => ({ runner: undefined }))
}

/** Makes a storage that wakes the runner after a save for a shard that it did not hold before the save. */
const waking = (storage: Storage, wakeUp: WakeUp["Service"]): Storage => {
  const afterwards = <A, E>(shardId: ShardId.ShardId, save: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() =>
      wakeUp.runner?.hasShardId(shardId) === true
        ? save
        : Effect.tap(save, () => wakeUp.runner?.pollStorage ?? Effect.void)
    )
  return MessageStorage.MessageStorage.of({
    ...storage,
    saveRequest: (message) => afterwards(message.envelope.address.shardId, storage.saveRequest(message)),
    saveEnvelope: (message) => afterwards(message.envelope.address.shardId, storage.saveEnvelope(message))
  })
}

/** Replaces the storage of messages by one that wakes the runner. */
export const layerStorage: Layer.Layer<
  MessageStorage.MessageStorage,
  never,
  MessageStorage.MessageStorage | WakeUp
> = Layer.effect(
  MessageStorage.MessageStorage,
  Effect.gen(function*() {
    return waking(yield* MessageStorage.MessageStorage, yield* WakeUp)
  })
)

/** Says which runner is to be woken. */
export const layerRunner: Layer.Layer<never, never, Sharding.Sharding | WakeUp> = Layer.effectDiscard(
  Effect.gen(function*() {
    const wakeUp = yield* WakeUp
    wakeUp.runner = yield* Sharding.Sharding
  })
)

/** The shortest time between two looks for messages of other processes, in milliseconds. */
const lookInterval = 100

/** Wakes the runner after commits of other processes, as long as the layer is there. */
export const layerCommits: Layer.Layer<never, never, Sharding.Sharding | Store> = Layer.effectDiscard(
  Effect.gen(function*() {
    const { commits } = yield* Store
    const { pollStorage } = yield* Sharding.Sharding
    yield* commits().pipe(
      Stream.filter(({ isOwn }) => !isOwn),
      Stream.buffer({ capacity: 1, strategy: "sliding" }),
      Stream.runForEach(() => Effect.andThen(pollStorage, Effect.sleep(lookInterval))),
      Effect.tapError((error) =>
        error._tag === "Closed"
          ? Effect.void
          : Effect.logWarning("Failed to follow the commits of other processes", error)
      ),
      Effect.retry({ schedule: Schedule.spaced(500), while: ({ _tag }) => _tag !== "Closed" }),
      Effect.ignore,
      Effect.withTracerEnabled(false),
      Effect.forkScoped
    )
  })
)
