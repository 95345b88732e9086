/**
 * The backend on a PostgreSQL server: pending writes in memory, everything else on the server.
 *
 * No transaction on the server is longer than one statement, except those of snapshots. `commitFunction.ts` says how a
 * commit works, `pendingLayers.ts` how a read finds the pending writes.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as SqlClient from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"
import { randomUUID } from "node:crypto"
import type { Backend, BackendStats, CommitRequest, PendingChecks } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { CommitError, EngineFailure, OpenFailed } from "../../StoreError.ts"
import { WriteBuffer } from "../buffer/writeBuffer.ts"
import * as ChangeFeed from "../commit/changeFeed.ts"
import * as Metrics from "../commit/metrics.ts"
import type { Fork } from "../fork.ts"
import * as ReadersWriterLock from "../lmdb/readersWriterLock.ts"
import * as OptimisticStep from "../transaction/optimisticStep.ts"
import * as Backup from "./backup.ts"
import * as CommitNumbers from "./commitNumbers.ts"
import * as CommitQueue from "./commitQueue.ts"
import * as CommitRound from "./commitRound.ts"
import * as DatabaseNumbers from "./databaseNumbers.ts"
import * as LiveReader from "./liveReader.ts"
import * as LogFollower from "./logFollower.ts"
import * as LogTrimming from "./logTrimming.ts"
import * as Opening from "./opening.ts"
import * as Openings from "./openings.ts"
import * as PendingLayers from "./pendingLayers.ts"
import * as PendingWrites from "./pendingWrites.ts"
import type { ResolvedPostgresOptions } from "./postgresOptions.ts"
import * as QueueState from "./queueState.ts"
import * as ReadBatches from "./readBatches.ts"
import { numberIn, run, type Server } from "./server.ts"
import * as ServerReader from "./serverReader.ts"
import * as Snapshots from "./snapshots.ts"
import * as Tables from "./tables.ts"
import * as TransactionSnapshots from "./transactionSnapshots.ts"

/** The longest key, in bytes, as on LMDB. An entry of an index of PostgreSQL has at most about 2,690 bytes. */
const maxKeyBytes = 1978

/** The size of a page of PostgreSQL, in bytes. */
const pageSize = 8192

/** How many statements with reads of keys run at the same time. */
const readStatements = 2

/** How many statements that check what transactions have read run at the same time. */
const checkStatements = 2

/** The parts of a backend. */
interface PostgresBackend {
  readonly options: ResolvedPostgresOptions
  readonly server: Server
  readonly numbers: DatabaseNumbers.DatabaseNumbers
  readonly buffer: WriteBuffer
  readonly committing: CommitRound.Committing
  readonly queue: QueueState.CommitQueue
  readonly snapshots: Snapshots.Snapshots
  readonly transactions: TransactionSnapshots.TransactionSnapshots
  readonly changes: ChangeFeed.ChangeFeed
  readonly commits: CommitNumbers.CommitNumbers
  readonly permit: Semaphore.Semaphore
  readonly lock: ReadersWriterLock.ReadersWriterLock
}

/** Makes a function that starts background fibers. They are interrupted at the end of the scope. */
const makeFork: Effect.Effect<Fork, never, Scope.Scope> = Effect.updateContext(
  FiberSet.makeRuntime<never, void, never>(),
  (context: Context.Context<Scope.Scope>) => Context.omit(Tracer.ParentSpan)(context)
)

const stats = ({ buffer, server, snapshots }: PostgresBackend): Effect.Effect<BackendStats, EngineFailure> => {
  const { databases, log, records } = server.tables
  const names = [records, databases, log].map((name) => `pg_total_relation_size('${name}')`).join(" + ")
  return Effect.map(
    run(
      server,
      "read the statistics",
      `SELECT (${names})::float8, (pg_relation_size('${records}') + pg_indexes_size('${records}'))::float8`,
      []
    ),
    ([row]) => {
      const fileBytes = numberIn(row?.[0]) ?? 0
      return {
        mapSize: fileBytes,
        usedBytes: numberIn(row?.[1]) ?? 0,
        fileBytes,
        pageSize,
        readers: snapshots.open,
        pending: buffer.size,
        pendingBytes: buffer.bytes
      }
    }
  )
}

/** Commits a request in a separate transaction, while no other commit runs. */
const commitAlone = (
  { permit, queue }: PostgresBackend,
  prepare: Effect.Effect<CommitRequest | undefined, EngineFailure>
): Effect.Effect<boolean, CommitError> =>
  permit.withPermit(Effect.uninterruptible(
    Effect.flatMap(
      prepare,
      (request) => request === undefined ? Effect.succeed(false) : CommitQueue.commitOne(queue, request)
    )
  ))

/** Lists the names of all databases. */
const databases = (numbers: DatabaseNumbers.DatabaseNumbers): Effect.Effect<ReadonlyArray<string>, EngineFailure> =>
  Effect.map(DatabaseNumbers.load(numbers), () => [...numbers.byName.keys()])

const pendingWrites = function*({ buffer, queue }: PostgresBackend): Generator<Write> {
  // The outcome of these is not known.
  if (queue.sealed !== undefined) yield* queue.sealed.memtable.writes
  yield* buffer.active.writes
}

/** Makes the last commit, waits for the fibers that read, and ends all subscriptions. */
const close = (
  { changes, lock, queue }: PostgresBackend,
  beforeClosing: Effect.Effect<void>
): Effect.Effect<void, CommitError> =>
  Effect.uninterruptible(Effect.ensuring(
    CommitQueue.close(queue),
    lock.withWrite(Effect.andThen(beforeClosing, Effect.sync(() => ChangeFeed.end(changes))))
  ))

const makeParts = Effect.fnUntraced(function*(options: ResolvedPostgresOptions, server: Server) {
  const { batchBytes, changeLog, flushInterval, isAsync, name, notify, snapshots: limit } = options
  const buffer = new WriteBuffer(options)
  const layers = PendingLayers.make(buffer)
  const numbers = DatabaseNumbers.make(server)
  const changes = ChangeFeed.make(name)
  const permit = yield* Semaphore.make(1)
  const checks: PendingChecks = { guards: new Map(), entryDeletions: new Map() }
  const runRead = (text: string, parameters: ReadonlyArray<unknown>) => run(server, "read", text, parameters)
  const serverReader = ServerReader.make(server, numbers, runRead, readStatements)
  const committing: CommitRound.Committing = {
    server,
    numbers,
    stored: ServerReader.committedReader(serverReader),
    changes,
    checks,
    options: { isAsync, notifies: notify, previous: changeLog.previous },
    guardReads: new WeakMap(),
    token: 0,
    unanswered: 0,
    afterAnswers: []
  }
  const queue = QueueState.make({
    path: name,
    flushInterval,
    batchBytes,
    buffer,
    layers,
    committing,
    metrics: Metrics.make(name),
    permit
  })
  const snapshots = Snapshots.make({ server, numbers, pending: layers, limit })
  const self: PostgresBackend = {
    options,
    server,
    numbers,
    buffer,
    committing,
    queue,
    snapshots,
    transactions: {
      source: {
        committed: serverReader,
        checks: ReadBatches.make(server, numbers, runRead, checkStatements),
        isMoving: false
      },
      pending: layers,
      held: snapshots
    },
    changes,
    commits: CommitNumbers.make({
      server,
      changes,
      notifies: notify,
      whenAnswered: (use) => CommitRound.whenAnswered(committing, use)
    }),
    permit,
    lock: yield* ReadersWriterLock.make
  }
  return { self, live: LiveReader.make(layers, serverReader) }
})

/** Opens the backend of a store on the server of a client, until the scope closes. */
export const make = Effect.fnUntraced(function*(
  options: ResolvedPostgresOptions,
  sql: SqlClient.SqlClient
): Effect.fn.Return<Backend, OpenFailed, Scope.Scope> {
  const { maxValueBytes, name, patience, readOnly } = options
  const tables = Tables.make(options.table)
  const client = randomUUID()
  yield* Opening.open({ sql, tables, name, readOnly, patience, client })
  const opening = yield* Effect.flatMap(Opening.identityOf({ sql, tables }), Openings.share)
  let isClosed = false
  const fork = yield* makeFork
  const server: Server = { sql, tables, client, patience, fork, isClosed: () => isClosed }
  const { live, self } = yield* makeParts(options, server)
  const { buffer, changes, commits, committing, lock, numbers, queue, snapshots, transactions } = self
  // The fibers end after this.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return Snapshots.endAll(snapshots)
    })
  )
  if (!readOnly) LogTrimming.start(server, changes, options.changeLog)
  const whileReadable: Backend["whileReadable"] = (effect) => lock.withRead(effect)
  const commit: Backend["commit"] = (request, admission) =>
    Effect.suspend(() => {
      const refusal = admission()
      return CommitQueue.submit(queue, request, () => refusal([]))
    })
  return {
    maxKeyBytes,
    maxValueBytes,
    reader: live,
    isReadable: () => false,
    whileReadable,
    isPending: (database, key) => buffer.get(database, key) !== undefined,
    pendingWrites: () => pendingWrites(self),
    beforeSnapshot: Effect.void,
    snapshot: () => Snapshots.open(snapshots),
    nextSnapshot: () => Effect.map(Snapshots.open(snapshots), (snapshot) => ({ ...snapshot, isTentative: false })),
    transactionSnapshot: ({ isHeld }) => TransactionSnapshots.open(transactions, isHeld),
    databases: () => databases(numbers),
    openDatabase: (database) => Effect.asVoid(DatabaseNumbers.find(numbers, database)),
    createDatabases: (names) => DatabaseNumbers.create(numbers, names),
    write: (writes, admission) => PendingWrites.admit(queue, writes, admission),
    remove: (writes, admission) => PendingWrites.admitDeletions(queue, writes, admission),
    step: (step, stepOptions) => OptimisticStep.run({ reader: live, whileReadable, commit }, step, stepOptions),
    commit,
    commitAlone: (prepare) => commitAlone(self, prepare),
    flush: PendingWrites.flush(queue),
    flushQuietly: PendingWrites.flushQuietly(queue),
    checks: committing.checks,
    subscribe: (subscription) => ChangeFeed.subscribe(changes, subscription),
    subscribeToLog: (logOptions) =>
      LogFollower.make({ path: name, numbers, commits, isClosed: server.isClosed }, logOptions),
    hasLog: true,
    hasOtherWriters: true,
    opening,
    commits: (commitOptions) => CommitNumbers.subscribe(commits, commitOptions),
    committedSnapshot: () => Snapshots.openCommitted(snapshots),
    stats: stats(self),
    backup: (path) => Backup.run(path, databases(numbers), Snapshots.openCommitted(snapshots)),
    close: (beforeClosing) => close(self, beforeClosing)
  }
})
