/** Reads the pages that the package ships: their links and their headings. */
import MarkdownIt, { type Token } from "markdown-it"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The top folder of the repository. */
export const repository = fileURLToPath(new URL("../..", import.meta.url))

/** A markdown text that the package ships. */
export interface Page {
  /** Its file, from the top of the repository. */
  readonly name: string
  readonly text: string
}

const read = (name: string): Page => ({ name, text: readFileSync(join(repository, name), "utf8") })

const docs: ReadonlyArray<string> = readdirSync(join(repository, "docs")).filter((name) => name.endsWith(".md"))

/** All of them. */
export const all: ReadonlyArray<Page> = [
  "README.md",
  "AGENTS.md",
  "CHANGELOG.md",
  ...docs.map((name) => `docs/${name}`)
]
  .map(read)

/** The tokens of the paragraphs, headings and cells of a text. */
const inlineTokensOf = (text: string): ReadonlyArray<Token> =>
  new MarkdownIt().parse(text, {}).flatMap(({ children }) => children ?? [])

/** The targets of the links and images of a text. */
export const targetsOf = (text: string): ReadonlyArray<string> =>
  inlineTokensOf(text).flatMap((token) => {
    const target = token.attrGet(token.type === "image" ? "src" : "href")
    return typeof target === "string" ? [target] : []
  })

/** The anchors of the headings of a text, as GitHub and npm make them. */
export const anchorsOf = (text: string): ReadonlyArray<string> => {
  const tokens = new MarkdownIt().parse(text, {})
  return tokens.flatMap((token, at) =>
    token.type === "heading_open"
      ? [(tokens[at + 1]?.content ?? "").toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")]
      : []
  )
}
