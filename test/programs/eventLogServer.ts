/**
 * An encrypted event log server on a Unix socket, whose clock is some hours ahead. It prints `ready`, and runs until somebody
 * kills it.
 *
 * Arguments: the path of the store, the path of the socket, the hours.
 */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Layer from "effect/Layer"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import { rmSync } from "node:fs"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"

const [, , path = "", socket = "", hours = "0"] = process.argv

// What a killed server has left.
rmSync(socket, { force: true })

const ahead = (live: Clock.Clock): Clock.Clock => {
  const millis = Number(hours) * 3_600_000
  const currentTimeMillisUnsafe = () => live.currentTimeMillisUnsafe() + millis
  const currentTimeNanosUnsafe = () => live.currentTimeNanosUnsafe() + BigInt(millis) * 1_000_000n
  return {
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanosUnsafe,
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanos: live.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => live.monotonicTimeNanosUnsafe(),
    sleep: (duration) => live.sleep(duration)
  }
}

const Server = EventLogServerEncrypted.layer.pipe(
  Layer.provide(LmdbEventLog.layerStorageEncrypted({ compaction: { thresholdFloor: 1 } })),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.provide([NodeSocketServer.layer({ path: socket }), RpcSerialization.layerSchemaBinary()]),
  Layer.provide(Store.layer({ path }))
)

const program = Effect.gen(function*() {
  yield* Layer.build(Server)
  process.stdout.write("ready\n")
  yield* Effect.never
}).pipe(Effect.scoped, Effect.updateService(Clock.Clock, ahead))

await Effect.runPromise(program)
