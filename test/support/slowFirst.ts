/**
 * The order of the test files: those that start many processes come first.
 *
 * Vitest begins with the files that took longest in the last run. In a first run it begins with the largest, and a file
 * that is small and slow would come last, when the other cores have nothing left to do.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

const isSlow = ({ moduleId }: TestSpecification): boolean =>
  /\/test\/docs\/|([pP]rocesses|killedWorkflow)\.test\.ts$/.test(moduleId)

export class SlowFirst extends BaseSequencer {
  override sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    // oxlint-disable-next-line unicorn/no-array-sort -- this is not an array's
    const sorted = super.sort(files)
    return sorted.then((all) => [...all.filter(isSlow), ...all.filter((file) => !isSlow(file))])
  }
}
