#!/usr/bin/env bash
# Makes this machine ready for Timehands: QEMU with TCG plugins, a C compiler, and the virtual
# environment .venv with the command timehands. See docs/setup.md.
#
# usage: scripts/setup.sh [--dry-run]
#   --dry-run   say what is missing and what would be changed; change nothing
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

venv=$root/.venv
stamp=$venv/.timehands-ready
begun=$venv/.timehands-begun
# Tests put another release here.
release_file=${TIMEHANDS_OS_RELEASE:-/etc/os-release}
backports_file=/etc/apt/sources.list.d/timehands-backports.sources

# Exported by a QEMU whose plugins read registers and memory (plugin API 4, QEMU 9.2 and later).
plugin_symbol=qemu_plugin_read_memory_vaddr
first_good_qemu=1:9.2

# --- what is there ---------------------------------------------------------------------------

# Every QEMU that could be used, the wanted one first.
qemu_candidates() {
    if [ -n "${TIMEHANDS_QEMU:-}" ]; then
        printf '%s\n' "$TIMEHANDS_QEMU"
    else
        type -aP qemu-system-x86_64 || true
    fi
}

# Prints the first QEMU with the plugin functions; fails when there is none.
good_qemu() {
    local path
    while read -r path; do
        grep -aq "$plugin_symbol" "$path" 2>/dev/null && printf '%s\n' "$path" && return 0
    done < <(qemu_candidates)
    return 1
}

compiler_path() { type -P "${CC:-cc}" || type -P cc || type -P gcc || type -P clang; }

# A compiler without the C library's headers is there on many machines: really compile.
compiler_works() {
    local cc folder status=0
    cc=$(compiler_path) || return 1
    folder=$(mktemp -d)
    printf '#include <stdio.h>\n#include <stdint.h>\nint f(void) { return puts(""); }\n' \
        >"$folder/probe.c"
    "$cc" -shared -fPIC -o "$folder/probe.so" "$folder/probe.c" >/dev/null 2>&1 || status=1
    rm -rf "$folder"
    return "$status"
}

python_suits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Prints a Python from 3.11 on that can make virtual environments.
good_python() {
    local name path
    for name in "${TIMEHANDS_PYTHON:-python3}" /usr/bin/python3 python3.13 python3.12 python3.11; do
        path=$(type -P "$name") && python_suits "$path" && printf '%s\n' "$path" && return 0
    done
    return 1
}

venv_works() {
    [ ! -e "$begun" ] && "$venv/bin/python" -c \
        'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

certificates_there() { [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${PIP_CERT:-}" ]; }

# --- nothing to do? --------------------------------------------------------------------------

# What the environment was made from, and the programs it was made with.
fingerprint() {
    printf '%s\n' "$root"
    (cd "$root" && sha256sum pyproject.toml constraints.txt scripts/setup.sh)
    stat -L -c '%n %s %Y' "$venv/bin/python" "$(good_qemu)" "$(compiler_path)"
}

already_done() {
    [ -x "$venv/bin/timehands" ] && [ -e "$stamp" ] && [ ! -e "$begun" ] &&
        [ "$(fingerprint 2>/dev/null)" = "$(<"$stamp")" ]
}

# --- the plan --------------------------------------------------------------------------------

find_missing() {
    missing=() packages=() qemu_packages=()
    good_qemu >/dev/null || {
        missing+=("QEMU whose TCG plugins read registers and memory (9.2 or later)")
        qemu_packages=(qemu-system-x86)
    }
    compiler_works || {
        missing+=("a C compiler with the C library's headers")
        packages+=(gcc libc6-dev)
    }
    venv_works || good_python >/dev/null || {
        missing+=("Python 3.11 or later that can make virtual environments")
        packages+=(python3 python3-venv)
    }
    venv_works || certificates_there || {
        missing+=("the certificates that pip checks servers with")
        packages+=(ca-certificates)
    }
}

os_release() {
    # shellcheck source=/dev/null
    (. "$release_file" 2>/dev/null && printf '%s\n' "${!1:-}")
}

# Mirror and release of each package source that apt is configured for. This works before the first
# apt-get update and without root.
apt_sources() {
    LC_ALL=C apt-get update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*/\)dists/\([^/']*\)/InRelease'.*|\1 \2|p"
}

# Decides where QEMU comes from: qemu_from is empty for the release itself, or names the backports.
# A machine without package lists yet is judged by its release: Debian 12 has QEMU 7.2.
choose_qemu_source() {
    local candidate codename
    qemu_from='' backports_source=''
    [ ${#qemu_packages[@]} -gt 0 ] || return 0
    codename=$(os_release VERSION_CODENAME)
    candidate=$(apt_candidate qemu-system-x86)
    if [ -n "$candidate" ]; then
        dpkg --compare-versions "$candidate" ge "$first_good_qemu" && return 0
    else
        [ "$codename" = bookworm ] || return 0
    fi
    [ "$(os_release ID)" = debian ] || die \
        "this system's packages have QEMU ${candidate:-of unknown version}; 9.2 or later is needed" \
        "Put one in PATH, or name it in TIMEHANDS_QEMU, and try again."
    qemu_from=$codename-backports
    apt_sources | grep -E " ($qemu_from|(old)?stable-backports)\$" >/dev/null ||
        make_backports_source "$codename"
}

# The backports suite on the mirror that the release itself comes from.
make_backports_source() {
    local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt_sources | sed -nE "s/^(.*) ($1|(old)?stable)\$/\1/p" | head -n 1) || true
    [ -n "$mirror" ] || die "no package source of $1 is configured, so its backports are not known"
    backports_source="Types: deb
URIs: $mirror
Suites: $1-backports
Components: main"
    [ ! -e "$keyring" ] || backports_source+="
Signed-By: $keyring"
}

# The commands of the plan, one a line, as a person would type them.
plan_commands() {
    [ -z "$backports_source" ] ||
        printf "printf '%%s\\\\n' %s >%s\n" "$(quote_lines "$backports_source")" "$backports_file"
    printf 'apt-get update\n'
    [ ${#qemu_packages[@]} -eq 0 ] || printf 'apt-get install %s\n' "$(qemu_install_words)"
    [ ${#packages[@]} -eq 0 ] ||
        printf 'apt-get install --no-install-recommends %s\n' "${packages[*]}"
}

quote_lines() {
    local line words=()
    while IFS= read -r line; do words+=("'$line'"); done <<<"$1"
    printf '%s' "${words[*]}"
}

qemu_install_words() {
    printf '%s' "--no-install-recommends ${qemu_from:+-t $qemu_from }${qemu_packages[*]}"
}

needs_packages() { [ $((${#packages[@]} + ${#qemu_packages[@]})) -gt 0 ]; }

print_missing() {
    say "Missing on this machine:"
    printf '  - %s\n' "${missing[@]}" >&2
}

print_system_plan() {
    say "Set-up will change the system (as root${as_root:+, through ${as_root[0]}}):"
    plan_commands | sed 's/^/    /' >&2
}

print_venv_plan() {
    local how="make the virtual environment"
    [ ! -e "$venv" ] || how="mend the virtual environment"
    venv_works && how="bring up to date the virtual environment"
    say "Set-up will $how $venv"
    say "and install Timehands with the Python packages of constraints.txt into it."
}

# --- doing it --------------------------------------------------------------------------------

check_machine() {
    [ "$(uname -s)" = Linux ] || die "Timehands runs on Linux, this is $(uname -s)"
    [ "$(uname -m)" = x86_64 ] || die "Timehands runs on x86-64 hosts, this is $(uname -m)"
    needs_packages || return 0
    have apt-get || die "this system has no apt-get, so set-up cannot install what is missing" \
        "Install it by other means and try again."
}

refuse_without_root() {
    die "this user can install nothing (not root, and sudo is not to be had)" \
        "Run this as root, then try again:" "" "$(plan_commands | sed 's/^/    /')"
}

install_packages() {
    needs_packages || return 0
    find_root || refuse_without_root
    print_system_plan
    [ -z "$backports_source" ] ||
        printf '%s\n' "$backports_source" | "${as_root[@]}" tee "$backports_file" >/dev/null
    say "Installing packages; this takes up to a minute or two ..."
    apt_as_root update || die "apt-get update failed (see above)"
    # shellcheck disable=SC2046  # words on purpose
    [ ${#qemu_packages[@]} -eq 0 ] || apt_as_root install $(qemu_install_words) ||
        die "apt-get could not install QEMU (see above)"
    [ ${#packages[@]} -eq 0 ] || apt_as_root install --no-install-recommends "${packages[@]}" ||
        die "apt-get could not install ${packages[*]} (see above)"
    hash -r
    find_missing
    [ ${#missing[@]} -eq 0 ] || die "still missing after the installation: ${missing[*]}"
}

make_venv() {
    venv_works && return 0
    "$(good_python)" -m venv --clear "$venv" || die "python3 -m venv $venv failed (see above)"
}

# An interrupted run leaves the mark behind, and the next one starts afresh.
fill_venv() {
    touch "$begun"
    say "Installing Python packages; this takes up to a minute ..."
    pip_install setuptools
    pip_install --no-build-isolation -e "${root}[dev]"
    fingerprint >"$stamp"
    rm -f "$begun"
}

pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install -qq \
        --constraint "$root/constraints.txt" "$@" </dev/null ||
        die "pip could not install into $venv (see above)"
}

dry_run() {
    if needs_packages; then
        if find_root; then print_system_plan; else refuse_without_root; fi
    fi
    print_venv_plan
    say "(dry run: nothing was changed)"
}

main() {
    case ${1:-} in
        '' | --dry-run) ;;
        -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && return 0 ;;
        *) die "unknown argument: $1" "usage: scripts/setup.sh [--dry-run]" ;;
    esac
    if already_done; then
        [ -z "${1:-}" ] || say "Nothing is missing: set-up was done already."
        return 0
    fi
    find_missing
    [ ${#missing[@]} -eq 0 ] || print_missing
    check_machine
    choose_qemu_source
    [ "${1:-}" != --dry-run ] || { dry_run && return 0; }
    [ -w "$root" ] || die "this user may not write into $root"
    lock_folder "$root"
    already_done && return 0
    install_packages
    print_venv_plan
    make_venv
    fill_venv
    say "Set-up is done. The command is $venv/bin/timehands"
}

main "$@"
