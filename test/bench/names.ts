import * as Flag from "effect/cli/Flag"
import * as Schema from "effect/Schema"

/** A flag that takes names with commas between them. */
export const names = <A extends string>(flag: string, name: Schema.Literals<ReadonlyArray<A>>, description: string) =>
  Flag.String(flag).pipe(
    Flag.withDescription(description),
    Flag.filterMap(
      (text) => Schema.decodeUnknownOption(Schema.Array(name))(text.split(",")),
      () => `names among ${name.literals.join(",")}`
    )
  )
