/**
 * How numbers stand in messages.
 */

const inFull = (n: number): string => n.toLocaleString("en-US")

/** A number of bytes, as in `1,024 bytes`. */
export const bytes = (n: number): string => `${inFull(n)} bytes`

/** A number of things, as in `1 key` and `2,000 keys`. */
export const count = (n: number, noun: string): string => `${inFull(n)} ${noun}${n === 1 ? "" : "s"}`
