/** The lines between which the runner of snippets prints what each of them prints. */

/** The line before what the program with this number prints, and after the last program. */
export const startOf = (program: number): string => `--- program ${program}`

/** The line that says that the program has failed. */
export const failure = "--- failed"
