/**
 * Suggests known names that are similar to an unknown one, for error messages.
 */

const mostShown = 2
const mostEdits = 3
/** A name with more characters is not compared, because the comparison takes quadratic time. */
const longestCompared = 40

/** How many letters must be added, removed, changed or swapped with the next one to make one text of the other. */
const editsBetween = (one: string, other: string): number => {
  let before: ReadonlyArray<number> = []
  let row = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (const [at, letter] of one.split("").entries()) {
    const next = [at + 1]
    for (let n = 1; n <= other.length; n++) {
      const changed = (row[n - 1] ?? 0) + (other[n - 1] === letter ? 0 : 1)
      const isSwapped = at > 0 && n > 1 && other[n - 2] === letter && other[n - 1] === one[at - 1]
      const swapped = isSwapped ? (before[n - 2] ?? 0) + 1 : Infinity
      next.push(Math.min(changed, swapped, (row[n] ?? 0) + 1, (next[n - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[other.length] ?? 0
}

/** Suggests similar names at the end of a message; returns an empty string if none is similar. */
export const similarTo = (name: string, names: ReadonlyArray<string>): string => {
  if (name.length > longestCompared) return ""
  const given = name.toLowerCase()
  const similar = names.map((known) => [known, editsBetween(given, known.toLowerCase())] as const)
    .filter(([known, edits]) =>
      // Three edits would change most of a short name.
      (edits <= mostEdits && edits < given.length / 2) ||
      (given.length >= 4 && known.toLowerCase().startsWith(given.slice(0, 4)))
    )
    .toSorted(([, a], [, b]) => a - b)
  // A name that differs only in upper and lower case is the only suggestion.
  const shown = similar[0]?.[1] === 0 ? similar.slice(0, 1) : similar.slice(0, mostShown)
  return shown.length === 0 ? "" : `; did you mean ${shown.map(([known]) => known).join(" or ")}?`
}
