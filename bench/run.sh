#!/bin/bash
# Measures dist/sluice, and optionally kube-proxy; see bench/main.ts.
#
# usage: npm run bench -- [--sizes 100,1000,10000] [--large] [--endpoints 5] [--changes 200]
#                         [--upstream] [--only-upstream]
#        npm run bench -- --iptables [--sizes 1000,10000] [--changes 50]
#                         [--upstream] [--only-upstream]
#        npm run bench -- --against BINARY [--runs 10] [--sizes 10000] [--changes 50]
#        npm run bench -- --micro [--sizes 10000]
#        npm run bench -- --drift [--sizes 1000,10000]
#        npm run bench -- --conntrack [--entries 10000,1000000]
#        npm run bench -- --forwarding [--against BINARY] [--runs 30]
#        npm run bench -- --connections --against BINARY [--runs 10]
#
#   --sizes           numbers of Services
#   --large           also 50,000 Services
#   --endpoints       endpoints of each Service
#   --changes         number of single changes to measure at each size
#   --iptables        compares iptables mode with kube-proxy's by real connections
#   --against         another build of Sluice, measured in turn with dist/sluice; prints medians,
#                     and the median of the ratios run by run
#   --runs            number of runs of each build, or with and without the hooks
#   --micro           the Wasm core and plain TypeScript, without network or kernel
#   --drift           repairs of changes by another program
#   --conntrack       a pass over the conntrack entries of the kernel
#   --forwarding      the cost of the filter hooks for a packet
#   --connections     the cost of a new connection with the rules of both builds
#   --upstream        also kube-proxy, up to 10,000 Services; fewer changes from 1,000 Services on,
#                     because each takes it at least a second
#   --only-upstream   kube-proxy alone
#   --entries         numbers of conntrack entries
#   --help            print this
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/options.sh disable=SC1091
. scripts/options.sh
check_options bench/run.sh bench "$@"

scripts/setup.sh test
case " $* " in *" --only-upstream "*) ;; *) node_modules/.bin/bun build.ts --if-stale ;; esac
exec node_modules/.bin/bun bench/main.ts "$@"
