/**
 * Opens namespaces: handles on untyped records that are in a database of their own.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { toBytes } from "../../Key.ts"
import { type Closed, type EngineFailure, NamespaceFailed, type NamespaceFailedReason } from "../../StoreError.ts"
import type { StoreNamespace } from "../../StoreNamespace.ts"
import { isName, nameRule } from "../databases.ts"
import { describeKind } from "../value/kindOf.ts"
import * as DatabaseCreation from "./databaseCreation.ts"
import * as RecordAccess from "./recordAccess.ts"
import * as RecordMethods from "./recordMethods.ts"
import * as StoreAccess from "./storeAccess.ts"
import type { StoreInternals } from "./storeInternals.ts"

const failed = (name: unknown, reason: NamespaceFailedReason, cause?: EngineFailure) =>
  new NamespaceFailed({
    reason,
    namespace: Predicate.isString(name) ? name.toWellFormed() : describeKind(name),
    ...(cause === undefined ? {} : { cause })
  })

/** Opens a namespace, and creates its database if it is missing. A transaction around the call does not undo that. */
export const open = (
  { access, transactions }: StoreInternals,
  name: string
): Effect.Effect<StoreNamespace, NamespaceFailed | Closed | EngineFailure> =>
  StoreAccess.enter(access, (): Effect.Effect<StoreNamespace, NamespaceFailed | Closed | EngineFailure> => {
    if (!isName(name)) return Effect.fail(failed(name, { _tag: "BadName", detail: `a name ${nameRule}.` }))
    const { core, keys } = access.handle
    const records = RecordAccess.ofNamespace(access, name)
    const whenFull = (cause: EngineFailure) =>
      failed(name, {
        _tag: "TooManyDatabases",
        detail: `${DatabaseCreation.tooManyDatabases} Where there are many of a kind, as tenants, use one collection ` +
          "with a tuple key."
      }, cause)
    return Effect.map(DatabaseCreation.ensure(access, [records.database], whenFull), () => {
      core.shownKeys.set(records.database, (key) => `${name}: ${keys.show(toBytes(key))}`)
      return { name, ...RecordMethods.make({ access: records, transactions }) }
    })
  })
