/** The entry points of `msgpackr` without streams and native code, whose own declarations do not resolve in ESM. */
declare module "msgpackr/pack" {
  export { Packr, RESERVE_START_SPACE } from "msgpackr"
}

declare module "msgpackr/unpack" {
  export { clearSource } from "msgpackr"
}
