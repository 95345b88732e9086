/**
 * Prints which packages an import of this package loads, other than `effect`, and how a store opens if `lmdb` cannot be
 * loaded at first and can be loaded later.
 *
 * Argument: the path of the store.
 */
import * as Effect from "effect/Effect"
import { registerHooks } from "node:module"
import * as process from "node:process"

const packages = new Set<string>()
let isMissing = true

registerHooks({
  resolve: (specifier, context, next) => {
    const [, name] = /^((?:@[^/]+\/)?[^./][^/]*)/.exec(specifier) ?? []
    if (name !== undefined && !name.startsWith("node:") && context.parentURL?.includes("/src/") === true) {
      packages.add(name)
      if (name === "lmdb" && isMissing) throw new Error("no such package")
    }
    return next(specifier, context)
  }
})

const [path = ""] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const { Store } = yield* Effect.promise(() => import("../../src/index.ts"))
  const imported = [...packages].toSorted()
  const error = yield* Effect.flip(Effect.scoped(Store.make({ path })))
  isMissing = false
  const size = yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.size))
  return { imported, tag: error.reason._tag, detail: error.reason.detail, size, opened: [...packages].toSorted() }
})

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
