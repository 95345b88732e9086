/** Stores on a backend whose reads wait, and whose reads and commits a test can hold back. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Backend, Reader } from "../../src/Backend.ts"
import type { RangeRequest } from "../../src/Engine.ts"
import { Store } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"

/** One operation of the backend. */
export type Operation =
  | { readonly _tag: "Read"; readonly database: string; readonly request: RangeRequest }
  | { readonly _tag: "Count"; readonly database: string }
  | { readonly _tag: "Databases" }
  | { readonly _tag: "Commit" }

/** The next operation that is held back. */
interface Hold {
  readonly isHeld: (operation: Operation) => boolean
  readonly begun: Deferred.Deferred<void>
  readonly released: Deferred.Deferred<void>
}

/** Holds back the result of the next operation of a kind. */
export interface Held {
  /** Waits until there is such an operation. A read has been made then; a commit has not begun. */
  readonly begun: Effect.Effect<void>
  /** Lets the operation go on. */
  readonly release: Effect.Effect<void>
}

const heldReader = (reader: Reader, pass: (operation: Operation) => Effect.Effect<void>): Reader => ({
  ...reader,
  read: (database, request) =>
    Effect.tap(Effect.suspend(() => reader.read(database, request)), () => pass({ _tag: "Read", database, request })),
  count: (database) => Effect.tap(Effect.suspend(() => reader.count(database)), () => pass({ _tag: "Count", database }))
})

/** Makes a backend of another one. Its reads wait, for no turn if nothing holds them back. */
export const make = Effect.fnUntraced(function*(inner: Backend) {
  const holds = new Set<Hold>()
  const pass = (operation: Operation): Effect.Effect<void> =>
    Effect.suspend(() => {
      for (const hold of holds) {
        if (!hold.isHeld(operation)) continue
        holds.delete(hold)
        return Effect.andThen(Deferred.succeed(hold.begun, undefined), Deferred.await(hold.released))
      }
      return Effect.void
    })
  const held: Backend = {
    ...inner,
    reader: heldReader(inner.reader, pass),
    databases: () => Effect.tap(Effect.suspend(() => inner.databases()), () => pass({ _tag: "Databases" })),
    commit: (request, admission) =>
      Effect.andThen(pass({ _tag: "Commit" }), Effect.suspend(() => inner.commit(request, admission)))
  }
  return {
    backend: yield* DelayedBackend.make(held, { turns: 0 }),
    /** Holds back the next operation for which the function returns true. */
    hold: (isHeld: (operation: Operation) => boolean): Effect.Effect<Held> =>
      Effect.sync(() => {
        const hold: Hold = { isHeld, begun: Deferred.makeUnsafe(), released: Deferred.makeUnsafe() }
        holds.add(hold)
        return { begun: Deferred.await(hold.begun), release: Effect.asVoid(Deferred.succeed(hold.released, undefined)) }
      })
  }
})

/** Opens a store at a path on such a backend. */
export const open = Effect.fnUntraced(function*(path: string) {
  const { backend, hold } = yield* Effect.flatMap(LocalBackend.make({ path }), make)
  return { store: yield* Store.makeWithBackend(Effect.succeed(backend), { name: path }), hold }
})
