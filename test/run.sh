#!/bin/bash
# usage: npm test [-- PATTERN ...]
# Sets up what is missing, checks, builds, tests; the last line is `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
exec node_modules/.bin/bun test/runner/run.ts "$@"
