/**
 * Tells a configuration value that exists and is empty from one that is missing. The providers of Effect
 * return `undefined` for both.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

type Path = ConfigProvider.Path

/** Whether the configuration at the path `around` has an entry with this name. */
const isListed = (
  provider: ConfigProvider.ConfigProvider,
  around: Path,
  name: string
): Effect.Effect<boolean, ConfigProvider.SourceError> =>
  Effect.map(provider.load(around), (node) => node !== undefined && node._tag === "Record" && node.keys.has(name))

/**
 * Whether a path exists and is empty, if a provider returns nothing for it. A provider of a record lists names as they
 * are. A provider of environment variables lists the parts of names between underscores.
 */
const isBlank = (
  provider: ConfigProvider.ConfigProvider,
  path: Path
): Effect.Effect<boolean, ConfigProvider.SourceError> => {
  const name = path.at(-1)
  if (typeof name !== "string") return Effect.succeed(false)
  const around = path.slice(0, -1)
  const parts = [...around, ...name.split("_")]
  const last = String(parts.at(-1))
  return Effect.flatMap(
    isListed(provider, around, name),
    (exists) =>
      exists ?
        Effect.succeed(true) :
        Effect.flatMap(
          provider.load(parts),
          (node) => node === undefined ? isListed(provider, parts.slice(0, -1), last) : Effect.succeed(false)
        )
  )
}

/** Makes a provider that returns an empty text for a value that exists and is empty. */
export const keeping = (provider: ConfigProvider.ConfigProvider): ConfigProvider.ConfigProvider =>
  ConfigProvider.make((path) =>
    Effect.flatMap(provider.load(path), (node) =>
      node !== undefined
        ? Effect.succeed(node)
        : Effect.map(isBlank(provider, path), (exists) => exists ? ConfigProvider.makeValue("") : undefined))
  )

const NotBlank = Schema.String.check(
  Schema.makeFilter((text) => text.trim() === "" ? "it is blank; give it a value, or remove it" : undefined)
)

/** Reads a variable that may be missing but must not be blank. */
export const optional = <A>(name: string, read: (name: string) => Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(
    Config.all([
      Config.withDefault(Config.schema(NotBlank, name), undefined),
      Config.withDefault(read(name), undefined)
    ]),
    ([, value]) => value
  )
