import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Snippets from "../support/snippets.ts"

const snippets = Snippets.fromMarkdown(readFileSync(new URL("../../README.md", import.meta.url), "utf8"))

layer(Snippets.Workshop.layer(snippets), { concurrent: true, excludeTestServices: true })("README.md", (it) => {
  it.effect("its snippets type-check", () =>
    Effect.gen(function*() {
      const workshop = yield* Snippets.Workshop
      const { exitCode, printed } = yield* workshop.check
      assert.strictEqual(exitCode, 0, printed.join("\n"))
    }))

  it.effect.each(snippets.filter((snippet) => snippet.isRun))(
    "the snippet at line $line runs and prints what it says",
    (snippet) =>
      Effect.gen(function*() {
        const workshop = yield* Snippets.Workshop
        const { errors, exitCode, printed } = yield* workshop.run(snippet)
        assert.strictEqual(exitCode, 0, errors)
        if (snippet.prints.length > 0) assert.deepStrictEqual(printed, snippet.prints)
      })
  )
})
