/** What the mutants of one file are tried with: npm run mutation says which tests. A plain object, so that nothing needs types. */
export default {
  test: {
    include: process.env.HOLDFAST_MUTATION_TESTS.split(' '),
    setupFiles: 'tools/mutation/setup.mjs',
    isolate: false,
  },
}
