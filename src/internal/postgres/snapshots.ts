/**
 * Snapshots of the server: transactions that only read, each on a connection of its own.
 *
 * The number of connections is limited. Snapshots share a connection if no process has committed since the
 * connection was opened, or if they are asked for while another one is being opened.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { CommittedSnapshot, Reader, Snapshot } from "../../Backend.ts"
import { EngineFailure } from "../../StoreError.ts"
import { guarded } from "../reader/guardedReader.ts"
import type * as DatabaseNumbers from "./databaseNumbers.ts"
import { overlaid } from "./liveReader.ts"
import * as PendingLayers from "./pendingLayers.ts"
import * as ReadBatches from "./readBatches.ts"
import { closedFailure, numberIn, run, type Server } from "./server.ts"
import * as ServerReader from "./serverReader.ts"
import { engineFailure, inRealTime, retrying } from "./sqlFailure.ts"

/** A transaction on the server that snapshots read. */
interface ServerSnapshot {
  /** The number of the last commit that it includes. */
  readonly number: number
  /** The last commit of this process that it includes. */
  readonly token: number
  readonly reader: Reader
  readonly scope: Scope.Closeable
  /** How many snapshots use it. */
  users: number
}

/** An opening, and how many callers wait for it. */
interface Opening {
  readonly opened: Deferred.Deferred<ServerSnapshot, EngineFailure>
  callers: number
}

/** The open snapshots of a store. */
export interface Snapshots {
  readonly server: Server
  readonly numbers: DatabaseNumbers.DatabaseNumbers
  readonly pending: PendingLayers.PendingLayers
  /** A permit for each connection. */
  readonly permits: Semaphore.Semaphore
  readonly limit: number
  /** All open transactions on the server. */
  readonly transactions: Set<ServerSnapshot>
  /** The newest transaction on the server that is still open. */
  newest: ServerSnapshot | undefined
  /** The opening that the next callers share. It has not begun. */
  next: Opening | undefined
  isOpening: boolean
  open: number
}

/** How long a caller waits for a connection. */
const patience = Duration.seconds(30)

/** Makes the snapshots of a store. */
export const make = (
  options: Pick<Snapshots, "server" | "numbers" | "pending" | "limit">
): Snapshots => ({
  ...options,
  permits: Semaphore.makeUnsafe(options.limit),
  transactions: new Set(),
  newest: undefined,
  next: undefined,
  isOpening: false,
  open: 0
})

const stateText = (server: Server): string => `SELECT ${ReadBatches.stampOf(server, "$1")}`

const tooMany = ({ limit }: Snapshots): EngineFailure =>
  new EngineFailure({
    operation: "open a snapshot",
    code: 0,
    detail: `${limit} snapshots were open for 30 seconds; end streams sooner, or raise the option snapshots`,
    isRetryable: true
  })

/** Takes a permit until the scope closes. */
const takePermit = (self: Snapshots, scope: Scope.Scope): Effect.Effect<void, EngineFailure> =>
  inRealTime(Effect.timeoutOrElse(Scope.provide(self.permits.takeScoped(1), scope), {
    duration: patience,
    orElse: () => Effect.fail(tooMany(self))
  }))

/** Begins a transaction on a connection of its own. The close of the scope ends it. */
const begin = Effect.fnUntraced(function*(self: Snapshots, scope: Scope.Closeable) {
  const { numbers, server } = self
  const connection = yield* Scope.provide(server.sql.reserve, scope)
  // Before the begin: an interruption after it must not give back a connection in a transaction.
  yield* Scope.addFinalizer(scope, Effect.ignore(connection.executeValues("COMMIT", [])))
  yield* connection.executeValues("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", [])
  const [row] = yield* connection.executeValues(stateText(server), [server.client])
  const reader = ServerReader.make(
    server,
    numbers,
    (text, parameters) =>
      Effect.mapError(connection.executeValues(text, parameters), (error) => engineFailure("read a snapshot", error)),
    1
  )
  const snapshot: ServerSnapshot = {
    number: numberIn(row?.[1]) ?? 0,
    token: numberIn(row?.[0]) ?? 0,
    reader: ServerReader.committedReader(reader),
    scope,
    users: 0
  }
  self.transactions.add(snapshot)
  return snapshot
})

/** Opens a transaction in a scope of its own; the scope closes if that fails. */
const beginAlone = (self: Snapshots) =>
  Effect.flatMap(
    Scope.make(),
    (scope) => Effect.onError(begin(self, scope), (cause) => Scope.close(scope, Exit.failCause(cause)))
  )

/** Gives a transaction to the callers of an opening. */
const give = (self: Snapshots, { callers, opened }: Opening, snapshot: ServerSnapshot): void => {
  snapshot.users += callers
  Deferred.doneUnsafe(opened, Exit.succeed(snapshot))
  if (snapshot.users === 0) end(self, snapshot)
}

/** Whether the newest transaction is still open and shows everything that is committed. */
const isCurrent = (self: Snapshots): Effect.Effect<boolean, EngineFailure> => {
  const { newest, server } = self
  if (newest === undefined) return Effect.succeed(false)
  // Other users may release it meanwhile.
  return Effect.map(lastNumber(server), (number) => number === newest.number && self.newest === newest)
}

/** Opens a transaction for the callers of an opening, or gives them the newest one if nothing was committed since. */
const openFor = Effect.fnUntraced(function*(self: Snapshots, opening: Opening): Effect.fn.Return<void, EngineFailure> {
  if ((yield* isCurrent(self)) && self.newest !== undefined) return give(self, opening, self.newest)
  const permit = yield* Scope.make()
  const snapshot = yield* Effect.andThen(takePermit(self, permit), retryingBegin(self)).pipe(
    Effect.onError(() => Scope.close(permit, Exit.void))
  )
  yield* Scope.addFinalizer(snapshot.scope, Scope.close(permit, Exit.void))
  self.newest = snapshot
  give(self, opening, snapshot)
})

const retryingBegin = (self: Snapshots): Effect.Effect<ServerSnapshot, EngineFailure> =>
  Effect.mapError(
    retrying(beginAlone(self), self.server.patience),
    (error) => engineFailure("open a snapshot", error)
  )

/** Opens transactions, one after the other, until no caller waits. */
const openNext = (self: Snapshots): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { next } = self
    if (next === undefined) {
      self.isOpening = false
      return Effect.void
    }
    self.next = undefined
    const failed = (exit: Exit.Exit<void, EngineFailure>) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) return
        const failure = Exit.hasInterrupts(exit)
          ? Exit.fail(closedFailure("open a snapshot"))
          : Exit.failCause(exit.cause)
        Deferred.doneUnsafe(next.opened, failure)
      })
    return Effect.andThen(Effect.ignoreCause(Effect.onExit(openFor(self, next), failed)), openNext(self))
  })

/** Ends a transaction. */
const end = (self: Snapshots, snapshot: ServerSnapshot): void => {
  if (self.newest === snapshot) self.newest = undefined
  if (self.server.isClosed() || !self.transactions.delete(snapshot)) return
  self.server.fork(Effect.uninterruptible(Scope.close(snapshot.scope, Exit.void)))
}

/** Ends all transactions, also those of snapshots that were not released. */
export const endAll = ({ transactions }: Snapshots): Effect.Effect<void> =>
  Effect.suspend(() => {
    const open = [...transactions]
    transactions.clear()
    return Effect.forEach(open, ({ scope }) => Scope.close(scope, Exit.void), { discard: true })
  })

const release = (self: Snapshots, snapshot: ServerSnapshot): void => {
  snapshot.users--
  if (snapshot.users === 0) end(self, snapshot)
}

/** Takes back the part of a caller in an opening. */
const leave = (self: Snapshots, { opened }: Opening): Effect.Effect<void> =>
  Effect.map(Effect.exit(Deferred.await(opened)), (exit) => {
    if (Exit.isSuccess(exit)) release(self, exit.value)
  })

/** Returns a transaction that was opened after this call began, and keeps it open. */
const acquire = (self: Snapshots): Effect.Effect<ServerSnapshot, EngineFailure> =>
  Effect.suspend(() => {
    if (self.server.isClosed()) return Effect.fail(closedFailure("open a snapshot"))
    const opening = self.next ??= { opened: Deferred.makeUnsafe(), callers: 0 }
    opening.callers++
    if (!self.isOpening) {
      self.isOpening = true
      self.server.fork(openNext(self))
    }
    return Effect.onInterrupt(
      Deferred.await(opening.opened),
      () => Effect.sync(() => void self.server.fork(leave(self, opening)))
    )
  })

/** The failure of a read of a snapshot that was released. */
export const released: Effect.Effect<never, EngineFailure> = Exit.fail(
  new EngineFailure({
    operation: "read a snapshot",
    code: 0,
    detail: "the snapshot was released",
    isRetryable: false
  })
)

/** Makes a reader fail after a release, also if the read has begun before it. */
const whileOpen = (reader: Reader, isReleased: () => boolean): Reader => {
  return guarded(reader, (read) =>
    Effect.suspend(() =>
      isReleased()
        ? released
        : Effect.flatMap(read(), (found) => isReleased() ? released : Effect.succeed(found))
    ))
}

const toSnapshot = (
  self: Snapshots,
  server: ServerSnapshot,
  layers: ReadonlyArray<PendingLayers.Layer>
): CommittedSnapshot => {
  let isReleased = false
  self.open++
  return {
    ...whileOpen(overlaid(layers, server.reader, server.token), () => isReleased),
    transactionId: server.number,
    release: () => {
      if (isReleased) return
      isReleased = true
      self.open--
      release(self, server)
    }
  }
}

/** Opens a snapshot with the writes that are pending now. */
export const open = (self: Snapshots): Effect.Effect<Snapshot, EngineFailure> =>
  Effect.suspend(() => {
    const layers = PendingLayers.layers(self.pending)
    return Effect.map(acquire(self), (server) => toSnapshot(self, server, layers))
  })

/** Opens a snapshot of what is committed. */
export const openCommitted = (self: Snapshots): Effect.Effect<CommittedSnapshot, EngineFailure> =>
  Effect.map(acquire(self), (server) => toSnapshot(self, server, []))

/** Reads the number of the last commit of any process. */
export const lastNumber = (server: Server): Effect.Effect<number, EngineFailure> =>
  Effect.map(
    run(server, "read the number of the last commit", stateText(server), [server.client]),
    ([row]) => numberIn(row?.[1]) ?? 0
  )
