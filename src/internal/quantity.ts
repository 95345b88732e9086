/**
 * Formats numbers with their units for messages.
 */

const format = (n: number): string => n.toLocaleString("en-US")

/** Formats a number of bytes: `1,024 bytes`. */
export const bytes = (n: number): string => `${format(n)} bytes`

/** Formats a number of things: `1 key`, `2,000 keys`. */
export const count = (n: number, noun: string): string => `${format(n)} ${noun}${n === 1 ? "" : "s"}`
