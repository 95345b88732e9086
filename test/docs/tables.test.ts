/** The tables of the README list every option with its variable, and every error with its fields. */
import { assert, describe, it } from "@effect/vitest"
import * as Predicate from "effect/Predicate"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as CollectionError from "../../src/CollectionError.ts"
import * as StoreError from "../../src/StoreError.ts"
import * as StoreTransfer from "../../src/StoreTransfer.ts"
import { repository } from "../support/pages.ts"

const read = (file: string): string => readFileSync(join(repository, file), "utf8")

const readme = read("README.md")

/** The rows of the table under a heading, without the two at its top. */
const rowsUnder = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const section = readme.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""
  const lines = section.split("\n").filter((line) => line.startsWith("|"))
  return lines.slice(2).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", "")))
}

const cellsOf = (rows: ReadonlyArray<ReadonlyArray<string>>, column: number): ReadonlyArray<string> =>
  rows.map((row) => row[column] ?? "").filter((cell) => cell !== "")

/** What else can be read from the errors of a class. */
const gettersOf = (error: object): ReadonlyArray<string> =>
  Object.entries(Object.getOwnPropertyDescriptors(Predicate.hasProperty(error, "prototype") ? error.prototype : {}))
    .flatMap(([name, descriptor]) => name === "message" || Reflect.get(descriptor, "get") === undefined ? [] : [name])

/** The fields of the errors that a module exports, by their tags. */
const fieldsIn = (module: object): ReadonlyArray<readonly [string, ReadonlyArray<string>]> =>
  Object.entries(module).flatMap(([name, exported]) =>
    Predicate.isFunction(exported) && Predicate.hasProperty(exported, "fields") &&
      Predicate.hasProperty(exported.fields, "_tag")
      ? [[name, [...Object.keys(exported.fields).filter((field) => field !== "_tag"), ...gettersOf(exported)]] as const]
      : []
  )

describe("README.md", () => {
  it("lists every option", () => {
    const [, declaration = ""] = /export interface StoreOptions \{(.*?)^\}/ms.exec(read("src/StoreOptions.ts")) ?? []
    const options = Array.from(
      declaration.matchAll(/^ {2}readonly (\w+)\??:/gm),
      ([, name = ""]) => name
    )
    assert.sameMembers([...cellsOf(rowsUnder("Options"), 0)], options)
  })

  it("lists every environment variable next to its option", () => {
    const variables = Array.from(
      read("src/StoreLive.ts").matchAll(/^ +(\w+): .*?"(STORE_\w+)"/gm),
      ([, option = "", variable = ""]) => `${option} ${variable}`
    )
    const rows = rowsUnder("Options").filter((row) => row[3] !== "")
    assert.isAbove(variables.length, 20)
    assert.sameMembers(rows.map((row) => `${row[0]} ${row[3]}`), variables)
  })

  it("lists every error with its fields", () => {
    const errors = [...fieldsIn(StoreError), ...fieldsIn(StoreTransfer), ...fieldsIn(CollectionError)]
    const rows = rowsUnder("Errors")
    assert.sameMembers([...cellsOf(rows, 0)], errors.map(([tag]) => tag))
    for (const [tag, fields] of errors) {
      const row = rows.find(([name]) => name === tag)
      assert.sameMembers((row?.[1] ?? "").split(" "), [...fields], tag)
    }
  })
})
