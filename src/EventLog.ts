import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { OpenError } from "./Collection.ts"
import * as Journal from "./internal/ports/eventlog/journal.ts"
import type { Store } from "./Store.ts"

export interface EventLogOptions {
  readonly name?: string | undefined
  readonly pollInterval?: Duration.Input | undefined
}

export const makeJournal = Effect.fnUntraced(
  function*(
    options: EventLogOptions = {}
  ): Effect.fn.Return<EventJournal.EventJournal["Service"], OpenError, Store | Scope.Scope> {
    const self = yield* Journal.make(options.name ?? "default", { pollInterval: options.pollInterval })
    return EventJournal.EventJournal.of({
      entries: Journal.entries(self),
      entriesById: (ids) => Journal.entriesById(self, ids),
      write: ({ effect, ...entry }) => Journal.writeMany(self, { entries: [entry], effect: ([first]) => effect(first) }),
      writeMany: (options) => Journal.writeMany(self, options),
      writeFromRemote: (options) => Journal.writeFromRemote(self, options),
      withRemoteUncommited: (remoteId, f) => Journal.withRemoteUncommited(self, remoteId, f),
      writeRemoteAcks: (options) => Journal.writeRemoteAcks(self, options),
      nextRemoteSequence: (remoteId) => Journal.nextRemoteSequence(self, remoteId),
      changes: Journal.changes(self),
      destroy: Journal.destroy(self),
      withLock: (storeId) => Journal.withLock(self, storeId)
    })
  }
)

export const layerJournal = (
  options?: EventLogOptions
): Layer.Layer<EventJournal.EventJournal, OpenError, Store> =>
  Layer.effect(EventJournal.EventJournal, makeJournal(options))
