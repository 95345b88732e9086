/**
 * Runs a command line: finds the command, runs it, reports its failure, and gives the exit code.
 */
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { type AnyCommand, type CommandEntry, commands } from "./commands.ts"
import * as Failures from "./failures.ts"
import { LineRunner } from "./lineRunner.ts"
import { flags } from "./settings.ts"

/** The name of the program. */
const programName = "effect-lmdb"

const description =
  "Look inside stores of effect-lmdb, and move data in and out. Without --write, nothing is changed. " +
  "A store may be open in another program meanwhile."

/** A command that is not loaded, for the help of the program. */
const stubOf = ({ description: text, name }: CommandEntry): AnyCommand =>
  Command.make(name, {}, () => Effect.void).pipe(Command.withDescription(text))

const load = ({ description: text, load: loadModule }: CommandEntry): Effect.Effect<AnyCommand> =>
  Effect.map(
    Effect.promise(loadModule),
    ({ command }) => Command.withDescription(command, command.description ?? text)
  )

/** Whether the command line needs all commands. */
const needsAll = (args: ReadonlyArray<string>): boolean =>
  args.some((arg) => arg === "--completions" || arg.startsWith("--completions="))

/** Makes the program. Only the commands that the command line may name are loaded. */
const makeProgram = Effect.fnUntraced(function*(args: ReadonlyArray<string>) {
  const isAll = needsAll(args)
  const loaded = yield* Effect.forEach(
    commands,
    (entry) => isAll || args.includes(entry.name) ? load(entry) : Effect.succeed(stubOf(entry))
  )
  return Command.make(programName).pipe(
    Command.withDescription(description),
    Command.withSubcommands(loaded),
    Command.withGlobalFlags(flags)
  )
})

const isJson = (args: ReadonlyArray<string>): boolean => args.includes("--json") || args.includes("--ndjson")

/** Writes help to standard output, and what is wrong with a command line to standard error. */
const presenter = (args: ReadonlyArray<string>): CliOutput.Presenter => ({
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const message = event.errors.map((error) => error.message).join("\n")
    if (isJson(args)) return Console.error(Failures.toJsonLine(new Failures.Usage({ message })))
    const help = `Run "${event.commandPath.join(" ")} --help" to see how it is used.`
    return Console.error(`${message}\n\nUsage: ${event.helpDoc.usage}\n${help}`)
  }
})

const services = (args: ReadonlyArray<string>, version: string) =>
  Context.make(CliOutput.Presenter, presenter(args)).pipe(
    Context.add(LineRunner, { run: (line) => run(line, version), names: commands.map(({ name }) => name) }),
    // A wizard would ask for arguments one by one.
    Context.add(
      CliConfig.CliConfig,
      CliConfig.make({
        builtIns: GlobalFlag.BuiltIns.filter((flag) => flag !== GlobalFlag.Wizard)
      })
    ),
    Context.add(Logger.LogToStderr, true),
    // The notes of commands say what a user must know.
    Context.add(References.MinimumLogLevel, "Warn")
  )

/** Runs a command line. Returns the exit code. */
export const run = (
  args: ReadonlyArray<string>,
  version: string
): Effect.Effect<number, never, Command.Environment> =>
  makeProgram(args).pipe(
    Effect.flatMap((program) => Command.runWith(program, { version, renderErrors: true })(args)),
    Effect.as(0),
    Effect.catchCause((cause) => {
      const { code, text } = Failures.report(cause, isJson(args))
      return Effect.as(text === undefined ? Effect.void : Console.error(text), code)
    }),
    Effect.provideContext(services(args, version))
  )
