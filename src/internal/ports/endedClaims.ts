/**
 * Frees the claims of elements whose process has ended, at once and not when their leases end.
 *
 * Each claim has the opening of the store in which it was made. Each opening in which a claim was made is a record of its
 * own. So a look for openings that have ended reads a few records, and reads the leased elements only if there is one.
 * If it cannot be known that an opening has ended, there are neither these records nor looks: claims end with their leases.
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { StoreService } from "../../StoreService.ts"
import * as Damage from "./damage.ts"
import * as PortCollection from "./portCollection.ts"
import type { Element, Elements } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"

/** Opens the collection of the openings: when each began to claim, in milliseconds, by its id. */
export const open = PortCollection.make("effect.PersistedQueue.openings", { key: Schema.String, value: Schema.Number })

export interface EndedClaims {
  readonly store: StoreService
  readonly elements: Elements
  readonly openings: Effect.Success<typeof open>
  readonly damage: Damage.Damage
}

/** An id that no opening has. In a store that other processes cannot write to, it has ended as all others have. */
const noOpening = ""

/** Returns the opening that has claimed an element. Claims of earlier versions of the package have none. */
const openingOf = ({ lease }: Element): string => lease?.opening ?? noOpening

/** The most elements that a transaction frees. */
const batchSize = 1000

/** The time between two looks for openings that have ended, in milliseconds. */
const interval = 5000

const endedOf = ({ store }: EndedClaims, openings: Iterable<string>) =>
  Effect.filter([...new Set(openings)], store.opening.hasEnded)

/**
 * Returns those of the stored openings that have ended; `undefined` if the key of one is damaged, so that others may be
 * unknown.
 */
const endedOpenings = (self: EndedClaims) =>
  Stream.runCollect(self.openings.keys()).pipe(
    Effect.flatMap((openings) => endedOf(self, openings)),
    Effect.catchTag("KeyEncoding", (error) =>
      Effect.as(
        Damage.report(
          self.damage,
          error,
          "A record of the processes that take elements of queues is damaged. Looks for processes that have ended take longer"
        ),
        undefined
      ))
  )

/** Frees those of the elements that openings which have ended have claimed. */
const freeElements = (
  { elements, store }: EndedClaims,
  ended: ReadonlySet<string>,
  keys: ReadonlyArray<QueueElements.Key>
) =>
  store.withTransaction(Effect.gen(function*() {
    const { found } = yield* Damage.getEach(elements, keys)
    // Another process may have freed an element before, and claimed it.
    const claimed = [...found].filter(([, element]) => element.lease !== undefined && ended.has(openingOf(element)))
    yield* elements.putMany(claimed.map(([key, element]) => [key, QueueElements.free(element)]))
  }))

/** Frees all claims of openings that have ended. Reads the leased elements, and no others. */
const freeAll = Effect.fnUntraced(function*(self: EndedClaims) {
  // They claim nothing after this, so the leased elements that are read below include all of their claims.
  const known = yield* endedOpenings(self)
  // Values, because the key of an element that is damaged would end the stream.
  const leased = yield* self.elements.indexes.leased.values({ undecodable: "result" }).pipe(
    Stream.filterMap((row) =>
      Result.map(row, (element) => ({ key: QueueElements.keyOf(element), opening: openingOf(element) }))
    ),
    Stream.runCollect
  )
  const ended = new Set(yield* endedOf(self, leased.map(({ opening }) => opening)))
  const keys = leased.filter(({ opening }) => ended.has(opening)).map(({ key }) => key)
  yield* Effect.forEach(Array.chunksOf(keys, batchSize), (batch) => freeElements(self, ended, batch), { discard: true })
  if (known !== undefined && known.length > 0) yield* self.openings.deleteMany(known)
})

/**
 * Frees the claims of the openings that have ended by now. In a store that no other process can write to, these are all
 * other openings. A read-only store keeps them.
 */
export const free = (self: EndedClaims) =>
  self.store.opening.knowsEnds ? Effect.catchTag(freeAll(self), "ReadOnly", () => Effect.void) : Effect.void

/** Looks for openings that have ended and frees their claims, again and again, if other processes can write to the store. */
export const keepFreeing = (self: EndedClaims): Effect.Effect<void> => {
  const look = Effect.gen(function*() {
    const ended = yield* endedOpenings(self)
    if (ended === undefined || ended.length > 0) yield* free(self)
  })
  const looks = Effect.sleep(interval).pipe(
    Effect.andThen(
      look.pipe(
        Effect.tapError((error) =>
          error._tag === "Closed"
            ? Effect.void
            : Effect.logWarning("Failed to free the claims of processes that have ended", error)
        ),
        Effect.ignore
      )
    ),
    Effect.forever
  )
  if (!self.store.opening.knowsEnds) return Effect.void
  return Effect.flatMap(
    self.store.opening.hasEnded(noOpening),
    (isAlone) => isAlone ? Effect.void : looks
  ).pipe(Effect.withTracerEnabled(false))
}
