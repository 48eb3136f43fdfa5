#!/bin/bash
# usage: npm run bench -- [OPTION ...]      see bench/main.ts
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
case " $* " in *" --only-upstream "*) ;; *) node_modules/.bin/bun build.ts --if-stale ;; esac
exec node_modules/.bin/bun bench/main.ts "$@"
