/**
 * All methods for untyped records, for the store itself and for namespaces.
 */
import type { StoreRecords } from "../../StoreRecords.ts"
import * as BatchMethods from "./batchMethods.ts"
import * as ChangeMethods from "./changeMethods.ts"
import * as ModifyMethods from "./modifyMethods.ts"
import * as RangeMethods from "./rangeMethods.ts"
import * as ReadMethods from "./readMethods.ts"
import type { RecordInternals } from "./storeInternals.ts"
import * as StoreSnapshots from "./storeSnapshot.ts"
import * as WriteMany from "./writeMany.ts"
import * as WriteMethods from "./writeMethods.ts"

/** Makes the methods of one handle. */
export const make = (internals: RecordInternals): StoreRecords => {
  const { access } = internals
  return {
    ...ReadMethods.make(access),
    ...WriteMethods.make(internals),
    ...ModifyMethods.make(internals),
    ...BatchMethods.make(access),
    ...RangeMethods.make(access),
    ...ChangeMethods.make(access),
    writeMany: WriteMany.make(access),
    snapshot: StoreSnapshots.open(access)
  }
}
