/**
 * How many pages of a file are held back, so that a commit never passes its limit.
 */

/** The size of a page in bytes, in all files that this package makes. */
export const pageSize = 4096

/** Pages held back for deletions: a full file needs some to delete anything, and to let what was freed come of age. */
const reservePages = 16

/** How many page numbers of the list of free pages fill a page. */
export const numbersPerPage = 500

/**
 * The most pages that the end of a commit takes from behind the end of the file,
 * after the batch is written: for the list of the pages that it freed.
 */
export const lastPages = (freed: number): number => 2 + Math.ceil(freed / numbersPerPage)

/**
 * Pages held back for that. They suffice for one commit and a clear after it; once
 * the file is that long, commits are tried out first (`transact`).
 */
const commitPages = (pages: number): number => 4 + 2 * lastPages(pages)

/** The size of the native map, in bytes, for a file that may not be longer than `mapSize`. */
export const mapSizeFor = (mapSize: number, useReserve: boolean): number => {
  const pages = Math.floor(mapSize / pageSize)
  return (pages - commitPages(pages) - (useReserve ? 0 : reservePages)) * pageSize
}

/**
 * The size that the native map is opened with, in bytes. A file that was made under a higher limit may be
 * so long that it is in the pages held back already: every page up to the limit is then there for deletions,
 * since commits are tried out.
 */
export const openedMapSizeFor = (mapSize: number, useReserve: boolean, fileBytes: number): number => {
  const size = mapSizeFor(mapSize, useReserve)
  return useReserve && fileBytes > size ? Math.max(size, Math.floor(mapSize / pageSize) * pageSize) : size
}

/** The size of the map, in bytes, that a file is opened with; a file may be longer than what is asked for. */
export const mapSizeOf = (
  pages: number,
  wanted: { readonly mapSize: number; readonly maxMapSize: number | undefined }
): number => {
  if (pages * pageSize <= wanted.mapSize) return wanted.mapSize
  const roomy = (pages + commitPages(pages) + reservePages) * pageSize
  const limit = wanted.maxMapSize ?? roomy
  return pages * pageSize <= limit ? Math.min(roomy, limit) : roomy
}
