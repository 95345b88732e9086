/**
 * Reads numbers of pages from the statistics of the library, whose type does not declare them.
 */
import * as Predicate from "effect/Predicate"
import { pageSize } from "./mapSize.ts"

/** A number in the statistics; 0 if it is missing. */
export const figure = (figures: object, name: string): number =>
  Predicate.hasProperty(figures, name) && Predicate.isNumber(figures[name]) ? figures[name] : 0

const treePagesOf = (tree: object): number =>
  figure(tree, "treeBranchPageCount") + figure(tree, "treeLeafPageCount") + figure(tree, "overflowPages")

/** The bytes of the pages of a database. */
export const bytesOf = (tree: object): number => treePagesOf(tree) * pageSize

/** The bytes of all used pages: all databases, the tree of their names, the list of free pages, and two meta pages. */
export const usedBytesOf = (file: object, databases: ReadonlyArray<object>): number => {
  const treeAt = (name: string): number =>
    Predicate.hasProperty(file, name) && Predicate.isObject(file[name]) ? treePagesOf(file[name]) : 0
  let pages = treeAt("root") + treeAt("free") + 2
  for (const tree of databases) pages += treePagesOf(tree)
  return pages * pageSize
}

/** How many pages a file had after the last commit. */
export const pagesOf = (file: object): number => figure(file, "lastPageNumber") + 1

/** How many pages of a file are free. */
export const freePagesOf = (file: object, databases: ReadonlyArray<object>): number =>
  pagesOf(file) - usedBytesOf(file, databases) / pageSize

/** Whether the list of free pages is on one page, or empty. */
export const isListOnOnePage = (file: object): boolean => {
  const list = Predicate.hasProperty(file, "free") && Predicate.isObject(file.free) ? file.free : {}
  return treePagesOf(list) <= 1
}
