/** The storage of an unencrypted server. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLogServerUnencrypted from "effect/eventlog/EventLogServerUnencrypted"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { PollOptions } from "../../../Change.ts"
import type { OpenError } from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import { withTransaction } from "../callerFailure.ts"
import type { KeptError } from "./kept.ts"
import * as Server from "./server.ts"
import * as ServerEntries from "./serverEntries.ts"

type Methods = EventLogServerUnencrypted.Storage["Service"]

/** The first number of each store id, as in Effect's other implementations. */
const firstSequence = 1

/** Whether the fiber runs in a transaction of a server storage. */
const InTransaction = Context.Reference("effect-lmdb/EventLog/InTransaction", { defaultValue: () => false })

const write = (
  server: Server.Server,
  entries: Effect.Success<typeof ServerEntries.open>,
  list: string,
  added: ReadonlyArray<EventJournal.Entry>
) =>
  server.store.withTransaction(Effect.gen(function*() {
    const first = yield* Server.takeNumbers(server, list, firstSequence, added.length)
    return yield* ServerEntries.insert(entries, list, first, added)
  })).pipe(Server.orDie)

/** What is stored from a number on is compacted; what comes later is not. */
const changes = (
  server: Server.Server,
  entries: Effect.Success<typeof ServerEntries.open>,
  list: string,
  { compactors, startSequence }: Pick<Parameters<Methods["changes"]>[0], "compactors" | "startSequence">
) =>
  Stream.suspend(() => {
    let isBacklog = true
    return Server.follow(server, list, startSequence, (from) =>
      Effect.gen(function*() {
        const stored = yield* ServerEntries.numberedFrom(entries, list, from)
        // A compaction may drop the last entries: go on after the last one that is stored.
        const next = (stored.at(-1)?.remoteSequence ?? from - 1) + 1
        if (!isBacklog) return [stored, next] as const
        isBacklog = false
        return [yield* EventLogServerUnencrypted.compactBacklog({ compactors, remoteEntries: stored }), next] as const
      }))
  })

/** Opens the storage, and follows its commits until the scope closes. */
export const make = Effect.fnUntraced(
  function*(name: string, options: PollOptions): Effect.fn.Return<Methods, OpenError | KeptError, Store | Scope.Scope> {
    const server = yield* Server.make("unencrypted", name, options)
    const entries = yield* ServerEntries.open
    const turn = Semaphore.makeUnsafe(1)
    const listOf = (storeId: string) => Server.listOf(server, storeId)
    return {
      getId: Effect.succeed(server.remoteId),
      firstSequence,
      getOrCreateSessionAuthBinding: (publicKey, signingPublicKey) =>
        Server.sessionKey(server, publicKey, signingPublicKey),
      entriesAfter: (storeId, { id }, batch) =>
        (batch === undefined
          ? ServerEntries.createdFrom(entries, listOf(storeId), id)
          : ServerEntries.relatedTo(entries, listOf(storeId), batch, id)).pipe(Server.orDie),
      write: (storeId, added) =>
        added.length === 0 ? Effect.succeed([]) : write(server, entries, listOf(storeId), added),
      changes: ({ storeId, ...from }) => changes(server, entries, listOf(storeId), from),
      // One at a time: handlers run again only if somebody else changes what they read.
      withTransaction: (effect) =>
        Effect.flatMap(InTransaction, (isInside) => {
          const transaction = withTransaction(
            server.store,
            (caller) => caller(Effect.provideService(effect, InTransaction, true)),
            Effect.die
          )
          return isInside ? transaction : turn.withPermit(transaction)
        })
    }
  }
)
