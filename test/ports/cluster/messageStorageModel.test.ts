/**
 * The messages of a cluster agree with Effect's memory storage after random calls.
 *
 * Left out are the calls for which memory and SQL differ: chunks, acknowledgements and interrupts, second exits, and replies to
 * requests that are not there. `messageStorage.test.ts` has them, as in SQL.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as EffectMessageStorage from "effect/cluster/MessageStorage"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { address, type Encoded, exit, onStorage, request, save, shardOf, take } from "../../support/fixtures/cluster.ts"

const Small = Schema.Literals([1, 2, 3])
const Shard = Schema.Literals([1, 2])
const Entity = Schema.Literals(["a", "b"])
const RequestId = Schema.Literals([1, 2, 3, 4, 5, 6])

const Save = Schema.Struct({
  _tag: Schema.tag("Save"),
  keyed: Schema.Boolean,
  key: Small,
  shard: Shard,
  entity: Entity,
  delay: Schema.Literals([0, 1, 2])
})

const Take = Schema.Struct({
  _tag: Schema.tag("Take"),
  shards: Schema.Literals(["one", "both"]),
  limit: Schema.Literals([1, 2, 100]),
  entities: Schema.Literals(["all", "a", "b", "none"])
})

/** The random calls that Effect's memory storage answers as a SQL database does. */
const Step = Schema.Union([
  // More often than the other steps
  Save,
  Save,
  Take,
  Take,
  Schema.Struct({ _tag: Schema.tag("Exit"), request: RequestId }),
  Schema.Struct({
    _tag: Schema.tag("Clear"),
    request: RequestId,
    expected: Schema.Literals(["none", "last", "other"])
  }),
  Schema.Struct({ _tag: Schema.tag("ClearAddress"), entity: Entity }),
  Schema.Struct({ _tag: Schema.tag("ById"), request: RequestId }),
  Schema.Struct({ _tag: Schema.tag("ResetShard"), shard: Shard }),
  Schema.Struct({ _tag: Schema.tag("ResetAddress"), entity: Entity, shard: Shard }),
  Schema.Struct({ _tag: Schema.tag("ResetRequest"), request: RequestId }),
  Schema.Struct({ _tag: Schema.tag("Wait"), minutes: Schema.Literals([1, 2, 6]) })
])

type Step = typeof Step.Type

const snowflake = (id: number) => Snowflake.Snowflake(String(id))

/** Makes a runner of steps on a storage; each step gives what the storage answers. */
const runnerOf = (storage: Encoded) => {
  let saved = 0
  let nextReply = 1000
  const exits = new Map<number, number>()
  // Memory drops replies to requests that it does not have. A SQL database keeps them.
  const entities = new Map<number, string>()
  const cleared = (id: number, expected: string) => {
    const last = exits.get(id)
    if (expected === "other" || (expected === "last" && last === undefined)) return { expectedReplyId: snowflake(1) }
    exits.delete(id)
    return expected === "last" && last !== undefined ? { expectedReplyId: snowflake(last) } : undefined
  }
  return (step: Exclude<Step, { readonly _tag: "Wait" }>, now: number): Effect.Effect<unknown, unknown> => {
    switch (step._tag) {
      case "Save":
        saved++
        return save(storage, request(saved, step), {
          ...(step.keyed ? { primaryKey: `key ${step.key}` } : {}),
          ...(step.delay === 0 ? {} : { deliverAt: now + step.delay * 60_000 })
        }).pipe(Effect.tap(({ _tag }) =>
          Effect.sync(() => {
            if (_tag === "Success") entities.set(saved, step.entity)
          })
        ))
      case "Exit": {
        if (!entities.has(step.request) || exits.has(step.request)) return Effect.void
        exits.set(step.request, ++nextReply)
        return Effect.andThen(
          storage.saveReply(exit(nextReply, step.request)),
          storage.repliesFor([String(step.request)])
        )
      }
      case "Clear":
        return Effect.andThen(
          storage.clearReplies(snowflake(step.request), cleared(step.request, step.expected)),
          storage.repliesForUnfiltered([String(step.request)])
        )
      case "ClearAddress":
        for (const [id, entity] of entities) if (entity === step.entity) entities.delete(id)
        return Effect.forEach([1, 2], (shard) => storage.clearAddress(address({ ...step, shard })))
      case "Take":
        return take(
          storage,
          now,
          {
            limit: step.limit,
            ...(step.entities === "all" ? {} : {
              addresses: step.entities === "none"
                ? []
                : [1, 2].map((shard) => address({ entity: step.entities, shard }))
            })
          },
          step.shards === "one" ? [shardOf()] : [shardOf(), shardOf({ shard: 2 })]
        )
      case "ById":
        return storage.unprocessedMessagesById([snowflake(step.request)], now)
      case "ResetShard":
        return storage.resetShards([shardOf(step)])
      case "ResetAddress":
        return storage.resetAddresses([address(step)])
      case "ResetRequest":
        return storage.resetRequests([snowflake(step.request)])
    }
  }
}

describe("messages after random calls", () => {
  it.effect.prop(
    "are those of Effect's memory storage",
    [Schema.Array(Step).check(Schema.isMinLength(80), Schema.isMaxLength(100))],
    ([steps]) =>
      onStorage((storage) =>
        Effect.gen(function*() {
          const memory = (yield* EffectMessageStorage.MemoryDriver).encoded
          const ours = runnerOf(storage)
          const theirs = runnerOf(memory)
          for (const [index, step] of steps.entries()) {
            if (step._tag === "Wait") {
              yield* TestClock.adjust(step.minutes * 60_000)
              continue
            }
            const now = yield* Clock.currentTimeMillis
            const about = `step ${index}, ${JSON.stringify(step)}`
            assert.deepStrictEqual(yield* ours(step, now), yield* theirs(step, now), about)
          }
        }).pipe(Effect.provide(EffectMessageStorage.MemoryDriver.layer))
      ),
    { arbitrary: { runs: 25, seed: "messages" } }
  )
})
