/** The snippets of the pages that the package ships do what they say, and the links lead somewhere. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { join, normalize } from "node:path"
import manifest from "../../package.json" with { type: "json" }
import * as Pages from "../support/pages.ts"
import * as Snippets from "../support/snippets.ts"

const snippets = Pages.all.flatMap(({ name, text }) => Snippets.fromMarkdown(name, text))

layer(Snippets.Workshop.layer(snippets), { concurrent: true, excludeTestServices: true })("the snippets", (it) => {
  it.effect("type-check", () =>
    Effect.gen(function*() {
      const workshop = yield* Snippets.Workshop
      const { exitCode, printed } = yield* workshop.check
      assert.strictEqual(exitCode, 0, printed.join("\n"))
    }))

  it.effect.each(snippets.filter((snippet) => snippet.isRun))(
    "$page: the snippet at line $line runs and prints what it says",
    (snippet) =>
      Effect.gen(function*() {
        const workshop = yield* Snippets.Workshop
        const { errors, exitCode, printed } = yield* workshop.run(snippet)
        assert.strictEqual(exitCode, 0, errors)
        if (snippet.prints.length > 0) assert.deepStrictEqual(printed, snippet.prints)
      })
  )
})

/** What npm packs, beside what `files` lists. */
const alwaysPacked = ["README.md", "LICENSE", "package.json"]

const isPacked = (file: string): boolean =>
  [...alwaysPacked, ...manifest.files].some((entry) => file === entry || file.startsWith(`${entry}/`))

/** The code of the programs under a heading of the second level. */
const programsUnder = (page: Pages.Page, heading: string): ReadonlyArray<string> => {
  const [before = "", after] = page.text.split(`\n## ${heading}\n`)
  const first = before.split("\n").length
  const last = first + (after?.split("\n## ")[0]?.split("\n").length ?? 0)
  return snippets
    .filter(({ isRun, line, page: name, prints }) =>
      isRun && prints.length > 0 && name === page.name && line > first && line <= last
    )
    .map(({ code }) => code)
}

const pageOf = (name: string): Pages.Page => Pages.all.find((page) => page.name === name) ?? { name, text: "" }

/** The subpaths that do not implement interfaces of Effect: one opens stores on a server, one looks into stores. */
const others = new Set(["Postgres", "Inspect"])

/** The subpaths that implement interfaces of Effect. */
const ports = Object.keys(manifest.exports)
  .map((subpath) => subpath.slice("./".length))
  .filter((name) => /^[A-Z]/.test(name) && !others.has(name))

describe("each storage interface", () => {
  it.each(ports)("%s has a row in the README with a link to a program that runs", (name) => {
    assert.include(pageOf("README.md").text, `\n| [\`effect-lmdb/${name}\`](docs/ports.md#${name.toLowerCase()}) `)
    const programs = programsUnder(pageOf("docs/ports.md"), name)
    assert.isTrue(programs.some((code) => code.includes(`from "effect-lmdb/${name}"`)))
  })
})

describe("the links", () => {
  it.each(Pages.all)("of $name lead to headings that exist, in files that are in the package", ({ name, text }) => {
    const anchors = new Map(Pages.all.map((page) => [page.name, Pages.anchorsOf(page.text)]))
    const relative = Pages.targetsOf(text).filter((target) => !/^https?:/.test(target))
    for (const target of relative) {
      const [path = "", anchor] = target.split("#")
      const file = path === "" ? name : normalize(join(name, "..", path))
      assert.isTrue(existsSync(join(Pages.repository, file)) && isPacked(file), target)
      if (anchor !== undefined) assert.include(anchors.get(file) ?? [], anchor, target)
    }
  })

  it("lead from the README to every page in docs", () => {
    const targets = Pages.targetsOf(pageOf("README.md").text).map((target) => target.split("#")[0])
    assert.includeMembers(targets, Pages.all.map(({ name }) => name).filter((name) => name.startsWith("docs/")))
  })
})
