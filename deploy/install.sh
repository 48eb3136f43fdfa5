#!/bin/sh
# Installs Sluice on this node as a systemd service, or takes it away again. Safe to run again: it changes only what
# differs, and restarts only after a change.
#
# usage: deploy/install.sh [--config FILE | --kubeconfig FILE [--cluster-cidr CIDR]] [options]
#        deploy/install.sh --uninstall [options]
#
#   --config FILE           a KubeProxyConfiguration to start from, such as /var/lib/kube-proxy/config.conf. Needed
#   --kubeconfig FILE       or this is, unless /etc/sluice/config.yaml is there already, which is never overwritten
#   --cluster-cidr CIDR     the range of all pods, for the configuration made with --kubeconfig
#   --binary FILE           the program (dist/sluice, or sluice beside this script)
#   --replace-kube-proxy    stop and disable kube-proxy.service; without it a running kube-proxy is a reason not to install
#   --uninstall             stop Sluice, take its rules out of the kernel, remove the program and the unit
#   --root DIR              install below DIR, an image of a system that is not running: nothing is started or checked
#   --dry-run               print what would be done
#   --help                  print this
set -eu

UNIT=sluice.service
HEALTH=http://127.0.0.1:10256/livez
# Seconds.
HEALTH_PATIENCE=30
# nft_set_pipapo with concatenated ranges and all else that the rules are made of.
KERNEL_MAJOR=5 KERNEL_MINOR=13

here=$(cd "$(dirname "$0")" && pwd)
binary='' config='' kubeconfig='' cidr='' replace=false uninstall=false root='' dry=false changed=false

usage() { sed -n '/^# usage:/,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; }
die() { echo "install: $*" >&2; exit 1; }
# Does it, or says so.
act() {
  if $dry; then echo "would run: $*"; else "$@"; fi
}

need_value() { [ $# -ge 2 ] || die "Cannot read $1: it must have a value"; }

while [ $# -gt 0 ]; do
  case $1 in
    --binary) need_value "$@"; binary=$2; shift ;;
    --config) need_value "$@"; config=$2; shift ;;
    --kubeconfig) need_value "$@"; kubeconfig=$2; shift ;;
    --cluster-cidr) need_value "$@"; cidr=$2; shift ;;
    --root) need_value "$@"; root=${2%/}; shift ;;
    --replace-kube-proxy) replace=true ;;
    --uninstall) uninstall=true ;;
    --dry-run) dry=true ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "Cannot read the arguments: there is no such option: current value is $1" ;;
  esac
  shift
done

program=$root/usr/local/bin/sluice
unit=$root/etc/systemd/system/$UNIT
conf=$root/etc/sluice/config.yaml

# The service manager, of this system or of the image.
manager() {
  if [ -n "$root" ]; then act systemctl --root="$root" "$@"; else act systemctl "$@"; fi
}

# copy FROM TO MODE: only if they differ; the new file takes the old one's place in one step.
copy() {
  if [ -f "$2" ] && cmp -s "$1" "$2"; then return; fi
  changed=true
  echo "installing $2"
  act mkdir -p "$(dirname "$2")"
  act cp "$1" "$2.new"
  act chmod "$3" "$2.new"
  act mv "$2.new" "$2"
}

check_machine() {
  [ "$(id -u)" = 0 ] || die "Cannot install: it must be run by root: current value is uid $(id -u)"
  [ -z "$root" ] || return 0
  release=$(uname -r)
  major=${release%%.*} minor=${release#*.} minor=${minor%%[!0-9]*}
  if [ "$major" -lt $KERNEL_MAJOR ] || { [ "$major" = $KERNEL_MAJOR ] && [ "$minor" -lt $KERNEL_MINOR ]; }; then
    die "Cannot install: Linux must be $KERNEL_MAJOR.$KERNEL_MINOR or newer: current value is $release"
  fi
  modprobe -q nf_tables 2>/dev/null || true
  if [ -r /proc/kallsyms ] && ! grep -q ' nft_do_chain' /proc/kallsyms; then
    die "Cannot install: the kernel must have nf_tables, built in or as a module: Linux $release has not"
  fi
  command -v systemctl >/dev/null || die "Cannot install: systemctl must be in PATH; without systemd see docs/install.md"
}

# A kube-proxy that runs: as a unit, or as any other process of that name, which is most likely a pod.
check_kube_proxy() {
  [ -z "$root" ] || return 0
  if systemctl is-active --quiet kube-proxy.service; then
    $replace || die "Cannot install: kube-proxy.service must not run beside Sluice: say --replace-kube-proxy to stop and disable it"
    echo "stopping kube-proxy.service"
    act systemctl disable --now kube-proxy.service
    ! $dry || return 0
  fi
  for name in /proc/[0-9]*/comm; do
    if [ "$(cat "$name" 2>/dev/null)" = kube-proxy ]; then
      process=${name%/comm}
      die "Cannot install: no kube-proxy may run beside Sluice: process ${process#/proc/} is one, and no unit of this machine. If it is a pod, see docs/migrating.md"
    fi
  done
}

find_binary() {
  if [ -z "$binary" ]; then
    for candidate in "$here/../dist/sluice" "$here/sluice"; do
      if [ -f "$candidate" ]; then binary=$candidate; break; fi
    done
  fi
  [ -f "$binary" ] || die "Cannot install: the program must be there: npm run build, or --binary FILE"
  "$binary" --version >/dev/null || [ -n "$root" ] || die "Cannot install: $binary must run on this machine, and does not"
}

write_config() {
  if [ -e "$conf" ]; then
    [ -z "$config$kubeconfig" ] || echo "keeping $conf, which is there already"
    return
  fi
  if [ -n "$config" ]; then
    [ -f "$config" ] || die "Cannot install: --config must be a file: current value is $config"
    copy "$config" "$conf" 0600
  elif [ -n "$kubeconfig" ]; then
    [ -f "$root$kubeconfig" ] || die "Cannot install: --kubeconfig must be a file: current value is $root$kubeconfig"
    echo "installing $conf"
    changed=true
    $dry && return
    mkdir -p "$(dirname "$conf")"
    {
      echo 'apiVersion: kubeproxy.config.k8s.io/v1alpha1'
      echo 'kind: KubeProxyConfiguration'
      echo 'mode: nftables'
      echo 'clientConnection:'
      echo "  kubeconfig: $kubeconfig"
      [ -z "$cidr" ] || echo "clusterCIDR: $cidr"
      # What the unit sets, so that it need not be changed.
      echo 'oomScoreAdj: -999'
    } >"$conf.new"
    chmod 0600 "$conf.new"
    mv "$conf.new" "$conf"
  else
    die "Cannot install: there is no $conf yet: --config FILE or --kubeconfig FILE must say where the API server is"
  fi
}

# Any HTTP client may be missing on a node; the program holds a whole Bun, which can ask.
is_healthy() {
  BUN_BE_BUN=1 "$program" -e "fetch('$HEALTH').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"
}

check_health() {
  waited=0
  while ! is_healthy; do
    waited=$((waited + 1))
    if [ $waited -ge $HEALTH_PATIENCE ]; then
      die "Sluice is installed, but not healthy after $HEALTH_PATIENCE s: journalctl -u $UNIT says why. The rules are not in the kernel before the API server has answered"
    fi
    sleep 1
  done
  echo "Sluice runs and is healthy: $HEALTH"
}

install_all() {
  check_machine
  find_binary
  # All that can be refused comes before anything is stopped.
  [ -e "$conf" ] || [ -f "$config" ] || [ -f "$root$kubeconfig" ] || write_config
  check_kube_proxy
  write_config
  copy "$binary" "$program" 0755
  copy "$here/systemd/$UNIT" "$unit" 0644
  if [ -n "$root" ]; then
    manager enable "$UNIT"
    return
  fi
  manager daemon-reload
  manager enable "$UNIT"
  # Ready comes with the first rules; how long that may take is check_health's to say.
  if $changed; then manager restart --no-block "$UNIT"; else manager start --no-block "$UNIT"; fi
  $dry || check_health
}

uninstall_all() {
  [ "$(id -u)" = 0 ] || die "Cannot uninstall: it must be run by root: current value is uid $(id -u)"
  if [ -f "$unit" ]; then
    if [ -n "$root" ]; then manager disable "$UNIT"; else manager disable --now "$UNIT"; fi
  fi
  if [ -f "$program" ] && [ -z "$root" ]; then
    act "$program" --cleanup --remove-kube-proxy-rules=false
  fi
  act rm -f "$program" "$unit"
  [ -n "$root" ] || manager daemon-reload
  [ ! -e "$conf" ] || echo "keeping $conf"
}

if $uninstall; then uninstall_all; else install_all; fi
