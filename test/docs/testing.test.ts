/** The package loads neither what is for tests nor the interfaces of Effect; what is for tests loads no test runner. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("../..", import.meta.url))
const sources = resolve(repository, "src")
/** What a module and all that it imports import. */
const importsOf = (entry: string) => {
  const packages = new Set<string>()
  const files = new Set([resolve(sources, entry)])
  for (const file of files) {
    for (const [, target = ""] of readFileSync(file, "utf8").matchAll(/^(?:import|export) .*?from "([^"]+)"/gms)) {
      if (target.startsWith(".")) files.add(resolve(dirname(file), target))
      else packages.add(target)
    }
  }
  return { packages: [...packages], files: [...files].map((file) => relative(sources, file)) }
}

describe("the package", () => {
  it("does not load tools for tests", () => {
    const { files } = importsOf("index.ts")
    assert.isAbove(files.length, 50)
    assert.deepStrictEqual(files.filter((file) => file.startsWith("testing")), [])
  })

  it("loads none of the interfaces of Effect, each of which is a subpath", () => {
    const { files } = importsOf("index.ts")
    assert.deepStrictEqual(
      files.filter((file) =>
        /^internal\/ports\/|^(?:CircuitBreaker|Cluster|EventLog|KeyValueStore|PersistedQueue|Persistence|RateLimiter)\.ts$/
          .test(file)
      ),
      []
    )
  })

  it("has tools for tests that import no test runner", () => {
    const { files, packages } = importsOf("testing.ts")
    assert.include(files, "testing/BackendContract.ts")
    assert.isTrue(files.every((file) => existsSync(resolve(sources, file))))
    assert.deepStrictEqual(packages.filter((name) => name.includes("vitest")), [])
  })
})
