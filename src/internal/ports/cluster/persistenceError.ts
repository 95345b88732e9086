/** The error of the storages of a cluster. */
import { PersistenceError } from "effect/cluster/ClusterError"
import { replaceErrors } from "../portError.ts"

/** Gives the error of the cluster in place of the errors of the store. */
export const orFail = replaceErrors((cause: unknown) => new PersistenceError({ cause }))
