#!/usr/bin/env bash
# Shows Sluice at work on one machine, without a cluster.
#
# usage: npm run demo [-- --keep]
#
#   --keep   keep it running at the end, so that you can try things, until Ctrl-C
#   --help   print this
#
# It takes a few seconds, and about a minute the first time. It stops when it gets a signal, when
# its terminal closes, or when the process that started it exits. It always removes the namespaces
# and files that it made.
#
# It needs Linux with network namespaces and nf_tables, Node.js 20 and npm. Run it as root, or as
# any user if the machine allows user namespaces. It installs what is missing, which only root can
# do for system packages, and builds dist/sluice. With SLUICE_SKIP_SETUP=1 it installs nothing and
# lists what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/options.sh disable=SC1091
. scripts/options.sh
for option in "$@"; do
  case $option in
    --keep) ;;
    -h | --help)
      usage demo/run.sh
      exit
      ;;
    *)
      echo "demo: unknown option \"$option\"" >&2
      usage demo/run.sh >&2
      exit 2
      ;;
  esac
done
# The process that started this one may exit during set-up.
export SLUICE_DEMO_STARTER=$PPID

scripts/setup.sh demo
bun=node_modules/.bin/bun
export PATH="$PATH:/usr/sbin:/sbin"

"$bun" build.ts --if-stale

# exec, so that a signal to this process reaches the demo.
if [ "$(id -u)" = 0 ]; then exec "$bun" demo/demo.ts "$@"; fi
# shellcheck disable=SC2016
exec unshare --user --map-root-user --net --mount sh -c '
  set -e
  # This user may not write to the directory that holds the names of namespaces; here it may.
  mount -t tmpfs none /run
  mkdir /run/netns
  export SLUICE_DEMO_USERNS=1
  exec "$@"' demo "$bun" demo/demo.ts "$@"
