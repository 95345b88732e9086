/**
 * Reads the figures that the library gives without a type.
 */
import * as Predicate from "effect/Predicate"
import { pageSize } from "./fileLimit.ts"

/** A figure by its name; 0 where there is none. */
export const figure = (figures: object, name: string): number =>
  Predicate.hasProperty(figures, name) && Predicate.isNumber(figures[name]) ? figures[name] : 0

const pagesOf = (tree: object): number =>
  figure(tree, "treeBranchPageCount") + figure(tree, "treeLeafPageCount") + figure(tree, "overflowPages")

/** The bytes of all pages in use: the trees of all databases, of their names, of the free list, and two meta pages. */
export const usedBytesOf = (file: object, databases: ReadonlyArray<object>): number => {
  const treeAt = (name: string): number =>
    Predicate.hasProperty(file, name) && Predicate.isObject(file[name]) ? pagesOf(file[name]) : 0
  let pages = treeAt("root") + treeAt("free") + 2
  for (const tree of databases) pages += pagesOf(tree)
  return pages * pageSize
}
