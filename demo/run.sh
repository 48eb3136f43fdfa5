#!/usr/bin/env bash
# npm run demo: shows sluice at work on one machine, without a cluster.
#
# usage: npm run demo [-- --keep]
#
#   --keep   leave it running at the end, to play with, until Ctrl-C
#   --help   print this
#
# It takes some seconds, the first time a minute. A signal, a closed terminal or the end of what started
# it ends it, and the namespaces and files it has made go with it.
#
# Needs Linux with network namespaces and nf_tables, Node 20 and npm; as root, or as anybody where user
# namespaces are allowed. Installs what is missing, builds what is stale, changes nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '/^# usage/,/^set /{s/^# \{0,1\}//;/^set /d;p}' demo/run.sh; }
for option in "$@"; do
  case $option in
    --keep) ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      echo "Cannot run the demo: an option must be one of those below: current value is $option" >&2
      usage >&2
      exit 2
      ;;
  esac
done
# Whoever started it may go while it is built.
export SLUICE_DEMO_STARTER=$PPID

bun=node_modules/.bin/bun
if ! "$bun" --version >/dev/null 2>&1 || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing the dependencies (npm ci) ..."
  npm ci --no-audit --no-fund --loglevel=error
fi

if ! command -v ip >/dev/null && [ ! -x /sbin/ip ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Cannot run the demo: the command ip is missing; install the package iproute2" >&2
    exit 1
  fi
  echo "Installing iproute2 ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 >/dev/null
fi
export PATH="$PATH:/usr/sbin:/sbin"

"$bun" build.ts --if-stale

# exec, so that a signal to this process reaches the demo.
if [ "$(id -u)" = 0 ]; then exec "$bun" demo/demo.ts "$@"; fi
# shellcheck disable=SC2016
exec unshare --user --map-root-user --net --mount sh -c '
  set -e
  # A directory that this user may not write holds the names of namespaces; here it is ours.
  mount -t tmpfs none /run
  mkdir /run/netns
  export SLUICE_DEMO_USERNS=1
  exec "$@"' demo "$bun" demo/demo.ts "$@"
