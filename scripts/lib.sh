# What the scripts of this folder share. Sourced, never run.
# shellcheck shell=bash

# shellcheck disable=SC2034  # for the scripts that source this
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'set-up stopped: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Timehands' own cache: the same folder as cache_folder() in machines/cache.py, which has a fallback
# that the scripts do not need.
cache_folder() {
    local home=${HOME:-}
    [ -n "$home" ] || home=~
    printf '%s\n' "${XDG_CACHE_HOME:-$home/.cache}/timehands"
}

# Sets as_root to the words that make a command run as root: none for root itself, sudo where it can
# be had. Fails when root cannot be had.
find_root() {
    as_root=()
    [ "$(id -u)" -eq 0 ] && return 0
    have sudo || return 1
    as_root=(sudo)
    sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }
}

# Runs apt-get as root without questions. Its output is kept for the case that it fails.
apt_as_root() {
    local log status=0
    log=$(mktemp)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" \
        </dev/null >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || { tail -n 30 "$log" >&2; }
    rm -f "$log"
    return "$status"
}

# The version that apt would install, or nothing when apt does not know the package.
apt_candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null |
        awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# Holds a lock on a folder until this process ends, so that two runs do not write it at once.
lock_folder() {
    exec 9<"$1"
    flock -n 9 || { say "waiting for another set-up in $1" && flock 9; }
}
