/**
 * Names that may have been meant where a name is not known.
 */

const mostShown = 2
const mostEdits = 3
const longestCompared = 40

/** How many letters must be added, left out or changed to make one text of another. */
const editsBetween = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (const [at, letter] of one.split("").entries()) {
    const next = [at + 1]
    for (let n = 1; n <= other.length; n++) {
      const changed = (row[n - 1] ?? 0) + (other[n - 1] === letter ? 0 : 1)
      next.push(Math.min(changed, (row[n] ?? 0) + 1, (next[n - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}

/** Asks whether a known name was meant, for the end of a message. It is empty where none is similar. */
export const similarTo = (name: string, names: ReadonlyArray<string>): string => {
  if (name.length > longestCompared) return ""
  const given = name.toLowerCase()
  const similar = names.map((known) => [known, editsBetween(given, known.toLowerCase())] as const)
    .filter(([known, edits]) =>
      // Three letters of a short name are most of it.
      (edits <= mostEdits && edits < given.length / 2) ||
      (given.length >= 4 && known.toLowerCase().startsWith(given.slice(0, 4)))
    )
    .toSorted(([, a], [, b]) => a - b)
  // The same letters leave no doubt.
  const shown = similar[0]?.[1] === 0 ? similar.slice(0, 1) : similar.slice(0, mostShown)
  return shown.length === 0 ? "" : `; is ${shown.map(([known]) => known).join(" or ")} meant?`
}
