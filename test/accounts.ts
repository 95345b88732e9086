/** Two collections that belong together: accounts, and the transfers between them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../src/index.ts"
import { all } from "./collections.ts"

const Transfer = Schema.Struct({ from: Schema.String, to: Schema.String, credits: Schema.Int })

/** Credits by account; an index of those who owe. */
export const accounts = Collection.make("accounts", {
  key: Schema.String,
  value: Schema.Int,
  indexes: { byCredits: { key: Schema.Int, of: (credits) => credits } }
})

/** Transfers by name, with an index of the accounts that they touch. */
export const transfers = Collection.make("transfers", {
  key: Schema.String,
  value: Transfer,
  indexes: { byAccount: { key: Schema.String, of: ({ from, to }) => [from, to] } }
})

const add = (amount: number) => (current: Option.Option<number>) =>
  Option.some(Option.getOrElse(current, () => 0) + amount)

/** Moves credits, and notes it, as one. */
export const transfer = Effect.fnUntraced(function*(
  name: string,
  [from, to]: readonly [string, string],
  credits: number,
  inTheMiddle: Effect.Effect<void> = Effect.void
) {
  const store = yield* Store
  const { update } = yield* accounts
  const { insert } = yield* transfers
  yield* store.withTransaction(Effect.gen(function*() {
    yield* update(from, add(-credits))
    yield* inTheMiddle
    yield* update(to, add(credits))
    yield* insert(name, { from, to, credits })
  }))
})

/** What the accounts must have by the transfers, and what they have; both checked against the indexes. */
export const balances = Effect.gen(function*() {
  const store = yield* Store
  const { entries, verify } = yield* accounts
  const noted = yield* transfers
  return yield* store.withTransaction(Effect.gen(function*() {
    const expected = new Map<string, number>()
    for (const { credits, from, to } of yield* all(noted.values())) {
      expected.set(from, (expected.get(from) ?? 0) - credits)
      expected.set(to, (expected.get(to) ?? 0) + credits)
    }
    return {
      present: new Map(yield* all(entries())),
      expected,
      count: yield* noted.size,
      problems: [...yield* verify, ...yield* noted.verify]
    }
  }))
})
