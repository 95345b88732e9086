/**
 * Computes the size of the native map from the limit of a file. The map is smaller than the limit by reserved pages,
 * so that the end of a commit, which allocates pages after the batch is written, never exceeds the limit.
 */

/** The size of a page in bytes, in all files that this package creates. */
export const pageSize = 4096

/** Pages for deletions: deleting takes pages too, and LMDB reuses freed pages only two transactions later. */
const emergencyPages = 16

/** How many numbers of the list of free pages fit into a page. */
export const numbersPerPage = 500

/**
 * The most pages that the end of a commit allocates after the end of the file. They are for the list
 * of the pages that the commit freed, which is written after the batch.
 */
export const lastPages = (freed: number): number => 2 + Math.ceil(freed / numbersPerPage)

/**
 * Reserved pages for the ends of commits. They suffice for one commit and a clear after it. If the
 * file extends into them, each commit is tried out first (`transact` in `lmdbTransaction.ts`).
 */
const commitPages = (pages: number): number => 4 + 2 * lastPages(pages)

/** The size of the native map, in bytes, for a file that may have up to `mapSize` bytes. */
export const mapSizeFor = (mapSize: number, useReserve: boolean): number => {
  const pages = Math.floor(mapSize / pageSize)
  return (pages - commitPages(pages) - (useReserve ? 0 : emergencyPages)) * pageSize
}

/**
 * The size, in bytes, with which the native map is opened. A file that was created under a higher limit may
 * extend into the reserved pages already. Deletions may then use every page up to the limit, because each
 * commit is tried out first.
 */
export const openedMapSizeFor = (mapSize: number, useReserve: boolean, fileBytes: number): number => {
  const size = mapSizeFor(mapSize, useReserve)
  return useReserve && fileBytes > size ? Math.max(size, Math.floor(mapSize / pageSize) * pageSize) : size
}

/** The map size, in bytes, with which a store opens a file. It is larger than `mapSize` if the file is longer. */
export const mapSizeOf = (
  pages: number,
  wanted: { readonly mapSize: number; readonly maxMapSize: number | undefined }
): number => {
  if (pages * pageSize <= wanted.mapSize) return wanted.mapSize
  const sufficient = (pages + commitPages(pages) + emergencyPages) * pageSize
  const limit = wanted.maxMapSize ?? sufficient
  return pages * pageSize <= limit ? Math.min(sufficient, limit) : sufficient
}
