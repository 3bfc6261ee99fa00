# SPDX-License-Identifier: Apache-2.0
# fish completion of rafs(1)

set -l commands cat check chunks extract find help info ls readlink stat tar
set -l none "not __fish_seen_subcommand_from $commands"
set -l some "__fish_seen_subcommand_from $commands"

complete -c rafs -n $none -f -a cat -d 'Write files to standard output'
complete -c rafs -n $none -f -a check -d 'Look at everything in an image'
complete -c rafs -n $none -f -a chunks -d 'Show where the bytes of a file lie'
complete -c rafs -n $none -f -a extract -d 'Restore files into a directory'
complete -c rafs -n $none -f -a find -d 'Print paths that pass tests'
complete -c rafs -n $none -f -a help -d 'Show help'
complete -c rafs -n $none -f -a info -d 'Show what an image is'
complete -c rafs -n $none -f -a ls -d 'List directories'
complete -c rafs -n $none -f -a readlink -d 'Print targets of symbolic links'
complete -c rafs -n $none -f -a stat -d 'Show all attributes of files'
complete -c rafs -n $none -f -a tar -d 'Write a pax archive to standard output'
complete -c rafs -n $none -l version -d 'Show versions'
complete -c rafs -l help -d 'Show help'

complete -c rafs -n $some -l blob-dir -r -a '(__fish_complete_directories)' -d 'Folder of blobs'
complete -c rafs -n $some -l expect-digest -x -a 'sha256: blake3: blob-sha256:' -d 'Refuse another bootstrap'
complete -c rafs -n $some -l cache-dir -r -a '(__fish_complete_directories)' -d 'Keep chunks there'
complete -c rafs -n $some -l platform -x -a 'linux/amd64 linux/arm64' -d 'Which image of an index'
complete -c rafs -n $some -l referrers -d 'Take a RAFS form attached to an ordinary image'
complete -c rafs -n $some -l plain-http -d 'http instead of https'
complete -c rafs -n $some -l ca-file -r -d 'Certificates to believe'
complete -c rafs -n $some -l client-cert -r -d 'Certificate to show'
complete -c rafs -n $some -l client-key -r -d 'Its key'
complete -c rafs -n $some -l insecure -d 'Believe any certificate'
complete -c rafs -n $some -l stats -a '--stats=json --stats=openmetrics' -d 'Tell what reading took'
complete -c rafs -n $some -l stats-file -r -d 'Where to tell it'
complete -c rafs -n $some -l timeout -x -d 'Seconds for one step'
complete -c rafs -n '__fish_seen_subcommand_from help' -f -a "$commands"

set -l json '__fish_seen_subcommand_from check chunks extract find info ls stat'
complete -c rafs -n $json -l json -d 'JSON output'
complete -c rafs -n '__fish_seen_subcommand_from cat' -l offset -x -d 'First byte'
complete -c rafs -n '__fish_seen_subcommand_from cat' -l length -x -d 'Bytes'
complete -c rafs -n '__fish_seen_subcommand_from check' -l metadata-only -d 'Leave the blobs alone'
complete -c rafs -n '__fish_seen_subcommand_from extract' -l overwrite -d 'Replace files that exist'
complete -c rafs -n '__fish_seen_subcommand_from extract' -l sparse -d 'Make holes of blocks of zeros too'
complete -c rafs -n '__fish_seen_subcommand_from extract' -l same-owner -d 'Restore owners'
complete -c rafs -n '__fish_seen_subcommand_from extract' -l no-same-owner -d 'Leave owners alone'
complete -c rafs -n '__fish_seen_subcommand_from extract' -l no-xattrs -d 'Leave extended attributes out'
complete -c rafs -n '__fish_seen_subcommand_from ls' -s l -d 'Long lines'
complete -c rafs -n '__fish_seen_subcommand_from ls' -s R -d 'All that lies below'
complete -c rafs -n '__fish_seen_subcommand_from ls' -l digest -x -a 'sha256 blake3' -d 'Digest of each file'
complete -c rafs -n '__fish_seen_subcommand_from stat' -s L -d 'Follow a link'
complete -c rafs -n '__fish_seen_subcommand_from find' -o name -x -d 'Last part matches'
complete -c rafs -n '__fish_seen_subcommand_from find' -o path -x -d 'Whole path matches'
complete -c rafs -n '__fish_seen_subcommand_from find' -o type -x -a 'f d l c b p s' -d 'Kind of file'
complete -c rafs -n '__fish_seen_subcommand_from find' -o size -x -d 'Size of files'
complete -c rafs -n '__fish_seen_subcommand_from find' -o perm -x -d 'Permission bits'
complete -c rafs -n '__fish_seen_subcommand_from find' -o links -x -d 'Number of links'
complete -c rafs -n '__fish_seen_subcommand_from find' -o uid -x -d Owner
complete -c rafs -n '__fish_seen_subcommand_from find' -o gid -x -d Group
complete -c rafs -n '__fish_seen_subcommand_from find' -o xattr -x -d 'Has the attribute'
complete -c rafs -n '__fish_seen_subcommand_from find' -o print0 -d 'End paths with NUL'
