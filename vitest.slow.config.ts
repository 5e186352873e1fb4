import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes minutes each; begun last, one of them would run alone at the end. */
const LONGEST = [
  'faults/kill-sweep-native',
  'tokens/trials',
  'faults/full-disk',
  'faults/crowd',
  'faults/kill-sweep-tutorial',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part))
      return found < 0 ? LONGEST.length : found
    }
    return [...files].sort((a, b) => rank(a) - rank(b))
  }
}

/** The long trials: under fifteen minutes on two cores that do nothing else. */
export default defineConfig({
  test: {
    include: ['test/**/*.slow.test.ts'],
    // A machine that does other things, too, takes several times as long.
    testTimeout: 3_600_000,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
})
