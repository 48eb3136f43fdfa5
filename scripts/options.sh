# shellcheck shell=bash
# For scripts that other programs start: --help and wrong options, before any set-up.

# usage SCRIPT: prints the comment of a script, from its usage on.
usage() { sed -n '/^# usage/,/^set /{s/^# \{0,1\}//;/^set /d;p}' "$1"; }

# check_options SCRIPT NAME ARGUMENT...: prints the usage and exits for --help; exits with status 2
# for an option that the usage does not list.
check_options() {
  local script=$1 name=$2 argument
  shift 2
  for argument in "$@"; do
    case $argument in
      -h | --help)
        usage "$script"
        exit
        ;;
      -*)
        if ! usage "$script" | grep "^  ${argument%%=*}  *[A-Za-z]" >/dev/null; then
          echo "$name: unknown option \"$argument\" (see --help)" >&2
          exit 2
        fi
        ;;
    esac
  done
}
