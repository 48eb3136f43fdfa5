#!/bin/sh
# Installs Sluice on this node as a systemd service, or removes it. You can run it again: it changes
# only what differs, and restarts the service only after a change.
#
# usage: deploy/install.sh [--config FILE | --kubeconfig FILE [--cluster-cidr CIDR]] [options]
#        deploy/install.sh --uninstall [options]
#
#   --config FILE           use this KubeProxyConfiguration, for example
#                           /var/lib/kube-proxy/config.conf
#   --kubeconfig FILE       make a configuration with this kubeconfig
#   --cluster-cidr CIDR     the range of all pods, for the configuration made with --kubeconfig
#   --replace-kube-proxy    stop and disable kube-proxy.service, and use its flags. Without --config
#                           and --kubeconfig, use its configuration too. If this option is missing,
#                           the script does not install while a kube-proxy runs
#   --overwrite-config      replace /etc/sluice/config.yaml if it exists; by default the script
#                           keeps it
#   --binary FILE           the program (default: dist/sluice, or sluice next to this script)
#   --uninstall             stop Sluice, and remove its rules, the program and the unit
#   --root DIR              install into DIR, the root directory of another system, such as an
#                           image. The script then starts nothing and checks less
#   --dry-run               print the commands that would run
#   --help                  print this text
set -eu

UNIT=sluice.service OLD_UNIT=kube-proxy.service
HEALTH=http://127.0.0.1:10256/livez
# kube-proxy listens here after the API server has answered. --cleanup checks for its rules itself.
OLD_HEALTH=http://127.0.0.1:10256/healthz
# Seconds.
HEALTH_TIMEOUT=30
# The first version with every feature of the rules, such as concatenated ranges.
KERNEL_MAJOR=5 KERNEL_MINOR=13

here=$(cd "$(dirname "$0")" && pwd)
binary='' config='' kubeconfig='' cidr='' root=''
replace=false overwrite=false uninstall=false dry=false changed=false
# The file of kube-proxy.service, its other flags (one on each line), and whether it runs.
old_config='' old_flags='' runs=false main_pid=0 runnable=true
# Why this machine cannot use nftables.
no_nftables=''

usage() { sed -n '/^# usage:/,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; }
die() { echo "install.sh: $*" >&2; exit 1; }
# Runs a command, or prints it in a dry run.
act() {
  if $dry; then echo "would run: $*"; else "$@"; fi
}

need_value() { [ $# -ge 2 ] || die "option $1: needs a value"; }

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
    *) usage >&2; die "option $1: unknown" ;;
  esac
  shift
done

program=$root/usr/local/bin/sluice
unit=$root/etc/systemd/system/$UNIT
conf=$root/etc/sluice/config.yaml
flags=$root/etc/sluice/flags.env

# Calls the service manager of this system or of the image.
manager() {
  if [ -n "$root" ]; then act systemctl --root="$root" "$@"; else act systemctl "$@"; fi
}

# copy FROM TO MODE: replaces TO in one step, and only if the files differ.
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
  [ "$(id -u)" = 0 ] || die "must run as root, not as uid $(id -u)"
  [ -z "$root" ] || return 0
  release=$(uname -r)
  major=${release%%.*} minor=${release#*.} minor=${minor%%[!0-9]*}
  modprobe -q nf_tables 2>/dev/null || true
  if [ "$major" -lt $KERNEL_MAJOR ] ||
    { [ "$major" = $KERNEL_MAJOR ] && [ "$minor" -lt $KERNEL_MINOR ]; }; then
    no_nftables="Linux $release is older than $KERNEL_MAJOR.$KERNEL_MINOR"
  elif [ -r /proc/kallsyms ] && ! grep -q ' nft_do_chain' /proc/kallsyms; then
    no_nftables="Linux $release has no nf_tables, neither built in nor as a module"
  fi
  command -v systemctl >/dev/null ||
    die "systemctl: not found in PATH (without systemd, see docs/install.md)"
}

# Checks for a complete set of tools of one variant, where Sluice looks for them.
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

# Checks that this machine supports the mode. Without nftables in the kernel, iptables is enough,
# unless the mode is nftables.
check_mode() {
  [ -z "$root" ] || return 0
  mode=$(field mode "$staged/effective")
  if [ "$mode" = iptables ]; then
    has_iptables ||
      die "mode iptables: iptables is not installed (it needs iptables-save and iptables-restore)"
    return 0
  fi
  [ -n "$no_nftables" ] || return 0
  if [ "$mode" = nftables ]; then
    die "mode nftables: $no_nftables (mode iptables works here)"
  fi
  has_iptables ||
    die "mode ${mode:-auto}: $no_nftables, and iptables is not installed (install iptables)"
}

# Prints the arguments of kube-proxy.service, one on each line. In a running process, variables have
# their values. If none runs, the arguments come from the unit.
old_arguments() {
  if $runs && [ -r "/proc/$main_pid/cmdline" ]; then
    tr '\000' '\n' <"/proc/$main_pid/cmdline"
  else
    systemctl show --property=ExecStart --value "$OLD_UNIT" |
      sed -n '1{s/.*argv\[\]=//;s/ ; ignore_errors=.*//;p;}' | tr ' ' '\n'
  fi
}

# Sorts the arguments into old_config and old_flags.
read_old_flags() {
  old_arguments >"$staged/arguments"
  pending='' number=0
  while IFS= read -r argument; do
    number=$((number + 1))
    case $argument in *[!]A-Za-z0-9_.,:=/*@+[-]*)
      die "flags of $OLD_UNIT: invalid value \"$argument\": must contain only letters, digits and \
_.,:=/*@+-[] (make the configuration yourself, stop $OLD_UNIT, and pass --config without \
--replace-kube-proxy: see docs/install.md)" ;;
    esac
    # The program's name, and hyperkube's name of the component.
    if [ $number = 1 ]; then continue; fi
    if [ $number = 2 ] && [ "${argument#-}" = "$argument" ]; then continue; fi
    if [ -n "$pending" ]; then old_config=$argument pending=''; continue; fi
    case $argument in
      --config | -config) pending=$argument ;;
      --config=* | -config=*) old_config=${argument#*=} ;;
      --write-config-to* | --cleanup*) ;;
      *) old_flags="$old_flags$argument
" ;;
    esac
  done <"$staged/arguments"
}

# Looks for a running kube-proxy: the unit, or another process with that name, probably in a pod.
check_kube_proxy() {
  [ -z "$root" ] || return 0
  if systemctl is-active --quiet "$OLD_UNIT"; then
    $replace || die "$OLD_UNIT is running (--replace-kube-proxy stops and disables it)"
    runs=true
    main_pid=$(systemctl show --property=MainPID --value "$OLD_UNIT")
  fi
  for name in /proc/[0-9]*/comm; do
    if [ "$(cat "$name" 2>/dev/null)" = kube-proxy ]; then
      process=${name%/comm}
      if [ "${process#/proc/}" = "$main_pid" ] ||
        grep -qs "/$OLD_UNIT\$" "$process/cgroup"; then
        continue
      fi
      die "kube-proxy is running as process ${process#/proc/}, not in $OLD_UNIT \
(if it is in a pod, see docs/migrating.md)"
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
  [ -f "$binary" ] ||
    die "program ${binary:-dist/sluice}: no such file (run npm run build, or pass --binary FILE)"
  if ! "$binary" --version >/dev/null 2>&1; then
    [ -n "$root" ] || die "program $binary: does not run on this machine"
    runnable=false
  fi
}

# Prints a YAML string, whatever it contains: a path may contain "#" or ": ".
quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

# field NAME FILE: prints the first field with this name in a file that the program wrote. Its
# values have one line each, with quotes if necessary.
field() {
  sed -n "/^ *$1: /{s///
    /^'.*'\$/{s/^.//;s/.\$//;s/''/'/g;}
    /^\".*\"\$/{s/^.//;s/.\$//;s/\\\\\([\"\\\\]\)/\\1/g;}
    p;q;}" "$2"
}

# Sets `wanted` to the file that becomes the configuration, and creates it if necessary.
choose_config() {
  wanted=$staged/config.yaml
  if [ -n "$config" ]; then
    [ -f "$config" ] || die "--config $config: not a file"
    wanted=$config
  elif [ -n "$kubeconfig" ]; then
    {
      echo 'apiVersion: kubeproxy.config.k8s.io/v1alpha1'
      echo 'kind: KubeProxyConfiguration'
      if [ -z "$no_nftables" ]; then echo 'mode: nftables'; else echo 'mode: iptables'; fi
      echo 'clientConnection:'
      printf '  kubeconfig: %s\n' "$(quoted "$kubeconfig")"
      [ -z "$cidr" ] || printf 'clusterCIDR: %s\n' "$(quoted "$cidr")"
      # The value that the unit sets too, so that Sluice need not change it.
      echo 'oomScoreAdj: -999'
    } >"$wanted"
  elif [ -n "$old_config" ]; then
    [ -f "$old_config" ] || die "configuration of $OLD_UNIT: $old_config: not a file"
    wanted=$old_config
  elif [ -n "$old_flags" ]; then
    echo "making a configuration from the flags of $OLD_UNIT"
    # shellcheck disable=SC2086 # one flag on each line
    run_program $old_flags --write-config-to "$wanted"
    # The file now has all of them except this one, for which it has no field.
    old_flags=$(printf '%s' "$old_flags" |
      sed -n '/^--\{0,1\}master$/{p;n;p;};/^--\{0,1\}master=/p')
  elif [ ! -e "$conf" ]; then
    die "$conf does not exist yet (pass --config FILE or --kubeconfig FILE)"
  else
    wanted=$conf
  fi
  if [ -e "$conf" ] && ! $overwrite && [ "$wanted" != "$conf" ]; then
    cmp -s "$wanted" "$conf" ||
      echo "keeping $conf, which differs from the requested one (--overwrite-config replaces it)"
    wanted=$conf
  fi
}

# Runs the program to write a configuration, which changes nothing else, and prints its warnings.
run_program() {
  "$binary" "$@" >"$staged/output" 2>&1 || die "check the configuration: $(cat "$staged/output")"
  sed '/^Wrote /d' "$staged/output"
}

# Checks that Sluice can start with the configuration, as far as possible without the API server.
check_config() {
  if ! $runnable; then
    echo "not checking the configuration: $binary does not run on this machine"
    return
  fi
  # shellcheck disable=SC2086 # one flag on each line
  run_program $old_flags --config "$wanted" --write-config-to "$staged/effective"
  check_mode
  # The first field with this name is in clientConnection.
  named=$(field kubeconfig "$staged/effective")
  if [ -n "$named" ]; then
    [ -f "$root$named" ] || die "$wanted: clientConnection.kubeconfig: $root$named: not a file"
  elif [ -z "$(field manifests "$staged/effective")" ] &&
    [ "${old_flags#*master}" = "$old_flags" ]; then
    die "$wanted: clientConnection.kubeconfig: must be set (only a pod has a service account)"
  fi
}

write_config() {
  copy "$wanted" "$conf" 0600
  [ -n "$old_flags" ] || return 0
  # systemd splits the value at spaces.
  printf '# Flags of %s, for Sluice to use with its configuration file.\nSLUICE_FLAGS=%s\n' \
    "$OLD_UNIT" "$(printf '%s' "$old_flags" | paste -sd ' ')" >"$staged/flags.env"
  if [ -e "$flags" ] && ! $overwrite && ! cmp -s "$staged/flags.env" "$flags"; then
    echo "keeping $flags, which differs from the flags of $OLD_UNIT \
(--overwrite-config replaces it)"
  else
    copy "$staged/flags.env" "$flags" 0644
  fi
}

# A node may have no HTTP client, but the program contains Bun, which is one.
is_healthy() {
  BUN_BE_BUN=1 "$program" -e \
    "fetch('$HEALTH').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"
}

check_health() {
  waited=0
  while ! is_healthy; do
    waited=$((waited + 1))
    if [ $waited -ge $HEALTH_TIMEOUT ]; then
      echo "install.sh: Sluice is installed, but not healthy after $HEALTH_TIMEOUT s \
(see journalctl -u $UNIT). It writes no rules before the API server has answered." >&2
      if $runs; then
        echo "install.sh: kube-proxy's rules stay until then, but nothing updates them. \
To go back to kube-proxy, run in this order:" >&2
        printf '  %s\n' "systemctl disable --now $UNIT" "systemctl enable --now $OLD_UNIT" \
          "until curl -sf $OLD_HEALTH; do sleep 1; done" \
          "$program --cleanup --remove-kube-proxy-rules=false" >&2
      fi
      exit 1
    fi
    sleep 1
  done
  echo "Sluice is running and healthy: $HEALTH"
}

install_all() {
  check_machine
  find_binary
  staged=$(mktemp -d)
  trap 'rm -rf "$staged"' EXIT
  # Everything that may be refused comes before the script stops or writes anything.
  check_kube_proxy
  # Flags may contain *, which is not a pattern from here on.
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
  # The unit is ready when the first rules are in the kernel. check_health limits this wait.
  if $changed; then manager restart --no-block "$UNIT"; else manager start --no-block "$UNIT"; fi
  $dry || check_health
}

uninstall_all() {
  [ "$(id -u)" = 0 ] || die "must run as root, not as uid $(id -u)"
  if [ -f "$unit" ]; then
    if [ -n "$root" ]; then manager disable "$UNIT"; else manager disable --now "$UNIT"; fi
  fi
  if [ -f "$program" ] && [ -z "$root" ]; then
    # If this fails, keep the program for another attempt.
    act "$program" --cleanup --remove-kube-proxy-rules=false ||
      die "uninstall: Sluice's rules are still in the kernel, see above (run this again later). \
The service is stopped; $program and $unit stay"
  fi
  act rm -f "$program" "$unit"
  [ -n "$root" ] || manager daemon-reload
  for file in "$conf" "$flags"; do
    [ ! -e "$file" ] || echo "keeping $file"
  done
}

if $uninstall; then uninstall_all; else install_all; fi
