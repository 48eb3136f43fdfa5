#!/bin/bash
# Installs everything that this machine lacks to build, demonstrate or test Sluice: system packages
# (apt-get, as root on Debian), npm packages (npm ci), and Bun. It prints each thing it installs.
#
# usage: npm run setup [-- build | demo | test]
#
#   build   the npm packages and Bun
#   demo    these, and the ip command
#   test    these, and every program that the tests and the benchmark run (the default)
#   --help  print this
#
# With SLUICE_SKIP_SETUP=1 it installs nothing. It lists what is missing, and exits with status 1
# if anything is.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-test}
case $purpose in
  -h | --help)
    sed -n '/^# usage/,/^set /{s/^# \{0,1\}//;/^set /d;p}' scripts/setup.sh
    exit
    ;;
esac
skip=${SLUICE_SKIP_SETUP:-}

# command:package
case $purpose in
  build) needs= ;;
  demo) needs="ip:iproute2" ;;
  test)
    needs="nft:nftables iptables:iptables conntrack:conntrack ip:iproute2 openssl:openssl
      nsenter:util-linux setpriv:util-linux ps:procps sysctl:procps git:git strace:strace
      systemd-analyze:systemd shellcheck:shellcheck"
    ;;
  *)
    echo "setup: unknown argument \"$purpose\": must be build, demo or test" >&2
    exit 2
    ;;
esac

missing=0
lacks() {
  echo "setup: missing: $1" >&2
  missing=1
}

# ── system packages ──
packages=
for need in $needs; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null && continue
  if [ -n "$skip" ]; then
    lacks "command ${need%%:*} (Debian package ${need#*:})"
  else
    packages="$packages ${need#*:}"
  fi
done
installed=
if [ -n "$packages" ]; then
  # shellcheck disable=SC2086
  packages=$(printf '%s\n' $packages | sort -u | paste -sd ' ')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing system packages (apt-get): $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    installed=1
  else
    echo "setup: missing system packages: $packages (install them; this script can only do so as root on Debian)" >&2
    # Most tests run without them, and the others say what they lack. The demo cannot start.
    [ "$purpose" = test ] || exit 1
  fi
fi

# ── npm packages ──
command -v npm >/dev/null || {
  echo "setup: missing: npm (install Node.js 20 or newer)" >&2
  exit 1
}
# Prints the packages of package-lock.json that are missing or have another version. Optional
# packages may belong to other machines.
# shellcheck disable=SC2016
stale=$(node -e '
  const { readFileSync } = require("node:fs");
  const packagesOf = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
  let installed = {};
  try {
    installed = packagesOf("node_modules/.package-lock.json");
  } catch {} // No package is installed.
  for (const [path, { version, optional }] of Object.entries(packagesOf("package-lock.json"))) {
    const found = installed[path]?.version;
    if (path === "" || found === version || (optional && found === undefined)) continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    console.log(`${name} ${version}${found === undefined ? "" : ` (installed: ${found})`}`);
  }')
[ -e node_modules/.package-lock.json ] || stale=all
if [ -n "$stale" ] && [ -n "$skip" ]; then
  if [ "$stale" = all ]; then
    lacks "all npm packages (npm ci)"
  else
    while IFS= read -r package; do lacks "npm package $package"; done <<<"$stale"
  fi
elif [ -n "$stale" ]; then
  echo "setup: installing npm packages (npm ci): $(paste -sd, <<<"$stale" | sed "s/,/, /g")"
  npm ci --no-progress --loglevel=error
  installed=1
fi

# ── Bun ──
# npm may be configured to skip the install script that fetches the executable.
if ! node_modules/.bin/bun --version >/dev/null 2>&1; then
  if [ -n "$skip" ]; then
    lacks "Bun (node node_modules/bun/install.js)"
  else
    echo "setup: installing Bun (node node_modules/bun/install.js)"
    node node_modules/bun/install.js
    installed=1
  fi
fi

if [ "$missing" = 1 ]; then
  echo "setup: SLUICE_SKIP_SETUP is set, so nothing was installed" >&2
  exit 1
fi
if [ -n "$installed" ]; then echo "setup: done"; else echo "setup: nothing to install"; fi
