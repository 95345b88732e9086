/**
 * Finds the canonical name of a path, so that two names of a file are recognized as one file.
 *
 * It uses the synchronous calls of Node.js: the asynchronous one makes a call for every folder of the path, which took a
 * tenth of the time of an opening.
 */
import * as Result from "effect/Result"
import { readlinkSync, realpathSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"

/** How many symbolic links are followed: Linux reports a loop after 40. */
const mostLinks = 40

/**
 * Returns the canonical name of a path that may not exist yet: resolves the part of it that exists, and links whose target
 * does not exist.
 */
export const canonicalPath = (given: string, links = 0): string => {
  const absolute = resolve(given)
  const real = Result.try(() => realpathSync.native(absolute))
  if (Result.isSuccess(real)) return real.success
  const parent = dirname(absolute)
  const target = links < mostLinks ? Result.getOrUndefined(Result.try(() => readlinkSync(absolute))) : undefined
  if (target !== undefined) return canonicalPath(resolve(parent, target), links + 1)
  return parent === absolute ? absolute : join(canonicalPath(parent, links), basename(absolute))
}
