# SPDX-License-Identifier: Apache-2.0
"""The tree that system calls are tried on: every kind of file there is, and a folder `call`
with what permissions, capabilities, ACLs and links are proved by."""
import os
import shutil
import struct
import subprocess

import make_tree

NOBODY = 65534
CHAIN = 45             # links one after the other; Linux follows 40
BIG = 3 << 20
SECRET = b"only root reads this\n"
DEEP_LINK = b"call/chain%02d"


def acl(*entries):
    """(tag, permissions, id) in the order that the kernel wants."""
    nobody = 0xffffffff
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, nobody if who is None else who)
        for tag, perm, who in entries)


USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 0x10, 0x20
ACL_ALLOW = acl((USER_OBJ, 6, None), (USER, 4, NOBODY), (GROUP_OBJ, 0, None), (MASK, 4, None),
                (OTHER, 0, None))
ACL_DENY = acl((USER_OBJ, 6, None), (USER, 0, NOBODY), (GROUP_OBJ, 4, None), (MASK, 4, None),
               (OTHER, 4, None))


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def big_content():
    """No two pages alike, so that one in the place of another is seen."""
    return b"".join(b"%015d\n" % i for i in range(BIG // 16))


def create(root):
    """Put the tree below root, which is there and empty; root's own time is 1970's."""
    make_tree.create(root, make_tree.whole_tree())
    call = os.path.join(root, "call")
    os.mkdir(call, 0o755)
    write(call + "/plain", b"anybody reads this\n")
    write(call + "/secret", SECRET, 0o600)
    write(call + "/write-only", b"x", 0o200)
    write(call + "/group", b"of group 5\n", 0o640)
    os.chown(call + "/group", 0, 5)
    write(call + "/not-executable", b"#!/bin/sh\nexit 0\n", 0o644)
    write(call + "/script", b"#!/bin/sh\necho script runs\n", 0o755)
    write(call + "/big", big_content())
    write(call + "/allowed-by-acl", b"acl\n", 0o600)
    os.setxattr(call + "/allowed-by-acl", "system.posix_acl_access", ACL_ALLOW)
    write(call + "/denied-by-acl", b"acl\n", 0o644)
    os.setxattr(call + "/denied-by-acl", "system.posix_acl_access", ACL_DENY)
    for name, mode in (("private", 0o700), ("search", 0o711), ("list", 0o744)):
        os.mkdir(f"{call}/{name}")
        write(f"{call}/{name}/known", b"known\n")
        os.chmod(f"{call}/{name}", mode)
    os.symlink("loop-b", call + "/loop-a")
    os.symlink("loop-a", call + "/loop-b")
    os.symlink("plain", call + "/chain00")
    for i in range(1, CHAIN):
        os.symlink("chain%02d" % (i - 1), "%s/chain%02d" % (call, i))
    os.symlink("nowhere", call + "/dangling")
    os.symlink("plain", call + "/link")
    # With a capability, and with the set-user-id bit.
    shutil.copy("/bin/cat", call + "/capable-cat")
    os.chmod(call + "/capable-cat", 0o755)
    # cap_dac_read_search, permitted and effective
    os.setxattr(call + "/capable-cat", "security.capability",
                struct.pack("<IIIII", 0x02000001, 1 << 2, 0, 0, 0))
    shutil.copy(shutil.which("id"), call + "/suid-id")
    os.chmod(call + "/suid-id", 0o4755)
    return root


def make_repository(folder):
    """A git repository with a few commits; None, or why there is none."""
    if not shutil.which("git"):
        return "git is not installed"
    os.makedirs(folder)
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c",
                "init.defaultBranch=main", "-c", "gc.auto=0"]
    for i in range(40):
        os.makedirs(f"{folder}/d{i % 7}", exist_ok=True)
        write(f"{folder}/d{i % 7}/file{i}", b"line %d\n" % i * (i * 37 + 1))
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"],
                  ["repack", "-q", "-a", "-d"], ["tag", "v1"]):
        done = subprocess.run(["git", "-C", folder, *settings, *words], env=env, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            return f"git {words[0]}: {done.stdout.decode(errors='replace')}"
    return None
