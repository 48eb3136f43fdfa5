#!/bin/bash
# Checks the properties in tests for much longer than the tests do; see test/runner/fuzz.ts.
#
# usage: npm run fuzz [-- [--seconds N] [--runs N] [--seed N [--path P]] [PATTERN]...]
#
#   --seconds N   time for each property; one that tests two builds or families takes it two times
#                 (default 10)
#   --runs N      also stop a property after this many values
#   --seed N      the seed of all random values, as an earlier fuzz or test printed it
#   --path P      with --seed and a single property: only the value at this path
#   --list        print the properties
#   --help        print this
#   PATTERN       only the property with this id, or those with it in their id or file
#
# Ends with the number of values and counterexamples. Exit status 1 if there is a counterexample.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/options.sh disable=SC1091
. scripts/options.sh
check_options test/fuzz.sh fuzz "$@"

scripts/setup.sh test
exec node_modules/.bin/bun test/runner/fuzz.ts "$@"
