#!/bin/bash
# Builds the programs of the test control plane and prints their folder: etcd, kube-apiserver,
# kubectl, kube-proxy. go.mod next to this file pins their versions.
#
# usage: harness/cluster/build.sh
#
# The programs stay in .cache/cluster/<hash of go.sum and this file>/, so only a change of version
# builds them again. This takes about 5 minutes on 2 cores with an empty Go build cache, and seconds
# with a full one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -x /usr/local/go/bin/go ] && PATH=$PATH:/usr/local/go/bin
hash=$(cat "$here/go.sum" "$here/build.sh" | sha256sum | cut -c1-16)
bin=$root/.cache/cluster/$hash

if [ ! -e "$bin/complete" ]; then
  command -v go >/dev/null || { echo "build the test control plane: go: command not found (install Go 1.21 or newer)" >&2; exit 3; }
  mkdir -p "$bin"
  # Only one build runs at a time. The others wait, and then find the result.
  exec 9>"$bin/lock"
  flock 9
  if [ ! -e "$bin/complete" ]; then
    cd "$here"
    kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${kubernetes#v1.}
    version=k8s.io/component-base/version
    # Without gitVersion, the server reports v0.0.0 and clients refuse it.
    go build -o "$bin/" -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} -X $version.gitTreeState=clean" \
      k8s.io/kubernetes/cmd/{kube-apiserver,kube-proxy,kubectl} >&2
    go build -o "$bin/etcd" -ldflags "-s -w" go.etcd.io/etcd/server/v3 >&2
    touch "$bin/complete"
    # Programs of earlier versions are no longer needed.
    for other in "$root/.cache/cluster"/*/; do
      [ "$other" = "$bin/" ] || rm -rf "$other"
    done
  fi
fi
echo "$bin"
