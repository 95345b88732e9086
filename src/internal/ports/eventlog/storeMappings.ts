/** Which store of a server the store ids of each identity mean. */
import * as Effect from "effect/Effect"
import { StoreId } from "effect/eventlog/EventLogMessage"
import { EventLogServerStoreError } from "effect/eventlog/EventLogServerUnencrypted"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as PortCollection from "../portCollection.ts"
import { replaceErrors } from "../portError.ts"
import { storageKey } from "../storageKey.ts"

const Mapping = Schema.Struct({ publicKey: Schema.String, storeId: StoreId, to: StoreId })

/** Opens the collection. A key is the identity, and the store id. */
export const open = PortCollection.make("effect.EventLogServer.storeMappings", {
  key: Schema.Tuple([Schema.String, Schema.String]),
  value: Mapping
})

/** The mappings of a server. */
export interface StoreMappings {
  readonly records: Effect.Success<typeof open>
  readonly name: string
}

/** An identity, and a store id of it. */
export interface Selection {
  readonly publicKey: string
  readonly storeId: StoreId
}

const ownerOf = ({ name }: StoreMappings, publicKey: string) => storageKey(JSON.stringify([name, publicKey]))

const keyOf = (self: StoreMappings, { publicKey, storeId }: Selection) =>
  [ownerOf(self, publicKey), storageKey(storeId)] as const

const orFail = ({ publicKey, storeId }: { readonly publicKey: string; readonly storeId?: StoreId }) =>
  replaceErrors(({ message }: Error) =>
    new EventLogServerStoreError({ reason: "PersistenceFailure", publicKey, storeId, message })
  )

/** Finds the store that a store id means. */
export const find = (self: StoreMappings, selection: Selection) =>
  self.records.get(keyOf(self, selection)).pipe(
    Effect.map(Option.map(({ to }) => to)),
    orFail(selection)
  )

/** Returns the store that a store id means. Fails with `NotFound` if it means none. */
export const resolve = Effect.fnUntraced(function*(self: StoreMappings, selection: Selection) {
  const found = yield* find(self, selection)
  if (Option.isSome(found)) return found.value
  return yield* new EventLogServerStoreError({
    reason: "NotFound",
    ...selection,
    message: `The identity ${selection.publicKey} has no store with the id ${selection.storeId}`
  })
})

export const assign = (self: StoreMappings, { publicKey, storeId, to }: Selection & { readonly to: StoreId }) =>
  self.records.put(keyOf(self, { publicKey, storeId }), { publicKey, storeId, to }, { durable: true }).pipe(
    orFail({ publicKey, storeId })
  )

export const unassign = (self: StoreMappings, selection: Selection) =>
  self.records.delete(keyOf(self, selection), { durable: true }).pipe(orFail(selection))

export const list = (self: StoreMappings, publicKey: string) =>
  self.records.collect({ prefix: [ownerOf(self, publicKey)] }).pipe(
    Effect.map((mappings) => mappings.map(({ storeId, to }) => ({ storeId, to }))),
    orFail({ publicKey })
  )
