/** Records of many shapes, each shape of many records. */

const fields = ["id", "name", "active", "score", "tags", "inner"] as const

/** A record that its number tells: its fields, their order and what they hold. */
export const shapedRecord = (number: number): Record<string, unknown> => {
  const all: Record<(typeof fields)[number], unknown> = {
    id: number,
    name: `name ${number}`,
    active: number % 2 === 0,
    score: number / 3,
    tags: [{ tag: "a" }, { tag: "b" }],
    inner: { x: 64, y: number % 128 }
  }
  const shape = number % 40
  const turned = [...fields.slice(shape % fields.length), ...fields.slice(0, shape % fields.length)]
  return Object.fromEntries(turned.slice(0, 1 + shape % 5).map((name) => [name, all[name]]))
}
