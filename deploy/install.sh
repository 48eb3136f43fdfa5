#!/bin/sh
# Installs Sluice on this node as a systemd service, or takes it away again. Safe to run again: it changes only what
# differs, and restarts only after a change.
#
# usage: deploy/install.sh [--config FILE | --kubeconfig FILE [--cluster-cidr CIDR]] [options]
#        deploy/install.sh --uninstall [options]
#
#   --config FILE           a KubeProxyConfiguration to start from, such as /var/lib/kube-proxy/config.conf
#   --kubeconfig FILE       or a kubeconfig, around which one is written
#   --cluster-cidr CIDR     the range of all pods, for the configuration made with --kubeconfig
#   --replace-kube-proxy    stop and disable kube-proxy.service, and take over its flags; with neither of the above its
#                           configuration too. Without it a running kube-proxy is a reason not to install
#   --overwrite-config      replace /etc/sluice/config.yaml, which is kept where it is there already
#   --binary FILE           the program (dist/sluice, or sluice beside this script)
#   --uninstall             stop Sluice, take its rules out of the kernel, remove the program and the unit
#   --root DIR              install below DIR, an image of a system that is not running: nothing is started or checked
#   --dry-run               print what would be done
#   --help                  print this
set -eu

UNIT=sluice.service OLD_UNIT=kube-proxy.service
HEALTH=http://127.0.0.1:10256/livez
# kube-proxy's, where it listens once the API server has answered; whether its rules are there --cleanup looks itself.
OLD_HEALTH=http://127.0.0.1:10256/healthz
# Seconds.
HEALTH_PATIENCE=30
# nft_set_pipapo with concatenated ranges and all else that the rules are made of.
KERNEL_MAJOR=5 KERNEL_MINOR=13

here=$(cd "$(dirname "$0")" && pwd)
binary='' config='' kubeconfig='' cidr='' replace=false overwrite=false uninstall=false root='' dry=false changed=false
# What kube-proxy.service was started with: its file, all other flags, one a line; and whether it runs.
old_config='' old_flags='' runs=false main_pid=0 runnable=true
# Why nftables cannot serve on this machine.
no_nftables=''

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
    --overwrite-config) overwrite=true ;;
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
flags=$root/etc/sluice/flags.env

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
  modprobe -q nf_tables 2>/dev/null || true
  if [ "$major" -lt $KERNEL_MAJOR ] || { [ "$major" = $KERNEL_MAJOR ] && [ "$minor" -lt $KERNEL_MINOR ]; }; then
    no_nftables="Linux must be $KERNEL_MAJOR.$KERNEL_MINOR or newer: current value is $release"
  elif [ -r /proc/kallsyms ] && ! grep -q ' nft_do_chain' /proc/kallsyms; then
    no_nftables="the kernel must have nf_tables, built in or as a module: Linux $release has not"
  fi
  command -v systemctl >/dev/null || die "Cannot install: systemctl must be in PATH; without systemd see docs/install.md"
}

# One variant's tools, all of them, where Sluice looks for them.
has_iptables() {
  for name in iptables iptables-nft iptables-legacy; do
    found=true
    for tool in $name $name-save $name-restore; do
      PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin command -v "$tool" >/dev/null || found=false
    done
    ! $found || return 0
  done
  return 1
}

# What the mode asks for is there: iptables does where the kernel has no nftables, unless that alone is wanted.
check_mode() {
  [ -z "$root" ] || return 0
  mode=$(sed -n '/^mode: */{s///;s/"//g;p;q;}' "$staged/effective")
  if [ "$mode" = iptables ]; then
    has_iptables || die "Cannot install: for mode iptables iptables must be installed: there is no iptables with iptables-save and iptables-restore beside it"
    return 0
  fi
  [ -n "$no_nftables" ] || return 0
  if [ "$mode" = nftables ]; then
    die "Cannot install: for mode nftables $no_nftables. Mode iptables needs neither"
  fi
  has_iptables || die "Cannot install: iptables must be installed where nftables cannot serve; for that $no_nftables"
}

# The arguments that kube-proxy.service runs with, one a line: those of the process, in which variables are filled
# in, or if it does not run those of the unit.
old_arguments() {
  if $runs && [ -r "/proc/$main_pid/cmdline" ]; then
    tr '\000' '\n' <"/proc/$main_pid/cmdline"
  else
    systemctl show --property=ExecStart --value "$OLD_UNIT" | sed -n '1{s/.*argv\[\]=//;s/ ; ignore_errors=.*//;p;}' | tr ' ' '\n'
  fi
}

# Sorts them into old_config and old_flags.
read_old_flags() {
  old_arguments >"$staged/arguments"
  said='' number=0
  while IFS= read -r argument; do
    number=$((number + 1))
    case $argument in *[!]A-Za-z0-9_.,:=/*@+[-]*)
      die "Cannot take over the flags of $OLD_UNIT: each must be of letters, digits and _.,:=/*@+-[] to be written into $flags: current value is $argument. Make the configuration by hand, as docs/install.md has it, and pass it by --config" ;;
    esac
    # Its own name; and hyperkube's word for what it is to be.
    if [ $number = 1 ]; then continue; fi
    if [ $number = 2 ] && [ "${argument#-}" = "$argument" ]; then continue; fi
    if [ -n "$said" ]; then old_config=$argument said=''; continue; fi
    case $argument in
      --config | -config) said=$argument ;;
      --config=* | -config=*) old_config=${argument#*=} ;;
      --write-config-to* | --cleanup*) ;;
      *) old_flags="$old_flags$argument
" ;;
    esac
  done <"$staged/arguments"
}

# A kube-proxy that runs: as a unit, or as any other process of that name, which is most likely a pod.
check_kube_proxy() {
  [ -z "$root" ] || return 0
  if systemctl is-active --quiet "$OLD_UNIT"; then
    $replace || die "Cannot install: $OLD_UNIT must not run beside Sluice: say --replace-kube-proxy to stop and disable it"
    runs=true
    main_pid=$(systemctl show --property=MainPID --value "$OLD_UNIT")
  fi
  for name in /proc/[0-9]*/comm; do
    if [ "$(cat "$name" 2>/dev/null)" = kube-proxy ]; then
      process=${name%/comm}
      if [ "${process#/proc/}" = "$main_pid" ] || grep -qs "/$OLD_UNIT\$" "$process/cgroup"; then continue; fi
      die "Cannot install: no kube-proxy may run beside Sluice: process ${process#/proc/} is one, and not of $OLD_UNIT. If it is a pod, see docs/migrating.md"
    fi
  done
  ! $replace || read_old_flags
}

stop_kube_proxy() {
  $replace || return 0
  $runs || systemctl is-enabled --quiet "$OLD_UNIT" || return 0
  echo "stopping $OLD_UNIT"
  act systemctl disable --now "$OLD_UNIT"
}

find_binary() {
  if [ -z "$binary" ]; then
    for candidate in "$here/../dist/sluice" "$here/sluice"; do
      if [ -f "$candidate" ]; then binary=$candidate; break; fi
    done
  fi
  [ -f "$binary" ] || die "Cannot install: the program must be there: npm run build, or --binary FILE"
  if ! "$binary" --version >/dev/null 2>&1; then
    [ -n "$root" ] || die "Cannot install: $binary must run on this machine, and does not"
    runnable=false
  fi
}

# Says which file is to become the configuration, in `wanted`; makes it where it is to be made.
choose_config() {
  wanted=$staged/config.yaml
  if [ -n "$config" ]; then
    [ -f "$config" ] || die "Cannot install: --config must be a file: current value is $config"
    wanted=$config
  elif [ -n "$kubeconfig" ]; then
    {
      echo 'apiVersion: kubeproxy.config.k8s.io/v1alpha1'
      echo 'kind: KubeProxyConfiguration'
      if [ -z "$no_nftables" ]; then echo 'mode: nftables'; else echo 'mode: iptables'; fi
      echo 'clientConnection:'
      echo "  kubeconfig: $kubeconfig"
      [ -z "$cidr" ] || echo "clusterCIDR: $cidr"
      # What the unit sets, so that it need not be changed.
      echo 'oomScoreAdj: -999'
    } >"$wanted"
  elif [ -n "$old_config" ]; then
    [ -f "$old_config" ] || die "Cannot install: the configuration of $OLD_UNIT must be a file: current value is $old_config"
    wanted=$old_config
  elif [ -n "$old_flags" ]; then
    echo "making a configuration of the flags of $OLD_UNIT"
    # shellcheck disable=SC2086 # one flag a line
    run_program $old_flags --write-config-to "$wanted"
    # The file says all that they said, but for this one, which no field says.
    old_flags=$(printf '%s' "$old_flags" | sed -n '/^--\{0,1\}master$/{p;n;p;};/^--\{0,1\}master=/p')
  elif [ ! -e "$conf" ]; then
    die "Cannot install: there is no $conf yet: --config FILE or --kubeconfig FILE must say where the API server is"
  else
    wanted=$conf
  fi
  if [ -e "$conf" ] && ! $overwrite && [ "$wanted" != "$conf" ]; then
    cmp -s "$wanted" "$conf" || echo "keeping $conf, which differs from what was asked for: --overwrite-config replaces it"
    wanted=$conf
  fi
}

# Writes configurations and touches nothing else; what there is to say about them is printed.
run_program() {
  "$binary" "$@" >"$staged/said" 2>&1 || die "Cannot install: the configuration must be one that Sluice can start with: $(cat "$staged/said")"
  sed '/^Wrote /d' "$staged/said"
}

# That Sluice can start with it, as far as that can be known without the API server.
check_config() {
  if ! $runnable; then
    echo "not checking the configuration, since $binary does not run on this machine"
    return
  fi
  # shellcheck disable=SC2086 # one flag a line
  run_program $old_flags --config "$wanted" --write-config-to "$staged/effective"
  check_mode
  # The first of that name is clientConnection's.
  named=$(sed -n '/^ *kubeconfig: /{s///;s/"//g;p;q;}' "$staged/effective")
  if [ -n "$named" ]; then
    [ -f "$root$named" ] || die "Cannot install: clientConnection.kubeconfig of $wanted must be a file: current value is $root$named"
  elif ! grep -q '^ *manifests: *[^" ]' "$staged/effective" && [ "${old_flags#*master}" = "$old_flags" ]; then
    die "Cannot install: clientConnection.kubeconfig of $wanted must be set: a service of systemd has no pod's service account"
  fi
}

write_config() {
  copy "$wanted" "$conf" 0600
  [ -n "$old_flags" ] || return 0
  # Split at spaces by systemd.
  printf '# Flags of Sluice beside its configuration file: those of %s.\nSLUICE_FLAGS=%s\n' \
    "$OLD_UNIT" "$(printf '%s' "$old_flags" | paste -sd ' ')" >"$staged/flags.env"
  if [ -e "$flags" ] && ! $overwrite && ! cmp -s "$staged/flags.env" "$flags"; then
    echo "keeping $flags, which differs from the flags of $OLD_UNIT: --overwrite-config replaces it"
  else
    copy "$staged/flags.env" "$flags" 0644
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
      echo "install: Sluice is installed, but not healthy after $HEALTH_PATIENCE s: journalctl -u $UNIT says why. The rules are not in the kernel before the API server has answered" >&2
      if $runs; then
        echo "install: Until then kube-proxy's rules serve, as they are. Back to kube-proxy, in this order:" >&2
        printf '  %s\n' "systemctl disable --now $UNIT" "systemctl enable --now $OLD_UNIT" \
          "until curl -sf $OLD_HEALTH; do sleep 1; done" \
          "$program --cleanup --remove-kube-proxy-rules=false" >&2
      fi
      exit 1
    fi
    sleep 1
  done
  echo "Sluice runs and is healthy: $HEALTH"
}

install_all() {
  check_machine
  find_binary
  staged=$(mktemp -d)
  trap 'rm -rf "$staged"' EXIT
  # All that can be refused comes before anything is stopped or written.
  check_kube_proxy
  # From here on no * is a pattern: flags may have some.
  set -f
  choose_config
  check_config
  write_config
  copy "$binary" "$program" 0755
  copy "$here/systemd/$UNIT" "$unit" 0644
  if [ -n "$root" ]; then
    manager enable "$UNIT"
    return
  fi
  manager daemon-reload
  manager enable "$UNIT"
  stop_kube_proxy
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
    # The program can still do it later.
    act "$program" --cleanup --remove-kube-proxy-rules=false || die "Cannot uninstall: Sluice's rules must go first: see above; then again. $program and $unit stay until then, and the service is off"
  fi
  act rm -f "$program" "$unit"
  [ -n "$root" ] || manager daemon-reload
  for file in "$conf" "$flags"; do
    [ ! -e "$file" ] || echo "keeping $file"
  done
}

if $uninstall; then uninstall_all; else install_all; fi
