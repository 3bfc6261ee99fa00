# SPDX-License-Identifier: Apache-2.0
"""An image of this machine's own root, or of that part of it which a compiler, python3, git
and node need, with at least 25,000 files; and what it must show.

A plain tar stream goes into `rafs build`, so that paths are those of the machine."""
import hashlib
import os
import shutil
import stat
import subprocess

from make_tree import xattr_names
from mounting import FULL

WANTED = 25_000
LINKS = ["bin", "lib", "lib64", "sbin"]
# In this order until there are enough; all of it is read-only for packages.
FOLDERS = ["usr/include", "usr/lib/gcc", "usr/lib/python3", "usr/lib/python3.11",
           "usr/share/perl", "usr/share/zoneinfo", "usr/lib/git-core", "usr/share/git-core",
           "usr/share/icons", "usr/share/cmake-3.25", "usr/share/vim", "usr/share/man",
           "usr/share/locale", "usr/share/doc"]
ETC = ["etc/passwd", "etc/group", "etc/ld.so.cache", "etc/ld.so.conf", "etc/alternatives"]
PROGRAMS = ["bash", "sh", "ls", "cat", "cp", "env", "id", "tar", "find", "gcc", "as", "ld",
            "git", "python3", "perl", "true", "sha256sum", "stat", "du"]
LARGE_FILE = 4 << 20


def needed_by_loader(programs):
    """Libraries that programs name, as paths without the leading slash."""
    found = set()
    for program in programs:
        done = subprocess.run(["ldd", program], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        for word in done.stdout.decode().split():
            if word.startswith("/"):
                found.add(os.path.realpath(word)[1:])
                found.add(os.path.realpath(os.path.dirname(word))[1:] + "/" +
                          os.path.basename(word))
    return found


def compiler_parts():
    parts = []
    for name in ("cc1", "collect2", "lto-wrapper"):
        done = subprocess.run(["/usr/bin/gcc", "-print-prog-name=" + name], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        path = done.stdout.decode().strip()
        if path.startswith("/"):
            parts.append(path)
    return parts


def small_files(folder, large=LARGE_FILE):
    """Paths in a folder, not below, less what is large."""
    for entry in os.scandir("/" + folder):
        st = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(st.st_mode) or (stat.S_ISREG(st.st_mode) and st.st_size <= large):
            yield folder + "/" + entry.name


def below(folder):
    """Paths below a folder, itself among them, directories before what they hold."""
    if not os.path.isdir("/" + folder) or os.path.islink("/" + folder):
        return
    yield folder
    for base, folders, files in os.walk("/" + folder):
        for name in sorted(folders) + sorted(files):
            yield os.path.join(base, name)[1:]


def machine_paths():
    """What goes into the image, sorted: names without the leading slash."""
    if FULL:
        chosen = {p for top in ["usr", "etc"] for p in below(top)
                  if not p.startswith(("usr/lib/google", "usr/local", "usr/src"))}
        return sorted(chosen | {p for p in LINKS if os.path.lexists("/" + p)})
    chosen = {p for p in LINKS + ETC if os.path.lexists("/" + p)}
    chosen |= set(below("etc/alternatives"))
    programs = [path for name in PROGRAMS for path in ["/usr/bin/" + name]
                if os.path.exists(path)] + compiler_parts()
    chosen |= {os.path.realpath(p)[1:] for p in programs} | {p[1:] for p in programs}
    chosen |= needed_by_loader(programs)
    chosen |= set(small_files("usr/bin")) | set(small_files("usr/lib/x86_64-linux-gnu"))
    for folder in FOLDERS:
        if sum(1 for p in chosen if regular(p)) >= WANTED and "share" in folder:
            break
        chosen |= {p for p in below(folder) if not too_large(p)}
    chosen |= {p[1:] for p in compiler_parts()}
    for path in list(chosen):  # directories that lead there
        while "/" in path:
            path = os.path.dirname(path)
            chosen.add(path)
    return sorted(chosen)


def too_large(path):
    st = os.lstat("/" + path)
    return stat.S_ISREG(st.st_mode) and st.st_size > LARGE_FILE


def regular(path):
    try:
        return stat.S_ISREG(os.lstat("/" + path).st_mode)
    except OSError:
        return False


class Root:
    """The image, and the paths in it. Below srv/proof: what a test added."""

    def __init__(self, session_work):
        self.work = os.path.join(session_work, "root-image")
        self.staging = os.path.join(self.work, "staging")
        self.image = os.path.join(self.work, "image", "image.boot")
        os.makedirs(os.path.join(self.staging, "srv", "proof"))
        self.extra = os.path.join(self.staging, "srv", "proof")
        self.paths = machine_paths()
        self.files = [p for p in self.paths if regular(p)]

    def build(self, rafs, env, *options):
        """None, or why not."""
        listing = os.path.join(self.work, "paths")
        with open(listing, "wb") as f:
            f.write(b"".join(os.fsencode(p) + b"\0" for p in self.paths))
        tar = subprocess.Popen(
            ["tar", "-c", "--format=pax", "--xattrs", "--xattrs-include=*", "--no-recursion",
             "--null", "-C", "/", "-T", listing, "-C", self.staging, "--recursion", "srv"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            built = subprocess.run(
                [rafs, "build", "-o", os.path.dirname(self.image), "--no-sync", *options, "-"],
                stdin=tar.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                check=False)
            tar.stdout.close()
            said = tar.stderr.read()
        finally:
            tar.kill()
            tar.wait()
        shutil.rmtree(os.path.join(self.work, "paths"), ignore_errors=True)
        if built.returncode != 0:
            return f"rafs build: exit {built.returncode}, {built.stderr[-600:]!r}; {said!r}"
        return None

    def source(self, path):
        return os.path.join(self.staging if path.startswith("srv") else "/", path)


def attributes(path):
    """All of an inode that an image has and that two file systems have alike."""
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    row = [st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns]
    if kind == stat.S_IFREG:
        row.append(st.st_size)
    elif kind == stat.S_IFLNK:
        row.append(os.readlink(path))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        row.append(st.st_rdev)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        row.append(sorted((name, os.getxattr(path, name)) for name in xattr_names(path)))
    return row


def digest(path):
    """SHA-256 of a file, read to its end."""
    total = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while True:
            piece = f.read(1 << 20)
            if not piece:
                return total.digest()
            total.update(piece)


def wrong_attributes(root, point):
    """Paths whose attributes are not those of the machine, and how."""
    for path in root.paths:
        try:
            want, got = attributes(root.source(path)), attributes(os.path.join(point, path))
        except OSError as error:
            yield f"{path}: {error}"
            continue
        if want != got:
            yield f"{path}: {got}, not {want}"


def wrong_names(root, point):
    """What is in the mount and was not put there."""
    wanted = set(root.paths)
    for base, folders, files in os.walk(point):
        below_point = os.path.relpath(base, point)
        if below_point == ".":
            folders[:] = [n for n in folders if n != "srv"]
        for name in folders + files:
            path = name if below_point == "." else os.path.join(below_point, name)
            if path not in wanted:
                yield path + " is not of the source"


def wrong_content(root, point, every=1):
    """Files whose SHA-256 differs; with `every`, one of so many is looked at."""
    for path in root.files[::every]:
        try:
            if digest(root.source(path)) != digest(os.path.join(point, path)):
                yield path + ": content differs"
        except OSError as error:
            yield f"{path}: {error}"
