/**
 * Checks the path of a store or of a backup before it is used.
 */
import * as Predicate from "effect/Predicate"
import { describeKind } from "../value/kindOf.ts"

/** Says what is wrong with a path and what to do, or returns `undefined`. */
export const pathProblem = (path: unknown): string | undefined => {
  if (!Predicate.isString(path)) return `it must be the path of a folder or file, and is ${describeKind(path)}`
  if (path === "") return "it must be the path of a folder or file, and is empty"
  if (path.includes("\0")) return "it must be the path of a folder or file, and has a character NUL in it"
  if (/^file:/i.test(path)) return "it is a URL; convert it to a path with fileURLToPath of node:url"
  if (path.startsWith("~")) {
    return "only a shell knows what ~ stands for; give the whole path, for example with homedir() of node:os, " +
      `or "./${path}" for a name that begins with ~`
  }
  return undefined
}
