/**
 * Ends a run on a plain line, `N passed, N failed`, for people and scripts that read only the last one.
 *
 * A test that failed counts, and so does what failed outside of any test: a file that does not load, a hook, an
 * unhandled rejection. Whenever vitest calls the run failed, the second number is at least 1.
 */
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node'

type Outcome = 'passed' | 'interrupted' | 'failed'

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[], outcome: Outcome): void {
    process.stdout.write(`\n${closingLine(modules, unhandled, outcome)}\n`)
  }
}

export function closingLine(modules: readonly TestModule[], unhandled: readonly unknown[], outcome: Outcome): string {
  const tests = modules.flatMap((module) => [...module.children.allTests()])
  const suites = modules.flatMap((module) => [module, ...module.children.allSuites()])
  const failed = count(tests, 'failed') + suites.filter(brokeByItself).length + unhandled.length
  return `${count(tests, 'passed')} passed, ${outcome === 'passed' ? failed : Math.max(failed, 1)} failed`
}

const count = (tests: readonly TestCase[], state: string) =>
  tests.filter((test) => test.result().state === state).length

const brokeByItself = (suite: TestModule | TestSuite) => suite.errors().length > 0
