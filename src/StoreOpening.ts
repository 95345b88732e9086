/**
 * Identifies the opening of a store by a process, for what a process claims in a store and cannot keep after its end.
 *
 * @since 0.2.0
 */
import type * as Effect from "effect/Effect"

/**
 * Identifies the opening of a store by a process, among those of all processes.
 *
 * **Details**
 *
 * A process opens a store once, however many handles it has: all of them have the same `StoreOpening`, which is the same
 * object. The opening ends when the last handle is closed, or when the process dies. After that it never writes to the store
 * again. Opening the store again makes another one.
 *
 * **Example** (A claim that its process cannot keep after its end)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Store } from "effect-lmdb"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* store.put("worker", store.opening.id)
 *   yield* Console.log(yield* store.opening.hasEnded(store.opening.id)) // => false
 *   // The opening of a process that was killed
 *   yield* Console.log(yield* store.opening.hasEnded("1")) // => true
 * })
 *
 * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
 * ```
 *
 * @category models
 * @since 0.2.0
 */
export interface StoreOpening {
  /** The name of the opening: no other opening has it. */
  readonly id: string
  /**
   * Whether this process can know that another opening has ended. If not, `hasEnded` is always `false`: on PostgreSQL, in a
   * shared store on macOS, and in a shared store with `lock: false`.
   */
  readonly knowsEnds: boolean
  /**
   * Tells whether an opening has certainly ended. It is `false` while it may go on.
   *
   * **Details**
   *
   * In a store without `shared` that can be written to, all others have ended: one process at a time can write. Otherwise the
   * lock files of the store tell which openings go on, also after `kill -9`. Where they do not, the result is `false`:
   * on PostgreSQL, on macOS, with `lock: false`, for a reader that may not write to the lock file, and for an `id` that is not one.
   */
  readonly hasEnded: (id: string) => Effect.Effect<boolean>
}
