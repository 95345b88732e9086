/**
 * Accounts and counters that many use at once: money only moves, and each transaction
 * counts itself twice, so that whoever reads all in a transaction knows what must be.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import type { Random } from "./random.ts"

const accounts = 20

const balance = 1000

/** What all accounts have together. */
const total = accounts * balance

const openAccounts = Collection.make("accounts", {
  key: Schema.Int,
  value: Schema.Struct({ balance: Schema.Int }),
  indexes: { byBalance: { key: Schema.Int, of: (account: { readonly balance: number }) => account.balance } }
})

/** Opens the bank of a store. */
export const open = Effect.fnUntraced(function*(store: StoreService) {
  return { store, accounts: yield* Effect.provideService(openAccounts, Store, store) }
})

/** A bank. */
export type Bank = Effect.Success<ReturnType<typeof open>>

/** Gives each account its money. */
export const fill = ({ accounts: { putMany } }: Bank) =>
  putMany(Array.from({ length: accounts }, (_, number) => [number, { balance }] as const))

const numberOf = (value: Option.Option<unknown>): number => Number(Option.getOrElse(value, () => 0))

/** Counts up and gives the count. */
export const increment = (store: StoreService, key: string) =>
  Effect.flatMap(store.get(key), (value) => Effect.as(store.put(key, numberOf(value) + 1), numberOf(value) + 1))

const move = Effect.fnUntraced(function*({ accounts: { getOrFail, put } }: Bank, random: Random) {
  const from = random.below(accounts)
  const to = (from + random.between(1, accounts - 1)) % accounts
  const amount = random.below(50)
  const payer = yield* getOrFail(from)
  const payee = yield* getOrFail(to)
  yield* put(from, { balance: payer.balance - amount })
  yield* put(to, { balance: payee.balance + amount })
})

/** Moves money and counts, for all and for somebody, in one transaction. */
export const transfer = (bank: Bank, who: string, random: Random) =>
  bank.store.withTransaction(
    Effect.all([move(bank, random), increment(bank.store, "all"), increment(bank.store, `of ${who}`)])
  )

const sumOf = Stream.runFold(() => 0, (sum, value: number) => sum + value)

/** What does not agree in a bank, read in the transaction that this is in. */
const differencesIn = Effect.fnUntraced(function*({ accounts: { indexes, values }, store }: Bank) {
  const money = yield* sumOf(Stream.map(values(), (account) => account.balance))
  const again = yield* sumOf(Stream.map(indexes.byBalance.values({ reverse: true }), (account) => account.balance))
  const counts = yield* sumOf(Stream.map(store.values({ prefix: "of " }), Number))
  const all = numberOf(yield* store.get("all"))
  return money === total && again === total && counts === all
    ? []
    : [`accounts have ${money}, by their index ${again}, and not ${total}; ${counts} and ${all} were counted`]
})

/** Reads all in a transaction, and says what does not agree. */
export const audit = (bank: Bank) => bank.store.withTransaction(differencesIn(bank))

/** The same, and writes it down: nothing that was read may have changed until then. */
export const auditAndNote = (bank: Bank, who: string) =>
  bank.store.withTransaction(
    Effect.tap(differencesIn(bank), (differences) => bank.store.put(`audit of ${who}`, differences))
  )
