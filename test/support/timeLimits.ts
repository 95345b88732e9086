/**
 * How long tests wait. Limits only end what hangs: on a busy machine everything takes
 * many times as long.
 */

/** After how many milliseconds a call, or a process that says nothing, is taken to hang. */
export const hangLimit = 180_000

/** The limit of a whole test, in milliseconds: what hangs in it is told of first. */
export const testLimit = 3 * hangLimit
