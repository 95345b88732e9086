/**
 * Shows numbers and sizes in tables.
 */
import * as ByteSize from "effect/ByteSize"
import * as DateTime from "effect/DateTime"

/** Shows a number of bytes: `4.1 MiB`. */
export const bytes = (size: number | undefined): string =>
  size === undefined ? "" : ByteSize.format(ByteSize.bytes(size), { precision: 1 })

const wholeNumber = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 })

/** Shows a number: `135,233`. */
export const number = (value: number): string => wholeNumber.format(value)

/** Shows a time. */
export const time = (value: DateTime.Utc | undefined): string => value === undefined ? "" : DateTime.formatIso(value)
