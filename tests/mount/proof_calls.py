# SPDX-License-Identifier: Apache-2.0
"""System calls on a mounted proof_tree, in the manner of pjdfstest: what is read-only, who
may do what, and every way of reading a file."""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import random
import shutil
import subprocess
import tempfile

import proof_tree
from proof_tree import NOBODY

libc = ctypes.CDLL(None, use_errno=True)
O_TMPFILE = getattr(os, "O_TMPFILE", 0o20200000)


def outcome(call):
    """The name of the error that a call ends in, or "OK"."""
    try:
        result = call()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    if isinstance(result, int) and not isinstance(result, bool) and result > 2:
        try:
            os.close(result)
        except OSError:
            pass
    return "OK"


def as_user(call, uid=NOBODY, groups=()):
    """What call() gives, run by another user in a process of its own."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(list(groups))
            os.setgid(uid)
            os.setuid(uid)
            said = json.dumps(call())
        except BaseException as error:  # pylint: disable=broad-except
            said = json.dumps("died: %r" % error)
        os.write(into, said.encode()[:60000])
        os._exit(0)  # pylint: disable=protected-access
    os.close(into)
    with os.fdopen(out, "rb") as f:
        said = f.read()
    os.waitpid(pid, 0)
    return json.loads(said or b'"died"')


def read(path, size=1 << 16):
    with open(path, "rb", buffering=0) as f:
        return f.read(size)


class Calls:
    """`point` is the mount, `source` the tree that the image was made of."""

    def __init__(self, report, label, point, source):
        self.report, self.label = report, label
        self.point, self.source = point, source
        self.call = os.path.join(point, "call")

    def check(self, name, good, detail=""):
        self.report.check(f"{self.label}: {name}", good, detail)

    def expect(self, name, want, call):
        got = outcome(call)
        wanted = want if isinstance(want, tuple) else (want,)
        self.check(f"{name} gives {want}", got in wanted, f"it gave {got}")

    def all(self):
        for test in (self.read_only, self.errors, self.permissions, self.programs,
                     self.attributes, self.acls, self.names, self.directories, self.links,
                     self.holes, self.maps, self.direct, self.pipes, self.vectors, self.locks,
                     self.file_system, self.io_uring):
            try:
                test()
            except OSError as error:
                self.check(test.__name__, False, repr(error))

    # --- nothing can be changed ----------------------------------------------------------

    def read_only(self):
        plain, folder = self.call + "/plain", self.call + "/search"
        new = self.call + "/new"
        changes = {
            "open for writing": lambda: os.open(plain, os.O_WRONLY),
            "open for both": lambda: os.open(plain, os.O_RDWR),
            "open and truncate": lambda: os.open(plain, os.O_RDONLY | os.O_TRUNC),
            "create": lambda: os.open(new, os.O_CREAT | os.O_WRONLY, 0o644),
            "create, exclusively": lambda: os.open(new, os.O_CREAT | os.O_EXCL, 0o644),
            "truncate": lambda: os.truncate(plain, 0),
            "mkdir": lambda: os.mkdir(new),
            "rmdir": lambda: os.rmdir(self.point + "/empty-dir"),
            "unlink": lambda: os.unlink(plain),
            "rename": lambda: os.rename(plain, new),
            "rename over": lambda: os.rename(plain, self.call + "/script"),
            "link": lambda: os.link(plain, new),
            "symlink": lambda: os.symlink("x", new),
            "mkfifo": lambda: os.mkfifo(new),
            "mknod": lambda: os.mknod(new, 0o20600, os.makedev(1, 3)),
            "chmod": lambda: os.chmod(plain, 0o600),
            "chmod of a directory": lambda: os.chmod(folder, 0o755),
            "chown": lambda: os.chown(plain, 1, 1),
            "lchown": lambda: os.chown(self.call + "/link", 1, 1, follow_symlinks=False),
            "utimes": lambda: os.utime(plain),
            "setxattr": lambda: os.setxattr(plain, "user.x", b"y"),
            "removexattr": lambda: os.removexattr(self.point + "/xattr/bytes", "user.all"),
            "set an ACL": lambda: os.setxattr(plain, "system.posix_acl_access",
                                              proof_tree.ACL_ALLOW),
        }
        for name, change in changes.items():
            self.expect(name, "EROFS", change)
        self.expect("O_TMPFILE", ("EROFS", "EOPNOTSUPP"),
                    lambda: os.open(self.call, O_TMPFILE | os.O_RDWR, 0o600))
        self.expect("access() for writing", "EROFS", lambda: self.access(plain, os.W_OK))
        self.expect("mkdir of what is there", ("EEXIST", "EROFS"), lambda: os.mkdir(folder))
        self.expect("opening a device for writing", "OK",
                    lambda: os.open(self.point + "/special/null", os.O_WRONLY))
        self.check("and nothing was changed", read(plain) == b"anybody reads this\n")

    @staticmethod
    def access(path, mode):
        if libc.access(os.fsencode(path), mode) != 0:
            raise OSError(ctypes.get_errno(), "access")

    # --- what cannot be ------------------------------------------------------------------

    def errors(self):
        call = self.call
        no_follow = os.O_RDONLY | os.O_NOFOLLOW
        wants = [
            ("a link to itself", "ELOOP", lambda: read(call + "/loop-a")),
            ("too many links", "ELOOP", lambda: read(call + "/chain%02d" % (proof_tree.CHAIN - 1))),
            ("as many links as may be", "OK", lambda: os.stat(call + "/chain39") and None),
            ("O_NOFOLLOW on a link", "ELOOP", lambda: os.open(call + "/link", no_follow)),
            ("a name of 256 bytes", "ENAMETOOLONG", lambda: os.stat(call + "/" + "n" * 256)),
            ("a path of 4097 bytes", "ENAMETOOLONG", lambda: os.stat(call + "/" + "a/" * 2048)),
            ("a file as a directory", "ENOTDIR", lambda: os.stat(call + "/plain/x")),
            ("O_DIRECTORY on a file", "ENOTDIR",
             lambda: os.open(call + "/plain", os.O_RDONLY | os.O_DIRECTORY)),
            ("listing a file", "ENOTDIR", lambda: os.listdir(call + "/plain")),
            ("reading a directory", "EISDIR", lambda: self.read_folder(call)),
            ("a directory for writing", "EISDIR", lambda: os.open(call, os.O_WRONLY)),
            ("what is not there", "ENOENT", lambda: os.stat(call + "/nothing")),
            ("a link to nothing", "ENOENT", lambda: os.stat(call + "/dangling")),
            ("an empty name", "ENOENT", lambda: os.stat("")),
            ("readlink of a file", "EINVAL", lambda: os.readlink(call + "/plain")),
            ("an attribute that is not there", "ENODATA",
             lambda: os.getxattr(call + "/plain", "user.nothing")),
            ("opening a socket", "ENXIO",
             lambda: os.open(self.point + "/special/sock", os.O_RDONLY)),
            ("a slash after a file", "ENOTDIR", lambda: os.stat(call + "/plain/")),
        ]
        for name, want, what in wants:
            self.expect(name, want, what)
        self.expect("the same missing name once more", "ENOENT",
                    lambda: os.stat(call + "/nothing"))

    @staticmethod
    def read_folder(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.read(fd, 10)
        finally:
            os.close(fd)

    # --- who may -------------------------------------------------------------------------

    def permissions(self):
        call = self.call
        wants = [
            ("what anybody may read", "OK", lambda: read(call + "/plain") and None),
            ("what only root may read", "EACCES", lambda: read(call + "/secret")),
            ("what may only be written", "EACCES", lambda: read(call + "/write-only")),
            ("what a group may read", "EACCES", lambda: read(call + "/group")),
            ("into a private directory", "EACCES", lambda: os.stat(call + "/private/known")),
            ("listing a private directory", "EACCES", lambda: os.listdir(call + "/private")),
            ("a known name where only search is allowed", "OK",
             lambda: read(call + "/search/known") and None),
            ("listing where only search is allowed", "EACCES",
             lambda: os.listdir(call + "/search")),
            ("listing where only listing is allowed", "OK",
             lambda: os.listdir(call + "/list") and None),
            ("a name where only listing is allowed", "EACCES",
             lambda: read(call + "/list/known")),
            ("a mode of 0", "EACCES", lambda: read(self.point + "/perm/none")),
            ("chmod of somebody else's file", ("EROFS", "EPERM"),
             lambda: os.chmod(call + "/plain", 0o777)),
        ]
        for name, want, what in wants:
            wanted = want if isinstance(want, tuple) else (want,)
            got = as_user(lambda what=what: outcome(what))
            self.check(f"another user: {name} gives {want}", got in wanted, f"it gave {got}")
        got = as_user(lambda: outcome(lambda: read(call + "/group") and None), groups=(5,))
        self.check("another user, of the group, reads what it may", got == "OK", got)
        got = as_user(lambda: read(call + "/secret").decode(), uid=0)
        self.check("root reads all", got.encode() == proof_tree.SECRET, got)

    def ran(self, words, user=None):
        more = {"user": user, "group": user, "extra_groups": []} if user else {}
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, timeout=60, check=False, **more)
        except OSError as error:
            return error.errno, b"", str(error)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def programs(self):
        """From the mount itself: bits and capabilities count."""
        got = self.ran([self.call + "/script"], NOBODY)
        self.check("a script runs", got[1] == b"script runs\n", got)
        got = self.ran([self.call + "/not-executable"])
        self.check("what is not executable does not run, not for root either",
                   got[0] == errno.EACCES, got)
        got = self.ran([self.call + "/suid-id", "-u"], NOBODY)
        self.check("set-user-id is honoured", got[1] == b"0\n", got)
        got = self.ran([self.call + "/capable-cat", "/proc/self/status"], NOBODY)
        effective = [line.split()[1] for line in got[1].decode().splitlines()
                     if line.startswith("CapEff:")]
        self.check("a file's capability is effective for whoever runs it",
                   effective and int(effective[0], 16) == 1 << 2, got)
        got = self.ran([self.call + "/capable-cat", self.call + "/secret"], NOBODY)
        self.check("and lets it read what only root may", got[1] == proof_tree.SECRET, got)
        got = self.ran(["/bin/cat", self.call + "/secret"], NOBODY)
        self.check("as a program without it may not", got[0] != 0 and got[1] == b"", got)

    # --- attributes and ACLs -------------------------------------------------------------

    def attributes(self):
        wrong = []
        for base, folders, files in os.walk(os.fsencode(self.source)):
            for name in folders + files:
                path = os.path.join(base, name)
                there = os.fsencode(self.point) + path[len(os.fsencode(self.source)):]
                want = {n: os.getxattr(path, n, follow_symlinks=False)
                        for n in os.listxattr(path, follow_symlinks=False)}
                got = {n: os.getxattr(there, n, follow_symlinks=False)
                       for n in os.listxattr(there, follow_symlinks=False)}
                if want != got:
                    wrong.append(f"{path!r}: {sorted(got)}, not {sorted(want)}")
        self.check("all extended attributes are those of the source", not wrong,
                   "\n".join(wrong[:5]))
        seen = as_user(lambda: os.listxattr(self.point + "/attr" if os.path.exists(
            self.point + "/attr") else self.point + "/xattr/order"))
        self.check("trusted.* is not shown to others", isinstance(seen, list) and
                   not [n for n in seen if n.startswith("trusted.")], seen)
        buf = ctypes.create_string_buffer(3)
        path = os.fsencode(self.point + "/xattr/bytes")
        libc.getxattr.restype = ctypes.c_ssize_t
        got = libc.getxattr(path, b"user.all", buf, ctypes.c_size_t(3))
        self.check("too little room for a value gives ERANGE",
                   got == -1 and ctypes.get_errno() == errno.ERANGE, got)
        got = libc.getxattr(path, b"user.all", None, ctypes.c_size_t(0))
        self.check("no room at all gives its length", got == 256, got)

    def acls(self):
        call = self.call
        got = as_user(lambda: outcome(lambda: read(call + "/allowed-by-acl") and None))
        self.check("an ACL lets a user read what the mode alone would not", got == "OK", got)
        got = as_user(lambda: outcome(lambda: read(call + "/denied-by-acl") and None))
        self.check("an ACL keeps a user from what the mode alone would let him", got == "EACCES",
                   got)
        got = as_user(lambda: outcome(lambda: read(call + "/denied-by-acl") and None), uid=1)
        self.check("and others read it", got == "OK", got)
        got = as_user(lambda: outcome(lambda: read(call + "/allowed-by-acl") and None), uid=1)
        self.check("or do not", got == "EACCES", got)

    # --- names, directories, links -------------------------------------------------------

    def names(self):
        want = sorted(os.listdir(os.fsencode(self.source) + b"/names"))
        got = sorted(os.listdir(os.fsencode(self.point) + b"/names"))
        self.check("names of every byte and of 255 bytes are listed", want == got,
                   set(want) ^ set(got))
        missing = [name for name in want
                   if read(os.fsencode(self.point) + b"/names/" + name) != name[:1 << 16]]
        self.check("and found by looking them up", not missing, missing[:5])

    def directories(self):
        folder = self.point + "/bigdir"
        want = sorted(os.listdir(self.source + "/bigdir"))
        self.check("a directory of several blocks, each name once",
                   sorted(os.listdir(folder)) == want)
        wrong = []
        with os.scandir(folder) as entries:
            for entry in entries:
                st = os.lstat(folder + "/" + entry.name)
                if entry.inode() != st.st_ino or not entry.is_file(follow_symlinks=False):
                    wrong.append(f"{entry.name}: {entry.inode()} and {st.st_ino}")
        self.check("numbers and kinds in a directory are those of lstat()", not wrong,
                   "\n".join(wrong[:5]))
        self.check("a directory is read again after a rewind, and in pieces",
                   *self.in_pieces(folder, want))
        deep = [base for base, folders, _ in os.walk(self.point + "/deep") if not folders]
        self.check("a deep path leads to its end", deep and deep[0].count("/level") == 44, deep)

    @staticmethod
    def in_pieces(folder, want):
        """getdents with little room, and telldir/seekdir in the midst."""
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.c_void_p
        libc.telldir.restype = ctypes.c_long
        handle = ctypes.c_void_p(libc.opendir(os.fsencode(folder)))
        if not handle:
            return False, "opendir failed"

        def names(most=None):
            found = []
            while most is None or len(found) < most:
                entry = libc.readdir(handle)
                if not entry:
                    break
                found.append(ctypes.string_at(entry + 19))
            return found
        try:
            first = names(100)
            place = libc.telldir(handle)
            rest = names()
            libc.seekdir(handle, ctypes.c_long(place))
            again = names()
            libc.rewinddir(handle)
            whole = names()
        finally:
            libc.closedir(handle)
        plain = sorted(os.fsdecode(n) for n in whole if n not in (b".", b".."))
        return (rest == again and first + rest == whole and plain == want,
                f"{len(first)} and {len(rest)}, again {len(again)}, whole {len(whole)}")

    def links(self):
        point = self.point
        self.check("a link's target", os.readlink(point + "/links/one") == "x")
        self.check("a long target", os.readlink(point + "/links/block") ==
                   os.readlink(self.source + "/links/block"))
        first, second, third = (os.stat(f"{point}/{n}") for n in
                                ("links/a-file", "links/b-file", "other/c-file"))
        self.check("hard links are one inode of three names",
                   first.st_ino == second.st_ino == third.st_ino and first.st_nlink == 3,
                   (first, second, third))
        self.check("and others are not", os.stat(point + "/links/empty-a").st_ino
                   != first.st_ino)

    # --- ways of reading -----------------------------------------------------------------

    def holes(self):
        for name in ("both-ends", "tail", "only", "odd-end"):
            path = f"{self.point}/holes/{name}"
            with open(f"{self.source}/holes/{name}", "rb") as f:
                want = f.read()
            self.check(f"holes/{name} reads as it should", read(path, 1 << 24) == want)
            self.check(f"holes/{name}: SEEK_DATA and SEEK_HOLE agree with its bytes",
                       *self.segments(path, want))
        got = self.ran(["cp", "--sparse=always", self.point + "/holes/tail", "/dev/null"])
        self.check("cp --sparse", got[0] == 0, got)

    @staticmethod
    def segments(path, want):
        """Data segments have to cover all that is not zero, in order, up to the end."""
        fd = os.open(path, os.O_RDONLY)
        at, covered = 0, bytearray(len(want))
        try:
            while at < len(want):
                try:
                    data = os.lseek(fd, at, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:
                        break
                    return False, f"SEEK_DATA {at}: {error}"
                hole = os.lseek(fd, data, os.SEEK_HOLE)
                if not at <= data < hole <= len(want):
                    return False, f"from {at}: data {data}, hole {hole}, size {len(want)}"
                covered[data:hole] = b"\1" * (hole - data)
                at = hole
            beyond = outcome(lambda: os.lseek(fd, len(want) + 1, os.SEEK_DATA) and None)
        finally:
            os.close(fd)
        lost = [i for i, byte in enumerate(want) if byte and not covered[i]]
        return (not lost and beyond == "ENXIO",
                f"data at {lost[:3]} is in a hole; past the end {beyond}")

    def maps(self):
        want = proof_tree.big_content()
        with open(self.call + "/big", "rb") as f:
            with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as m:
                self.check("MAP_SHARED", m[:] == want)
                order = list(range(0, len(want), 4096))
                random.Random(1).shuffle(order)
                self.check("MAP_SHARED, page by page at random",
                           all(m[i:i + 16] == want[i:i + 16] for i in order))
            with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE,
                           flags=mmap.MAP_PRIVATE) as m:
                m[5000:5003] = b"xyz"
                self.check("MAP_PRIVATE can be written to",
                           m[5000:5003] == b"xyz" and m[:5000] == want[:5000])
            self.check("and the file does not see it", os.pread(f.fileno(), 16, 5000) ==
                       want[5000:5016])
            self.expect("MAP_SHARED for writing", "EACCES", lambda: mmap.mmap(
                f.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED))
        with open(self.point + "/sizes/f4097", "rb") as f, \
                mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            with open(self.source + "/sizes/f4097", "rb") as want:
                self.check("a map of a file that ends in the midst of a page",
                           m[:] == want.read())

    def direct(self):
        want = proof_tree.big_content()
        try:
            fd = os.open(self.call + "/big", os.O_RDONLY | os.O_DIRECT)
        except OSError as error:
            # What says at open that it cannot is well-behaved; reading wrong would not be.
            self.check("O_DIRECT works, or is refused when opened", error.errno == errno.EINVAL,
                       repr(error))
            return
        try:
            room = mmap.mmap(-1, 1 << 20)
            got = bytearray()
            while len(got) < len(want):
                n = os.preadv(fd, [room], len(got))
                if n == 0:
                    break
                got += room[:n]
            self.check("O_DIRECT", bytes(got) == want, f"{len(got)} bytes")
        finally:
            os.close(fd)

    def pipes(self):
        want = proof_tree.big_content()
        path = self.call + "/big"
        with tempfile.TemporaryFile() as out, open(path, "rb", buffering=0) as f:
            at = 0
            while at < len(want):
                n = os.sendfile(out.fileno(), f.fileno(), at, len(want) - at)
                if n == 0:
                    break
                at += n
            out.seek(0)
            self.check("sendfile", out.read() == want)
        self.check("splice", *self.spliced(path, want))
        with tempfile.TemporaryFile() as out, open(path, "rb", buffering=0) as f:
            try:
                at = 0
                while at < len(want):
                    n = os.copy_file_range(f.fileno(), out.fileno(), len(want) - at)
                    if n == 0:
                        break
                    at += n
                out.seek(0)
                self.check("copy_file_range", out.read() == want)
            except OSError as error:
                self.check("copy_file_range copies, or says that it is another file system",
                           error.errno == errno.EXDEV, repr(error))

    @staticmethod
    def spliced(path, want):
        out, into = os.pipe()
        got = bytearray()
        fd = os.open(path, os.O_RDONLY)
        try:
            while len(got) < len(want):
                n = os.splice(fd, into, 65536) if hasattr(os, "splice") else \
                    libc.splice(fd, None, into, None, ctypes.c_size_t(65536), 0)
                if n <= 0:
                    break
                left = n
                while left:
                    piece = os.read(out, left)
                    left -= len(piece)
                    got += piece
        finally:
            for one in (fd, out, into):
                os.close(one)
        return bytes(got) == want, f"{len(got)} bytes"

    def vectors(self):
        want = proof_tree.big_content()
        fd = os.open(self.call + "/big", os.O_RDONLY)
        try:
            pieces = [bytearray(n) for n in (1, 4095, 70_000, 3)]
            n = os.preadv(fd, pieces, 12_345)
            self.check("preadv", b"".join(pieces)[:n] == want[12_345:12_345 + n] and n == 74_099,
                       n)
            self.check("pread past the end", os.pread(fd, 10, len(want) + 5) == b"")
            self.check("pread over the end", os.pread(fd, 100, len(want) - 7) == want[-7:])
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            rng = random.Random(2)
            good = True
            for _ in range(200):
                at, size = rng.randrange(len(want)), rng.randrange(1, 150_000)
                good = good and os.pread(fd, size, at) == want[at:at + size]
            self.check("reads at random places", good)
            libc.readahead.restype = ctypes.c_ssize_t
            self.check("readahead", libc.readahead(fd, ctypes.c_longlong(0),
                                                   ctypes.c_size_t(1 << 20)) == 0)
        finally:
            os.close(fd)

    def locks(self):
        with open(self.call + "/plain", "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(self.call + "/plain", "rb") as g:
                self.expect("a second lock", ("EAGAIN", "EWOULDBLOCK"),
                            lambda: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB))
            fcntl.flock(f, fcntl.LOCK_UN)

    def file_system(self):
        st = os.statvfs(self.point)
        self.check("statfs: read-only, names of 255 bytes, sizes", st.f_flag & os.ST_RDONLY and
                   st.f_namemax == 255 and st.f_blocks > 0 and st.f_bsize >= 512, st)
        fd = os.open(self.call + "/plain", os.O_RDONLY)
        self.expect("fsync", ("OK", "EINVAL", "EROFS"), lambda: os.fsync(fd))
        os.close(fd)

    def io_uring(self):
        if not shutil.which("fio"):
            self.report.skip(f"{self.label}: io_uring", "fio is not installed")
            return
        got = self.ran(["fio", "--name=x", "--readonly", "--rw=randread", "--bs=8k",
                        "--filename=" + self.call + "/big", "--ioengine=io_uring",
                        "--iodepth=16", "--size=3m", "--minimal"])
        if b"io_uring" in got[1] + got[2].encode() and got[0] != 0:
            self.report.skip(f"{self.label}: io_uring", got[2].strip()[:100])
            return
        self.check("io_uring", got[0] == 0, got)
