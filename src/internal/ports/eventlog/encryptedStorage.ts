/**
 * The storage of an encrypted server: the batches of each public key and store id.
 *
 * A batch has one number for each of its entries. Its key is the number of its last entry, so that a range from a number on
 * begins with the batch that has it.
 */
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import { EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption"
import type * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { PollOptions } from "../../../Change.ts"
import * as Collection from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import type { KeptError } from "./kept.ts"
import * as Server from "./server.ts"

type Methods = EventLogServerEncrypted.Storage["Service"]

const openBatches = Collection.make("effect.EventLogServerEncrypted.batches", {
  key: Schema.Tuple([Schema.String, Schema.Int]),
  value: EncryptedRemoteBatch
})

/** The number under which each entry was first stored. */
const openIds = Collection.make("effect.EventLogServerEncrypted.ids", {
  key: Schema.Tuple([Schema.String, EventJournal.EntryId]),
  value: Schema.Int
})

interface Storage {
  readonly server: Server.Server
  readonly batches: Effect.Success<typeof openBatches>
  readonly ids: Effect.Success<typeof openIds>
}

const lastOf = ({ entryIds, sequence }: EncryptedRemoteBatch): number => sequence + entryIds.length - 1

/** Stores a batch, inside a transaction, unless all of its entries are there. */
const writeBatch = Effect.fnUntraced(function*(
  { batches, ids, server }: Storage,
  list: string,
  batch: Parameters<Methods["write"]>[2][number]
) {
  const keys = batch.entryIds.map((id) => [list, id] as const)
  const { missing } = yield* ids.getMany(keys)
  if (missing.length === 0) return undefined
  const sequence = yield* Server.takeNumbers(server, list, 0, keys.length)
  for (const [index, key] of keys.entries()) {
    yield* ids.update(key, (first) => Option.isSome(first) ? first : Option.some(sequence + index))
  }
  const { encryptedBatch, entryIds, iv } = batch
  const stored: EncryptedRemoteBatch = { sequence, entryIds, iv, encryptedBatch }
  yield* batches.put([list, lastOf(stored)], stored)
  return stored
})

const write = (self: Storage, list: string, batches: Parameters<Methods["write"]>[2]) =>
  self.server.store.withTransaction(
    Effect.forEach(batches, (batch) => writeBatch(self, list, batch))
  ).pipe(
    Effect.map((stored) => stored.filter((batch) => batch !== undefined)),
    Server.orDie
  )

const entrySequences = (
  { ids }: Storage,
  list: string,
  entryIds: ReadonlyArray<EventJournal.EntryId>
): ReturnType<Methods["entrySequences"]> => {
  const keys = entryIds.map((entryId) => [list, entryId] as const)
  return Effect.map(ids.getMany(keys), ({ found }) =>
    keys.flatMap((key) => {
      const sequence = found.get(key)
      return sequence === undefined ? [] : [{ entryId: key[1], sequence }]
    })).pipe(Server.orDie)
}

const changes = ({ batches, server }: Storage, list: string, startSequence: number) =>
  Server.follow(
    server,
    list,
    startSequence,
    (from) =>
      Effect.map(batches.collect({ prefix: [list], gte: [list, from] }), (stored) => {
        const last = stored.at(-1)
        return [stored, last === undefined ? from : lastOf(last) + 1] as const
      })
  )

/** Opens the storage, and follows its commits until the scope closes. */
export const make = Effect.fnUntraced(
  function*(
    name: string,
    options: PollOptions
  ): Effect.fn.Return<Methods, Collection.OpenError | KeptError, Store | Scope.Scope> {
    const server = yield* Server.make("encrypted", name, options)
    const self: Storage = { server, batches: yield* openBatches, ids: yield* openIds }
    return {
      getId: Effect.succeed(server.remoteId),
      getOrCreateSessionAuthBinding: (publicKey, signingPublicKey) =>
        Server.sessionKey(server, publicKey, signingPublicKey),
      write: (publicKey, storeId, batches) =>
        batches.length === 0 ? Effect.succeed([]) : write(self, Server.listOf(server, publicKey, storeId), batches),
      entrySequences: (publicKey, storeId, entryIds) =>
        entrySequences(self, Server.listOf(server, publicKey, storeId), entryIds),
      changes: (publicKey, storeId, startSequence) =>
        changes(self, Server.listOf(server, publicKey, storeId), startSequence)
    }
  }
)
