// Rules of this repository that oxlint does not have.

const noTry = {
  create: (context) => ({
    TryStatement: (node) => {
      context.report({ node, message: "Failures are values here: use Effect.try, Effect.tryPromise or Result.try." })
    }
  })
}

export default { meta: { name: "house" }, rules: { "no-try": noTry } }
