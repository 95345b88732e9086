/** The LMDB engine with faults on demand, as the package publishes it. */
export * from "../../../src/testing/FaultyEngine.ts"
