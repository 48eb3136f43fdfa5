#!/bin/bash
# Installs missing system packages that the build and the tests need (as root on Debian), then the
# npm packages, including Bun. It prints what it installs, and nothing if all are installed.
#
# usage: scripts/setup.sh [--npm-only]
#
#   --npm-only   no system packages
set -euo pipefail
cd "$(dirname "$0")/.."

# command:package
needs="nft:nftables iptables:iptables conntrack:conntrack ip:iproute2 openssl:openssl nsenter:util-linux
  setpriv:util-linux ps:procps sysctl:procps git:git strace:strace systemd-analyze:systemd shellcheck:shellcheck"
missing=
for need in $needs; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
if [ -n "$missing" ] && [ "${1:-}" != --npm-only ]; then
  missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing with apt-get: $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    echo "setup: missing, and only root on Debian can install them: $missing" >&2
  fi
fi

if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "setup: installing the npm packages (npm ci)"
  npm ci --no-progress
fi
# npm may be configured to skip the install script that installs the Bun executable.
node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js
