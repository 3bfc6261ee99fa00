# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/run: programs that some tests run against and that no Debian package
# has. A test looks for them by variable, then in PATH; who has neither gets them built
# by `tests/run --full` from their language's registry, or that test is skipped by name.

# NAME VARIABLE TOOL PACKAGE: what the program is called and who builds it from what.
peers_known="toxiproxy-server TOXIPROXY go github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
minio MINIO go github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
nydusd NYDUSD cargo nydus-rs@2.2.0
nydus-image NYDUS_IMAGE cargo nydus-rs@2.2.0"

# At least this new, or the build fails late and unclearly.
peer_tool_is_new_enough() { # TOOL
    local have
    case $1 in
    go) have=$(go env GOVERSION 2>/dev/null) && set -- "${have#go}" 1.24 ;;
    cargo) have=$(cargo --version 2>/dev/null) && set -- "$(echo "$have" | cut -d' ' -f2)" 1.75 ;;
    esac
    [ -n "${have-}" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

peer_build() { # NAME TOOL PACKAGE FOLDER
    local made
    case $2 in
    go)
        made=$(basename "${3%@*}")
        GOBIN=$4 GOFLAGS=-mod=mod go install "$3" || return 1
        [ "$made" = "$1" ] || mv "$4/$made" "$4/$1"
        ;;
    cargo)
        # Its own lock file: newer versions of what it needs do not fit together.
        cargo install --locked --root "${4%/bin}" "$3"
        ;;
    esac
}

# Build what is missing into FOLDER/bin. Never fails: who needs one skips without it.
peers_build() { # FOLDER LOG
    local name variable tool package
    mkdir -p "$1/bin"
    while read -r name variable tool package; do
        [ -z "${!variable-}" ] && ! command -v "$name" >/dev/null 2>&1 || continue
        if ! peer_tool_is_new_enough "$tool"; then
            echo "     $name: not built, there is no $tool that is new enough"
        elif peer_build "$name" "$tool" "$package" "$1/bin" >>"$2" 2>&1; then
            echo "     $name: built from $package"
        else
            echo "     $name: could not be built; see $2"
        fi
    done <<<"$peers_known"
}
