#!/bin/bash
# Installs what the build and the tests need from the system (Debian's package names) and is missing, then
# the npm packages, Bun among them.
#
# usage: scripts/setup.sh [--npm-only]
set -euo pipefail
cd "$(dirname "$0")/.."

# command:package
needs="nft:nftables iptables:iptables conntrack:conntrack ip:iproute2 openssl:openssl nsenter:util-linux
  setpriv:util-linux ps:procps sysctl:procps git:git strace:strace systemd-analyze:systemd shellcheck:shellcheck"
missing=
for need in $needs; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
# `npm ci` needs nothing but npm; the rest is for whoever may install it.
if [ -n "$missing" ] && [ "${1:-}" != --npm-only ]; then
  missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    echo "setup: not installed, and not root on Debian to do so: $missing" >&2
  fi
fi

if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-progress
fi
# npm may be configured not to run the script that puts Bun in its place.
node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js
