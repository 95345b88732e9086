/**
 * Reads the figures that the library gives without a type.
 */
import * as Predicate from "effect/Predicate"
import { pageSize } from "./mapSize.ts"

/** A figure by its name; 0 where there is none. */
export const figure = (figures: object, name: string): number =>
  Predicate.hasProperty(figures, name) && Predicate.isNumber(figures[name]) ? figures[name] : 0

const treePagesOf = (tree: object): number =>
  figure(tree, "treeBranchPageCount") + figure(tree, "treeLeafPageCount") + figure(tree, "overflowPages")

/** The bytes of all pages in use: the trees of all databases, of their names, of the free list, and two meta pages. */
export const usedBytesOf = (file: object, databases: ReadonlyArray<object>): number => {
  const treeAt = (name: string): number =>
    Predicate.hasProperty(file, name) && Predicate.isObject(file[name]) ? treePagesOf(file[name]) : 0
  let pages = treeAt("root") + treeAt("free") + 2
  for (const tree of databases) pages += treePagesOf(tree)
  return pages * pageSize
}

/** How many pages a file has, as of the last commit. */
export const pagesOf = (file: object): number => figure(file, "lastPageNumber") + 1

/** How many of them are free. */
export const freePagesOf = (file: object, databases: ReadonlyArray<object>): number =>
  pagesOf(file) - usedBytesOf(file, databases) / pageSize

/** Whether the list of free pages has one page at the most. */
export const isListOnOnePage = (file: object): boolean => {
  const list = Predicate.hasProperty(file, "free") && Predicate.isObject(file.free) ? file.free : {}
  return treePagesOf(list) <= 1
}
