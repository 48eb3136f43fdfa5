#!/bin/bash
# usage: npm test [-- [--stage NAME]... [PATTERN]...]      see test/runner/run.ts
#
# Runs the stage setup, then all others. The last line is `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "── setup"
begun=$(date +%s%3N)
if ! scripts/setup.sh test; then
  # The other stages need what this one installs.
  printf 'failed: setup\n0 passed, 1 failed, 0 skipped\n'
  exit 1
fi
export SLUICE_SETUP_MS=$(($(date +%s%3N) - begun))
exec node_modules/.bin/bun test/runner/run.ts "$@"
