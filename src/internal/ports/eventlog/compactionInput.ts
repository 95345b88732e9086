/**
 * What a compaction reads: its input, which is the set of the generation to which its stage is pinned and then the originals
 * after it, and what it has staged.
 *
 * A client may read slowly, so each page is read in a transaction of its own. Nothing in it can have changed, as long as the
 * stage is open or its generation is not pruned.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption"
import type * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CallerFailure } from "../callerFailure.ts"
import type { Compaction } from "./compactionStage.ts"
import { openStage, pinnedOf, transact } from "./compactionStage.ts"
import * as Batches from "./encryptedBatches.ts"
import type { Activation, Stage } from "./generations.ts"
import * as Snapshots from "./snapshots.ts"

/** How many batches a transaction reads. A batch of Effect's clients has up to 256 KiB of payload. */
export const pageSize = 100

type NotFound = EventLogServerEncrypted.CompactionNotFound

type Methods = EventLogServerEncrypted.StorageCompaction

/** Streams pages until one is not full. `readAfter` reads the page after a position, inside a transaction. */
const paged = <A, E>(
  self: Compaction,
  first: number,
  readAfter: (after: number) => Effect.Effect<ReadonlyArray<A>, E | CallerFailure<NotFound>>,
  positionOf: (item: A) => number
): Stream.Stream<A, NotFound> =>
  Stream.paginate(first, (after) =>
    Effect.map(transact(self, readAfter(after)), (items) => {
      const last = items.at(-1)
      const next = items.length < pageSize || last === undefined ? Option.none() : Option.some(positionOf(last))
      return [items, next] as const
    }))

/** Reads an open stage and the generation to which it is pinned. */
const inputStage = (self: Compaction, list: string, stageId: string) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    transact(
      self,
      Effect.gen(function*() {
        const { stage } = yield* openStage(self, list, stageId, now)
        return { stage, pinned: yield* pinnedOf(self, list, stage) }
      })
    ))

/** Streams the headers of the input of a stage, in its order. */
export const inputHeaders = (self: Compaction, list: string, stageId: string): ReturnType<Methods["inputHeaders"]> =>
  inputStage(self, list, stageId).pipe(
    Effect.map(({ pinned: { base, set }, stage }) => {
      const guarded = <A, E>(read: Effect.Effect<A, E>) => Effect.andThen(pinnedOf(self, list, stage), read)
      const snapshot = set === undefined ? Stream.empty : paged(
        self,
        -1,
        (after) => guarded(Snapshots.readAfter(self.snapshots, set, after, pageSize)),
        ({ position }) => position
      )
      const originals = paged(
        self,
        base,
        (after) => guarded(Batches.readAfter(self.batches, list, after, { through: stage.through, limit: pageSize })),
        Batches.lastOf
      )
      return Stream.concat(
        Stream.map(snapshot, ({ batch: { entryIds }, sequence }) => ({ sequence, entryIds })),
        Stream.map(originals, ({ entryIds, sequence }) => ({ sequence, entryIds }))
      )
    }),
    Stream.unwrap
  )

const findInput = (
  self: Compaction,
  list: string,
  { pinned: { base, set }, stage: { through } }: { readonly stage: Stage; readonly pinned: Activation },
  sequence: number
) => {
  if (sequence > through) return Effect.undefined
  if (sequence > base) return Batches.find(self.batches, list, sequence)
  return set === undefined ? Effect.undefined : Snapshots.find(self.snapshots, set, sequence)
}

/** Streams those batches of the input of a stage that begin with the given numbers, in the order of the call. */
export const fetch = (
  self: Compaction,
  list: string,
  stageId: string,
  sequences: ReadonlyArray<number>
): ReturnType<Methods["fetch"]> =>
  inputStage(self, list, stageId).pipe(
    Effect.map((input) =>
      Stream.fromIterable(sequences).pipe(
        Stream.grouped(pageSize),
        Stream.mapEffect((page) =>
          transact(
            self,
            Effect.gen(function*() {
              yield* pinnedOf(self, list, input.stage)
              const found: Array<EncryptedRemoteBatch> = []
              for (const sequence of page) {
                const batch = yield* findInput(self, list, input, sequence)
                if (batch !== undefined) found.push(batch)
              }
              return found
            })
          )
        ),
        Stream.flattenIterable
      )
    ),
    Stream.unwrap
  )

/** Streams the headers of what was staged, in the order of the positions. */
export const stagedHeaders = (self: Compaction, list: string, stageId: string): ReturnType<Methods["stagedHeaders"]> =>
  Clock.currentTimeMillis.pipe(
    Effect.map((now) =>
      paged(
        self,
        -1,
        (after) =>
          Effect.andThen(
            openStage(self, list, stageId, now),
            Snapshots.readAfter(self.snapshots, stageId, after, pageSize)
          ),
        ({ position }) => position
      )
    ),
    Stream.unwrap,
    Stream.map(({ batch: { entryIds }, position }) => ({ position, entryIds }))
  )
