'use strict'
// Rules of eslint itself only, so that linting takes `npx eslint .` and no other package.
const globals = Object.fromEntries(['require', 'module', 'process', 'console', 'Buffer', 'global', 'setImmediate', 'setInterval', 'clearInterval'].map(name => [name, 'readonly']))

module.exports = [
  {
    files: ['**/*.js'],
    languageOptions: { ecmaVersion: 2022, sourceType: 'commonjs', globals },
    rules: {
      'array-callback-return': 'error',
      'consistent-return': 'off',
      curly: ['error', 'multi-line'],
      eqeqeq: 'error',
      'no-const-assign': 'error',
      'no-dupe-keys': 'error',
      'no-shadow': 'error',
      'no-undef': 'error',
      'no-unreachable': 'error',
      'no-unused-vars': 'error',
      'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
      'no-var': 'error',
      'prefer-const': 'error',
      strict: ['error', 'global']
    }
  }
]
