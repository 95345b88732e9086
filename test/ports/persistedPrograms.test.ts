/**
 * What Effect builds on `Persistence` and `BackingPersistence`, on a store: `PersistedCache`, `RequestResolver.persisted`
 * and `Chat.layerPersisted`. Each is used by programs that end and start again.
 *
 * It has the cases of Effect's own suites (of 4.0.0-rc.111: `PersistedCacheTest.ts` and `ai/Chat.test.ts`) in other words.
 * Left out is which message id a chat chooses: the store has no part in that.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as Persistence from "effect/persistence/Persistence"
import * as Ref from "effect/Ref"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import { parrot } from "../support/fixtures/parrot.ts"
import { temporaryFolder } from "../support/harness.ts"

class User extends Schema.Class<User>("User")({ id: Schema.Int, name: Schema.String, at: Schema.DateFromString }) {}

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Int }) {}

class GetUser extends Persistable.Class<{ payload: { id: number } }>()("GetUser", {
  primaryKey: ({ id }) => `${id}`,
  success: User,
  error: NotFound
}) {}

const userOf = (id: number) => new User({ id, name: `User ${id}`, at: new Date(id) })

/** Finds users with an even id. */
const lookUp = ({ id }: GetUser) => id % 2 === 0 ? Effect.succeed(userOf(id)) : Effect.fail(new NotFound({ id }))

/** Runs a program on the store at a path, which is closed at the end. */
const session = <A, E>(path: string, program: Effect.Effect<A, E, Persistence.Persistence | Store>) =>
  Effect.provide(program, Layer.provideMerge(LmdbPersistence.layer(), Store.layer({ path })), { local: true })

const timeToLive: Persistable.TimeToLiveFn<GetUser> = (exit) => Exit.isSuccess(exit) ? "1 hour" : "1 minute"

describe("PersistedCache on a store", () => {
  it.effect("looks up once, also what fails, and again when the time of the result has passed", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const lookups = yield* Ref.make<ReadonlyArray<number>>([])
      /** The exits of two requests by a program of their own. */
      const asked = session(
        path,
        Effect.scoped(Effect.gen(function*() {
          const users = yield* PersistedCache.make(
            (request: GetUser) =>
              Effect.andThen(Ref.update(lookups, (ids) => [...ids, request.id]), Effect.suspend(() => lookUp(request))),
            { storeId: "users", timeToLive }
          )
          const get = (id: number) => Effect.exit(users.get(new GetUser({ id })))
          assert.deepStrictEqual(yield* get(2), yield* get(2))
          return [yield* get(2), yield* get(1)]
        }))
      )
      const expected = [Exit.succeed(userOf(2)), Exit.fail(new NotFound({ id: 1 }))]
      assert.deepStrictEqual(yield* asked, expected)
      assert.deepStrictEqual(yield* Ref.get(lookups), [2, 1])
      assert.deepStrictEqual(yield* asked, expected)
      assert.deepStrictEqual(yield* Ref.get(lookups), [2, 1])
      yield* TestClock.adjust("1 minute")
      yield* asked
      assert.deepStrictEqual(yield* Ref.get(lookups), [2, 1, 1])
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* asked, expected)
      assert.deepStrictEqual(yield* Ref.get(lookups), [2, 1, 1, 2, 1])
    }))

  it.effect("shares its results with `Persistence`, and forgets what is invalidated", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* session(
        path,
        Effect.scoped(Effect.gen(function*() {
          const persistence = yield* Persistence.Persistence
          const store = yield* persistence.make({ storeId: "users" })
          const users = yield* PersistedCache.make(lookUp, { storeId: "users", timeToLive })
          const [one, two, three] = [1, 2, 3].map((id) => new GetUser({ id }))
          if (one === undefined || two === undefined || three === undefined) return assert.fail()
          yield* users.get(two)
          assert.deepStrictEqual(yield* store.get(two), Exit.succeed(userOf(2)))
          yield* store.setMany([[one, Exit.succeed(userOf(1))], [two, Exit.fail(new NotFound({ id: 2 }))]])
          assert.deepStrictEqual(yield* users.get(one), userOf(1))
          assert.deepStrictEqual(yield* store.getMany([two, three, one]), [
            Exit.fail(new NotFound({ id: 2 })),
            undefined,
            Exit.succeed(userOf(1))
          ])
          yield* users.invalidate(two)
          assert.isUndefined(yield* store.get(two))
          assert.deepStrictEqual(yield* users.get(two), userOf(2))
        }))
      )
    }))

  class Names extends Context.Service<Names, { readonly name: string }>()("test/Names") {}

  it.effect("takes the services of the lookup from its caller", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* session(
        path,
        Effect.scoped(Effect.gen(function*() {
          const users = yield* PersistedCache.make(
            ({ id }: GetUser) => Effect.map(Names, ({ name }) => new User({ id, name, at: new Date(0) })),
            { storeId: "users", timeToLive, requireServicesAt: "lookup" }
          )
          const nameOf = (id: number, name: string) =>
            Effect.map(Effect.provideService(users.get(new GetUser({ id })), Names, { name }), (user) => user.name)
          assert.strictEqual(yield* nameOf(1, "a"), "a")
          assert.strictEqual(yield* nameOf(2, "b"), "b")
          assert.strictEqual(yield* nameOf(1, "c"), "a")
        }))
      )
    }))
})

/** The types of `RequestResolver.persisted` allow no other errors than those of `Persistence`. */
class FindUser extends Persistable.Class<{ payload: { id: number } }>()("FindUser", {
  primaryKey: ({ id }) => `${id}`,
  success: Schema.UndefinedOr(User)
}) {}

describe("RequestResolver.persisted on a store", () => {
  it.effect("asks the resolver for what is not stored, in one batch", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const batches: Array<ReadonlyArray<number>> = []
      const resolver = RequestResolver.make<FindUser>((entries) =>
        Effect.sync(() => {
          batches.push(entries.map(({ request }) => request.id))
          for (const entry of entries) {
            const { id } = entry.request
            entry.completeUnsafe(Exit.succeed(id % 2 === 0 ? userOf(id) : undefined))
          }
        })
      )
      /** The results of some requests by a program of their own, which ends when they are stored. */
      const asked = (...ids: ReadonlyArray<number>) =>
        session(
          path,
          Effect.scoped(Effect.gen(function*() {
            const persistence = yield* Persistence.Persistence
            const store = yield* persistence.make({ storeId: "users" })
            const persisted = yield* RequestResolver.persisted(resolver, {
              storeId: "users",
              timeToLive: (exit) => Exit.isSuccess(exit) && exit.value === undefined ? "1 minute" : Duration.infinity
            })
            const requests = ids.map((id) => new FindUser({ id }))
            const results = yield* Effect.forEach(requests, (request) => Effect.request(request, persisted), {
              concurrency: "unbounded"
            })
            // The resolver gives results before it stores them
            yield* Effect.repeat(Effect.andThen(Effect.yieldNow, store.getMany(requests)), {
              until: (stored) => stored.every((exit) => exit !== undefined)
            })
            return results
          }))
        )
      assert.deepStrictEqual(yield* asked(2, 1), [userOf(2), undefined])
      assert.deepStrictEqual(yield* asked(2, 1, 4), [userOf(2), undefined, userOf(4)])
      assert.deepStrictEqual(batches, [[2, 1], [4]])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* asked(2, 1), [userOf(2), undefined])
      assert.deepStrictEqual(batches, [[2, 1], [4], [1]])
    }))
})

describe("Chat.layerPersisted on a store", () => {
  const Model = Layer.effect(LanguageModel.LanguageModel, parrot)

  const layerAt = (path: string) =>
    Layer.merge(
      Layer.provideMerge(
        Chat.layerPersisted({ storeId: "chats" }),
        Layer.provide(LmdbPersistence.layerBacking({ durable: true }), Store.layer({ path }))
      ),
      Model
    )

  /** What the model says in a turn of a program of its own. */
  const turn = (path: string, prompt: string, chatLives?: Duration.Input) =>
    Effect.gen(function*() {
      const chats = yield* Chat.Persistence
      const chat = yield* chats.getOrCreate("1", { timeToLive: chatLives })
      return (yield* chat.generateText({ prompt })).text
    }).pipe((effect) => Effect.provide(effect, layerAt(path), { local: true }))

  it.effect("continues a chat where the last program has left it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      assert.strictEqual(yield* turn(path, "hello"), "1 messages")
      assert.strictEqual(yield* turn(path, "again"), "3 messages")
      yield* Effect.gen(function*() {
        const chats = yield* Chat.Persistence
        const chat = yield* chats.get("1")
        const { content } = yield* Ref.get(chat.history)
        assert.deepStrictEqual(content.map(({ role }) => role), ["user", "assistant", "user", "assistant"])
        assert.strictEqual((yield* Effect.flip(chats.get("2")))._tag, "ChatNotFoundError")
        // What is stored is what the chat exports
        const backing = yield* Persistence.BackingPersistence
        const store = yield* Effect.scoped(backing.make("chats"))
        assert.deepStrictEqual(yield* store.get("1"), yield* chat.export)
      }).pipe((effect) => Effect.provide(effect, layerAt(path), { local: true }))
    }))

  it.effect("forgets a chat when its time to live has passed since the last turn", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      assert.strictEqual(yield* turn(path, "hello", "30 days"), "1 messages")
      yield* TestClock.adjust("20 days")
      assert.strictEqual(yield* turn(path, "again", "30 days"), "3 messages")
      yield* TestClock.adjust("20 days")
      assert.strictEqual(yield* turn(path, "still", "30 days"), "5 messages")
      yield* TestClock.adjust("30 days")
      assert.strictEqual(yield* turn(path, "hello", "30 days"), "1 messages")
    }))

  it.effect(
    "has each turn on disk with `durable`, so that a killed process loses nothing",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const program = new URL("../programs/chatTurn.ts", import.meta.url).pathname
        for (const [prompt, answer] of [["hello", "1 messages\n"], ["again", "3 messages\n"]] as const) {
          const { signal, stderr, stdout } = spawnSync(process.execPath, [program, path, prompt], { encoding: "utf8" })
          assert.deepStrictEqual({ signal, stderr, stdout }, { signal: "SIGKILL", stderr: "", stdout: answer })
        }
        assert.strictEqual(yield* turn(path, "here"), "5 messages")
      }),
    180_000
  )
})
