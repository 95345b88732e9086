/** The storage of an encrypted server. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import type * as Scope from "effect/Scope"
import type { PollOptions } from "../../../Change.ts"
import type * as Collection from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import * as Compactions from "./compaction.ts"
import { pageSize } from "./compactionInput.ts"
import type { Compaction } from "./compactionStage.ts"
import * as Sweep from "./compactionSweep.ts"
import * as Batches from "./encryptedBatches.ts"
import * as Generations from "./generations.ts"
import type { KeptError } from "./kept.ts"
import * as Server from "./server.ts"
import * as Snapshots from "./snapshots.ts"

type Methods = EventLogServerEncrypted.Storage["Service"]

const write = ({ batches, lag }: Compaction, list: string, added: Parameters<Methods["write"]>[2]) =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => batches.server.store.withTransaction(Batches.appendAllNew(batches, list, added, { now, lag }))
  ).pipe(Server.orDie)

/**
 * Reads the next batches from a number on: those of the active snapshot, and the originals after its base. Each part is as
 * if a client had connected again, so a compaction or a rollback between two parts loses nothing.
 */
const readFrom = ({ batches, generations, snapshots }: Compaction, list: string, from: number) =>
  batches.server.store.withTransaction(Effect.gen(function*() {
    const { base, set } = yield* Generations.read(generations, list)
    const snapshot = from <= base ? set : undefined
    const stored = snapshot === undefined
      ? yield* Batches.readAfter(batches, list, from - 1, { limit: pageSize })
      : yield* Snapshots.readFrom(snapshots, snapshot, from, pageSize)
    const last = stored.at(-1)
    // A snapshot ends with its base.
    if (last === undefined && snapshot !== undefined) {
      return yield* Effect.die(new Error("The end of the active compaction snapshot is missing: restore a backup"))
    }
    return [stored, last === undefined ? from : Batches.lastOf(last) + 1] as const
  }))

/** Opens the storage, and follows its commits until the scope closes. */
export const make = Effect.fnUntraced(
  function*(
    name: string,
    options: PollOptions,
    compaction: EventLogServerEncrypted.CompactionOptions | undefined
  ): Effect.fn.Return<Methods, Collection.OpenError | KeptError, Store | Scope.Scope> {
    const config = yield* EventLogServerEncrypted.makeCompactionConfig(compaction)
    const server = yield* Server.make("encrypted", name, options)
    const batches = yield* Batches.open(server)
    const self = yield* Compactions.open(batches, config)
    yield* Effect.forkScoped(Sweep.keepSweeping(self))
    return {
      getId: Effect.succeed(server.remoteId),
      getOrCreateSessionAuthBinding: (publicKey, signingPublicKey) =>
        Server.sessionKey(server, publicKey, signingPublicKey),
      write: (publicKey, storeId, added) =>
        added.length === 0 ? Effect.succeed([]) : write(self, Server.listOf(server, publicKey, storeId), added),
      entrySequences: (publicKey, storeId, entryIds) =>
        Server.orDie(Batches.firstStored(batches, Server.listOf(server, publicKey, storeId), entryIds)),
      changes: (publicKey, storeId, startSequence) => {
        const list = Server.listOf(server, publicKey, storeId)
        return Server.follow(server, list, startSequence, (from) => readFrom(self, list, from))
      },
      compaction: Compactions.methods(self)
    }
  }
)
