# SPDX-License-Identifier: Apache-2.0
# bash completion of rafs(1)

_rafs()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='build cache cat check chunks convert copy diff export extract find help info ls merge mount optimize prefetch pull push readlink sharing stat status tar trace umount'
    local common='--blob-dir --blob-source --s3-endpoint --s3-region --s3-path-style --s3-virtual-host
        --oss-endpoint --expect-digest --timeout --cache-dir --no-cache --cache-quota --cache-keep-free
        --learn --trace-record
        --platform --referrers --mirror --hosts-dir --p2p-proxy --p2p-ping
        --p2p-strict --p2p-http --plain-http --ca-file
        --client-cert --client-key --insecure --stats --stats-file --help'
    local options

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
        return
    fi
    case $prev in
    --blob-dir | --cache-dir | --hosts-dir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --output | -o | --chunk-store | --build-cache)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --fs-version)
        mapfile -t COMPREPLY < <(compgen -W '5 6' -- "$cur")
        return
        ;;
    --compressor)
        mapfile -t COMPREPLY < <(compgen -W 'zstd lz4 none' -- "$cur")
        return
        ;;
    --dedup)
        mapfile -t COMPREPLY < <(compgen -W 'none file chunk' -- "$cur")
        return
        ;;
    --progress)
        mapfile -t COMPREPLY < <(compgen -W 'auto plain json none' -- "$cur")
        return
        ;;
    --digest)
        mapfile -t COMPREPLY < <(compgen -W 'sha256 blake3' -- "$cur")
        return
        ;;
    --expect-digest)
        mapfile -t COMPREPLY < <(compgen -W 'sha256: blake3: blob-sha256:' -- "$cur")
        return
        ;;
    --ignore)
        mapfile -t COMPREPLY < <(compgen -W 'mode owner mtime xattr links content' -- "$cur")
        return
        ;;
    --via)
        mapfile -t COMPREPLY < <(compgen -W 'auto kernel fuse' -- "$cur")
        return
        ;;
    --fill)
        mapfile -t COMPREPLY < <(compgen -W 'auto fence events' -- "$cur")
        return
        ;;
    -type)
        mapfile -t COMPREPLY < <(compgen -W 'f d l c b p s' -- "$cur")
        return
        ;;
    --mirror | --p2p-proxy | --p2p-ping | --blob-source | --s3-endpoint | --s3-region | --oss-endpoint | --cache-quota | --cache-keep-free | --quota | --keep-free | --bandwidth | --threads | --daemon | --for | --watch | --annotation | --timeout | --offset | --length | -name | -path | -size | -perm | -links | -uid | -gid | -xattr)
        return
        ;;
    esac
    case ${COMP_WORDS[1]} in
    help)
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
        return
        ;;
    cache)
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W 'ls du gc pin unpin scrub path' -- "$cur")
            return
        fi
        options='--json --quota --keep-free --dry-run --bandwidth --blob'
        ;;
    build)
        options='--output --bootstrap --force --fs-version --compressor --level
            --chunk-size --batch-size --digest --dedup --chunk-dict --chunk-store
            --toc --inline-bootstrap --blob-per-layer --keep-whiteouts --aligned-chunk --owner
            --uid-map --gid-map --no-owners --mtime --no-xattrs --skip-unsupported
            --one-file-system --exclude --prefetch --prefetch-list --threads --no-sync
            --progress --json'
        ;;
    cat) options='--offset --length' ;;
    check) options='--json --metadata-only' ;;
    chunks | info | sharing) options='--json' ;;
    diff) options='--ignore --json' ;;
    merge) options='-o --bootstrap --parent --chunk-dict --blob-digests --blob-sizes --blob-toc-digests
        --blob-toc-sizes --force --no-sync --json' ;;
    optimize) options='--trace -o --output --table --force --no-sync --json' ;;
    prefetch) options='--table --trace --bandwidth --progress --json' ;;
    pull) options='--dry-run --bandwidth --progress --json' ;;
    mount) options='--via -o --fill --foreground --daemon --threads --prefetch-all --no-trace --upgrade' ;;
    status) options='--json --watch' common=--help ;;
    umount) options='--all --daemon --lazy' common=--help ;;
    trace)
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W 'show plot record' -- "$cur")
            return
        fi
        options='--json -o --size --for'
        ;;
    convert) options='--all-platforms --referrer --docker --build-cache --layers --force --progress --json
        --fs-version --compressor --level --chunk-size --batch-size --threads --digest --dedup
        --chunk-dict --chunk-store --aligned-chunk --owner --no-owners --uid-map --gid-map --mtime
        --no-xattrs --skip-unsupported --exclude --prefetch --prefetch-list' ;;
    copy) options='--all --force --threads --progress --json' ;;
    push) options='--config --annotation --docker --force --threads --progress --json' ;;
    export) options='--erofs -o --output --devices --force --no-sync --progress --json' ;;
    extract) options='--overwrite --sparse --same-owner --no-same-owner --no-xattrs --json' ;;
    find) options='-name -path -type -size -perm -links -uid -gid -xattr -print0 --json' ;;
    ls) options='-l -R --json --digest' ;;
    stat) options='-L --json' ;;
    *) options='' ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options $common" -- "$cur")
    elif [[ ${COMP_WORDS[1]} == umount || ${COMP_WORDS[1]} == status ]]; then
        # not by looking into them: one that hangs would hang the shell
        mapfile -t COMPREPLY < <(compgen -W "$(
            awk '$9 == "fuse.rafs" || $9 == "erofs" || $10 == "fuse.rafs" || $10 == "erofs" { print $5 }' \
                /proc/self/mountinfo 2>/dev/null)" -- "$cur")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _rafs rafs
