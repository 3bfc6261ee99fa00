# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/run and examples/try: what a machine lacks, and how to get it.
#
# A need is KIND:THING=PACKAGE, where KIND:THING can be looked for on any system (cmd: a
# program, pc: a pkg-config module, header: a file of the C library, py: a module) and PACKAGE is
# Debian's name for what brings it. Looking takes milliseconds, so it is done each time.

need_is_there() { # KIND:THING
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    header:*) [ -e "/usr/include/${1#header:}" ] ;;
    py:*) python3 -c "import ${1#py:}" 2>/dev/null ;;
    esac
}

missing_packages() { # NEED...: prints the packages of those that are not there
    local need
    for need in "$@"; do
        need_is_there "${need%%=*}" || echo "${need#*=}"
    done | sort -u
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what is missing. Fails with a message if that cannot be done; its output is
# shown only then.
install_needs() { # NEED...
    local packages log
    packages=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing: what Debian calls $packages" >&2
        echo "There is no apt-get here; install them with this system's own means." >&2
        return 1
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        echo "Missing packages: $packages" >&2
        echo "Only root can install them: apt-get install $packages" >&2
        return 1
    fi
    echo "Installing ${packages% }"
    log=$(mktemp) || return 1
    # shellcheck disable=SC2086 # a list of names
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get update >"$log" 2>&1 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
            --no-install-recommends $packages >>"$log" 2>&1; then
        rm -f "$log"
        packages=$(missing_packages "$@" | tr '\n' ' ')
        [ -z "$packages" ] && return 0
        echo "Installed, and yet not found: $packages" >&2
        return 1
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "apt-get could not install: $packages" >&2
    return 1
}
