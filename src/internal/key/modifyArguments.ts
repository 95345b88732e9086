/**
 * Calls the functions of `updateOrFail`, `modify` and `modifyEffect`, and checks what they return. A program in
 * JavaScript can pass anything.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { types } from "node:util"
import { similarTo } from "../similarNames.ts"
import { describeKind } from "../value/kindOf.ts"
import { isPlain } from "./callArguments.ts"

type Pair<A, B> = readonly [result: A, next: Option.Option<B>]

const isPair = <A, B>(given: Pair<A, B>): boolean =>
  Array.isArray(given) && given.length === 2 && Option.isOption(given[1])

/** Says what is wrong with the function of a method, or returns `undefined`. */
const functionProblem = (method: string, f: unknown): string | undefined =>
  Predicate.isFunction(f) ? undefined : `${method} needs a function, and has ${describeKind(f)}`

/** Accepts a pair of a result and the next value. */
const pairOf = <A, B>(method: string, given: Pair<A, B>): Result.Result<Pair<A, B>, string> => {
  if (isPair(given)) return Result.succeed(given)
  const waits = types.isPromise(given) || Effect.isEffect(given)
  return Result.fail(
    `the function of ${method} must return [result, next], where next is an Option, and has returned ` +
      `${describeKind(given)}${waits ? "; use modifyEffect if it has to wait for something" : ""}`
  )
}

/** Calls the function of `modifyEffect`, and runs its effect, which must return a pair. */
export const runModifyEffect = <A, B, C, E, R>(
  f: (current: C) => Effect.Effect<Pair<A, B>, E, R>,
  current: C
): Effect.Effect<Result.Result<Pair<A, B>, string>, E, R> =>
  Effect.suspend(() => {
    const problem = functionProblem("modifyEffect", f)
    if (problem !== undefined) return Effect.succeed(Result.fail(problem))
    const effect = f(current)
    return Effect.isEffect(effect)
      ? Effect.map(effect, (given) => pairOf("modifyEffect", given))
      : Effect.succeed(Result.fail(
        `the function of modifyEffect must return an Effect, and has returned ${describeKind(effect)}; ` +
          "Effect.gen makes one of a generator function, Effect.promise of a function that returns a promise"
      ))
  })

/**
 * Runs `modify` on top of an update, and returns the result of `f`. An update may call `f` again: the result of its last
 * call belongs to the value that is stored.
 */
export const runModify = <A, B, C, D, E, R>(
  f: (current: C) => Pair<A, B>,
  update: (computeNext: (current: C) => Result.Result<Option.Option<B>, string>) => Effect.Effect<D, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const problem = functionProblem("modify", f)
    let last = Option.none<A>()
    const updating = update((current) =>
      Result.map(problem === undefined ? pairOf("modify", f(current)) : Result.fail(problem), ([result, next]) => {
        last = Option.some(result)
        return next
      })
    )
    return Effect.flatMap(updating, () =>
      Option.isSome(last)
        ? Effect.succeed(last.value)
        : Effect.die(new Error("an update has ended without a call of its function")))
  })

/** Calls the function of `updateOrFail` if the key has a value. */
export const callUpdateOrFail = <A, B>(
  f: (current: A) => B,
  current: Option.Option<A>
): Result.Result<Option.Option<B>, string> => {
  const problem = functionProblem("updateOrFail", f)
  return problem === undefined ? Result.succeed(Option.map(current, f)) : Result.fail(problem)
}

/**
 * Says what is wrong with the fields of `patch`, or returns `undefined`. `known` are the names of the fields of the schema.
 * A patch that changes nothing, or that removes a field, would be a mistake that no error reports.
 */
export const fieldsProblem = (fields: unknown, known: ReadonlyArray<string> | undefined): string | undefined => {
  if (!Predicate.isObject(fields)) return `patch needs an object with fields, and has ${describeKind(fields)}`
  const given = Object.keys(fields)
  // A promise or a `Map` has no fields.
  if (given.length === 0 && !isPlain(fields)) {
    return `patch needs an object with fields, and has ${describeKind(fields)}`
  }
  const unknown = given.find((name) => known?.includes(name) === false)
  if (known !== undefined && unknown !== undefined) {
    return `the schema has no field ${JSON.stringify(unknown)}${similarTo(unknown, known)}`
  }
  const missing = given.find((name) => Reflect.get(fields, name) === undefined)
  return missing === undefined
    ? undefined
    : `the field ${JSON.stringify(missing)} of patch is undefined; leave it out to keep it, or use update to remove it`
}
