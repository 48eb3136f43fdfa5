#!/bin/bash
# Runs the stages of test/runner/stages.ts.
#
# usage: npm test [-- [--stage NAME]... [PATTERN]...]
#
#   --stage NAME   only this stage and the stages that it needs
#   --help         print this
#   PATTERN        only test files with it in their path, after the checks and the build:
#                  `npm test -- test/plan demo` runs test/plan/*.test.ts and test/demo/demo.test.ts
#
# Stages, in their order:
#
#   setup     system packages, npm packages and Bun
#   check     types, format and lint, prose
#   build     the Wasm core and dist/sluice, if they are older than their sources
#   unit      tests that touch nothing outside their process, in parallel
#   kernel    tests of kernel interfaces, in network namespaces; as root
#   binary    tests of dist/sluice, with real packets; as root; needs build
#   cluster   tests with a real etcd, kube-apiserver and kube-proxy; as root, with Go; needs build
#
# The last line is `N passed, N failed, N skipped`. With SLUICE_SKIP_SETUP=1, the stage setup
# installs nothing and fails if anything is missing. With CI=true, a missing control plane is a
# failure.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/options.sh disable=SC1091
. scripts/options.sh
check_options test/run.sh "npm test" "$@"

previous=
for argument in "$@"; do
  stage=
  case $argument in --stage=*) stage=${argument#*=} ;; esac
  if [ "$previous" = --stage ]; then stage=$argument; fi
  if [ -n "$stage" ] && ! usage test/run.sh | sed '1,/^Stages/d' | grep "^  $stage  " >/dev/null; then
    echo "npm test: unknown stage \"$stage\" (see --help)" >&2
    exit 2
  fi
  previous=$argument
done

echo "── setup"
begun=$(date +%s%3N)
if ! scripts/setup.sh test; then
  # The other stages need what this one installs.
  printf 'failed: setup\n0 passed, 1 failed, 0 skipped\n'
  exit 1
fi
export SLUICE_SETUP_MS=$(($(date +%s%3N) - begun))
exec node_modules/.bin/bun test/runner/run.ts "$@"
