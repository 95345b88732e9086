/**
 * The order of the test files. Vitest begins with those that took longest in the last run, or are largest where there
 * was none; these take longest, and are not the largest. The last of them would run while the other cores are idle.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

const isSlow = ({ moduleId }: TestSpecification): boolean => /\/test\/docs\/|[pP]rocesses\.test\.ts$/.test(moduleId)

export class SlowFirst extends BaseSequencer {
  override sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    return super.sort(files).then((sorted) => [
      ...sorted.filter(isSlow),
      ...sorted.filter((file) => !isSlow(file))
    ])
  }
}
