#!/usr/bin/env bash
# Fetches the sample kernel, Debian's linux-image-cloud-amd64, and unpacks it into the cache.
# Nothing is installed into the system. Prints the path of the kernel on standard output.
#
# usage: scripts/fetch-sample-kernel.sh
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

metapackage=linux-image-cloud-amd64
cache=$(cache_folder)
sample=$cache/sample

sample_kernel() {
    local path
    for path in "$sample"/boot/vmlinuz-*; do
        [ -f "$path" ] && printf '%s\n' "$path" && return 0
    done
    return 1
}

# The kernel package that the metapackage stands for, as name=version. apt's own preferences keep
# backports behind the release, so they are taken only where nothing else has the package.
kernel_package() {
    { LC_ALL=C apt-cache show --no-all-versions "$metapackage" 2>/dev/null || true; } |
        sed -nE 's/^Depends: (linux-image-[^ ,]*) \(= ([^)]*)\).*/\1=\2/p'
}

# Package lists are needed to find the package, and only root may fetch them.
refresh_lists() {
    find_root || die "apt does not know $metapackage, and only root can ask for newer package lists" \
        "Run this as root, then try again:" "" "    apt-get update"
    say "Refreshing apt's package lists (apt-get update${as_root:+, through ${as_root[0]}}) ..."
    apt_as_root update || die "apt-get update failed (see above)"
}

find_package() {
    package=$(kernel_package)
    [ -n "$package" ] && return 0
    refresh_lists
    package=$(kernel_package)
    [ -n "$package" ] || die "apt knows no $metapackage: is a Debian release configured for amd64?"
}

# apt-get download in the folder $1; as root apt would change to a user that cannot write there.
download() {
    (cd "$1" && LC_ALL=C apt-get -q -o APT::Sandbox::User=root download "$package") \
        </dev/null >"$1/log" 2>&1
}

download_or_refresh() {
    download "$1" && return 0
    refresh_lists # the lists may be older than the archive
    find_package
    download "$1" || { tail -n 20 "$1/log" >&2 && die "apt-get could not download $package"; }
}

# Unpacks beside the final folder and renames, so that an interrupted run leaves nothing half-made.
unpack() {
    dpkg -x "$1"/*.deb "$1/tree" || die "dpkg could not unpack $package"
    chmod 755 "$1/tree"
    rm -rf "$sample"
    mv -T "$1/tree" "$sample"
}

fetch() {
    local work
    find_package
    say "Fetching the sample kernel $package (about 30 MB) into $sample"
    say "(unpacked there only; nothing is installed into the system)"
    work=$(mktemp -d "$cache/.sample.XXXXXX")
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$work'" EXIT
    download_or_refresh "$work"
    unpack "$work"
}

main() {
    [ $# -eq 0 ] || die "usage: scripts/fetch-sample-kernel.sh"
    sample_kernel && return 0
    { have apt-get && have dpkg; } || die "the sample kernel comes from Debian's apt, not found here" \
        "Put a kernel at $sample/boot/vmlinuz-sample, and try again."
    mkdir -p "$cache" && lock_folder "$cache"
    sample_kernel && return 0
    fetch
    sample_kernel || die "$package holds no boot/vmlinuz-*"
}

main "$@"
