/**
 * Says what is wrong with the path of a store or of a backup.
 */
import * as Predicate from "effect/Predicate"
import { describeKind } from "../value/kindOf.ts"

/** What is wrong with a path, if anything, and what to do. */
export const pathProblem = (path: unknown): string | undefined => {
  if (!Predicate.isString(path)) return `it must be the path of a folder or file, and is ${describeKind(path)}`
  if (path === "") return "it must be the path of a folder or file, and is empty"
  if (path.includes("\0")) return "it must be the path of a folder or file, and has a character NUL in it"
  if (/^file:/i.test(path)) return "it is a URL; give the path that fileURLToPath of node:url makes of it"
  if (path.startsWith("~")) {
    return "only a shell knows what ~ stands for; give the whole path, with homedir() of node:os in it, " +
      `or "./${path}" for a name that begins with ~`
  }
  return undefined
}
