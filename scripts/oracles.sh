#!/usr/bin/env bash
# Installs the programs that the tests compare with and that nobody needs for anything else, and the
# source of a kernel. Without them those tests are skipped, each naming what it lacks. Continuous
# integration runs this.
#
# usage: scripts/oracles.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# program:package
programs=(
    bpftool:bpftool bzip2:bzip2 chromium:chromium cpio:cpio cpuid:cpuid cscope:cscope lz4:lz4
    lzop:lzop llvm-objcopy:llvm make:make pahole:dwarves shellcheck:shellcheck xz:xz-utils
    zstd:zstd
)

missing=()
for entry in "${programs[@]}"; do
    have "${entry%%:*}" || [ -x "/usr/sbin/${entry%%:*}" ] || missing+=("${entry##*:}")
done
# The release's kernel source: its configuration is held against what make names there.
compgen -G '/usr/src/linux-source-*.tar.xz' >/dev/null || missing+=(linux-source)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
find_root || { say "not root: tests that need these are skipped: ${missing[*]}" && exit 0; }
say "Installing what tests compare with: ${missing[*]}"
apt_as_root update || say "the package lists could not be brought up to date"
# One at a time: one that cannot be had does not keep the others away. A newer library that QEMU
# brought from backports may want the package from there too.
backports=$(. /etc/os-release && printf '%s-backports' "${VERSION_CODENAME:-}")
for package in "${missing[@]}"; do
    apt_as_root install --no-install-recommends "$package" 2>/dev/null ||
        apt_as_root install --no-install-recommends -t "$backports" "$package" ||
        say "$package could not be installed: the tests that need it are skipped"
done
