/**
 * Splits a line of the shell into words, as a shell of the system does: quotation marks keep spaces, and a backslash keeps
 * the next character.
 */

/** A line, split into words. */
export interface Words {
  readonly words: ReadonlyArray<string>
  /** Where the last word begins in the line: the end of the line if it ends with a space. */
  readonly last: number
  /** Whether a quotation mark is not closed. */
  readonly isOpen: boolean
}

/** Splits a line. */
export const split = (line: string): Words => {
  const words: Array<string> = []
  let word: string | undefined
  let last = line.length
  let quote = ""
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at)
    if (quote === "" && /\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
      continue
    }
    if (word === undefined) {
      word = ""
      last = at
    }
    if (quote !== "") {
      if (character === quote) quote = ""
      else if (character === "\\" && quote === "\"") word += line.charAt(++at)
      else word += character
    } else if (character === "'" || character === "\"") quote = character
    else word += character === "\\" ? line.charAt(++at) : character
  }
  if (word === undefined) last = line.length
  else words.push(word)
  return { words, last, isOpen: quote !== "" }
}

/** Writes a word so that `split` reads it again. */
export const quoted = (word: string): string =>
  /^[\w./:@%+=,-]+$/.test(word) ? word : word.includes("'") ? JSON.stringify(word) : `'${word}'`
