# SPDX-License-Identifier: Apache-2.0
"""Programs that people use, on the mounted root of proof_root: what they find has to be what
they find on the machine that the image was made of."""
import os
import shutil
import subprocess
import tempfile

import proof_root
from mounting import FULL, MNT_DETACH, mounts

HELLO = r"""
#include <stdio.h>
#include <string.h>
#include <openssl/sha.h>
int main(void) { printf("%zu %d\n", strlen("compiled"), SHA_DIGEST_LENGTH); return 0; }
"""
PLAIN_HELLO = HELLO.replace("#include <openssl/sha.h>\n", "").replace("SHA_DIGEST_LENGTH", "20")
PYTHON = ("import json, hashlib, decimal, email.message, xml.dom.minidom, sqlite3.dbapi2, "
          "ctypes.util, unittest; print(hashlib.sha256(json.dumps([1, 2]).encode()).hexdigest())")


class Tools:
    def __init__(self, report, label, root, point, work):
        self.report, self.label = report, label
        self.root, self.point = root, point
        self.work = tempfile.mkdtemp(prefix="tools-", dir=work)

    def check(self, name, good, detail=""):
        return self.report.check(f"{self.label}: {name}", good, detail)

    def run(self, *words, timeout=600, **more):
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False, **more)

    def has(self, name, program):
        if shutil.which(program):
            return True
        self.report.skip(f"{self.label}: {name}", f"{program} is not installed")
        return False

    def all(self):
        self.tree()
        self.find_and_du()
        self.tar()
        self.rsync()
        self.git()
        self.compiler()
        self.python()
        self.node()
        self.chroot()

    def tree(self):
        """Every name and attribute; content of all files with --full, else of some."""
        for name, found in (
                ("attributes of every path", proof_root.wrong_attributes(self.root, self.point)),
                ("no other names", proof_root.wrong_names(self.root, self.point)),
                ("content", proof_root.wrong_content(self.root, self.point,
                                                     1 if FULL else 40))):
            wrong = list(found)
            self.check(f"{name} as on the machine", not wrong,
                       f"{len(wrong)} of {len(self.root.paths)}: " + "\n".join(wrong[:5]))
        self.check("the root has at least 25,000 files", len(self.root.files) >= proof_root.WANTED,
                   len(self.root.files))

    def find_and_du(self):
        done = self.run("find", self.point, "-xdev", "-type", "f", "-path", "*/usr/*", "-printf",
                        "%s\n")
        sizes = [int(line) for line in done.stdout.split()]
        want = [os.lstat("/" + p).st_size for p in self.root.files if p.startswith("usr/")]
        self.check("find sees every file with its size", done.returncode == 0 and
                   sorted(sizes) == sorted(want), f"{len(sizes)} files, not {len(want)}; "
                   f"{done.stderr[-300:]!r}")
        done = self.run("du", "-s", "-x", "-B1", self.point + "/usr")
        total = int(done.stdout.split()[0]) if done.stdout else 0
        unique = {(s.st_dev, s.st_ino): s.st_size for s in
                  (os.lstat("/" + p) for p in self.root.files if p.startswith("usr/"))}
        # Full blocks of each file, and room for the directories.
        self.check("du counts what is there", done.returncode == 0 and
                   0.9 * sum(unique.values()) <= total <= sum(unique.values()) +
                   16_384 * len(self.root.paths), f"{total}, of {sum(unique.values())}")

    def tar(self):
        """GNU tar reads all of it and compares with the machine."""
        made = subprocess.Popen(["tar", "-C", self.point, "-c", "--exclude=./srv", "--no-recursion",
                                 "--null", "-T", "-"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        chosen = self.root.paths if FULL else self.root.paths[::7]
        compared = subprocess.Popen(["tar", "-C", "/", "-d", "-f", "-"], stdin=made.stdout,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        made.stdout.close()
        made.stdin.write(b"".join(os.fsencode(p) + b"\0" for p in chosen))
        made.stdin.close()
        said = compared.stdout.read()
        errors = made.stderr.read()
        made.wait()
        compared.wait()
        self.check("tar of the mount differs in nothing from the machine",
                   made.returncode == 0 and compared.returncode == 0,
                   said[-600:] + errors[-600:])

    def rsync(self):
        if not self.has("rsync", "rsync"):
            return
        listing = os.path.join(self.work, "list")
        with open(listing, "wb") as f:
            f.write(b"".join(os.fsencode(p) + b"\0" for p in self.root.paths))
        options = ["-n", "-i", "-lptgoD", "-XAH", "--no-recursive", "--from0",
                   "--files-from=" + listing] + (["-c"] if FULL else [])
        done = self.run("rsync", *options, "/", self.point + "/")
        changes = [line for line in done.stdout.splitlines()
                   if line.strip() and not line.startswith(b".")]
        self.check("rsync -n has nothing to do", done.returncode == 0 and not changes,
                   b"\n".join(changes[:5]) + done.stderr[-300:])
        folder = "usr/lib/python3.11" if "usr/lib/python3.11" in self.root.paths else "usr/include"
        done = self.run("rsync", "-n", "-aiHc", f"{self.point}/{folder}/",
                        f"{self.point}/{folder}/")
        self.check("rsync -c reads a folder", done.returncode == 0, done.stderr[-300:])

    def git(self):
        repository = self.point + "/srv/proof/repo"
        if not self.has("git", "git") or not os.path.isdir(repository):
            return
        env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
        git = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", repository]
        done = self.run(*git, "status", "--porcelain", env=env)
        self.check("git status is clean", done.returncode == 0 and done.stdout == b"",
                   done.stdout[-300:] + done.stderr[-300:])
        done = self.run(*git, "fsck", "--full", env=env)
        self.check("git fsck", done.returncode == 0, done.stderr[-300:])
        done = self.run(*git, "log", "--oneline", "v1", env=env)
        self.check("git log", done.returncode == 0 and b"first" in done.stdout, done.stderr)
        copy = os.path.join(self.work, "clone")
        done = self.run("git", "-c", "safe.directory=*", "clone", "-q", repository, copy, env=env)
        self.check("git clone", done.returncode == 0 and os.path.exists(copy + "/d1/file1"),
                   done.stderr[-300:])

    def compiler(self):
        """Its headers from the mount; in the chroot below, all of it from there."""
        if not self.has("a compiler", "gcc"):
            return
        include = self.point + "/usr/include"
        source, program = os.path.join(self.work, "hello.c"), os.path.join(self.work, "hello")
        with open(source, "w", encoding="ascii") as f:
            f.write(HELLO if os.path.exists(include + "/openssl/sha.h") else PLAIN_HELLO)
        fixed = self.run("gcc", "-print-file-name=include").stdout.decode().strip()
        done = self.run("gcc", "-nostdinc", "-isystem", self.point + fixed, "-isystem", include,
                        "-isystem", include + "/x86_64-linux-gnu", source, "-o", program)
        if self.check("gcc compiles with headers of the mount", done.returncode == 0,
                      done.stderr[-600:]):
            done = self.run(program)
            self.check("and the program runs", done.stdout == b"8 20\n", done)

    def python(self):
        """Modules of the mount, by the interpreter of the mount."""
        program = self.point + "/usr/bin/python3"
        if not os.path.exists(self.point + "/usr/lib/python3.11/json"):
            self.report.skip(f"{self.label}: python3", "this machine's is another one")
            return
        env = {"PATH": "/usr/bin", "PYTHONHOME": self.point + "/usr",
               "PYTHONDONTWRITEBYTECODE": "1"}
        done = self.run(program, "-S", "-c", PYTHON, env=env)
        self.check("python3 runs from the mount", done.returncode == 0 and
                   len(done.stdout) == 65, done)

    def node(self):
        script = "usr/lib/node_modules/npm/bin/npm-cli.js"
        if not self.has("node", "node"):
            return
        if not os.path.exists(self.point + "/" + script):
            folder = self.point + "/srv/proof/js"
            words = ["node", folder + "/main.js"]
            want = b"from a module of the mount\n"
        else:
            words, want = ["node", self.point + "/" + script, "--version"], None
        done = self.run(*words, env=dict(os.environ, HOME=self.work))
        self.check("node runs what lies in the mount", done.returncode == 0 and
                   (want is None or done.stdout == want), done)

    def chroot(self):
        """overlayfs over the mount, and all programs from there."""
        top = os.path.join(self.work, "top")
        folders = {name: os.path.join(self.work, name) for name in ("upper", "scratch")}
        for path in [top, *folders.values()]:
            os.mkdir(path)
        words = (f"lowerdir={self.point},upperdir={folders['upper']},"
                 f"workdir={folders['scratch']}")
        if mounts.libc.mount(b"overlay", os.fsencode(top), b"overlay", 0,
                             os.fsencode(words)) != 0:
            self.check("overlayfs over the mount", False, "mount(2) refused it")
            return
        try:
            self.in_chroot(top)
        finally:
            mounts.libc.umount2(os.fsencode(top), MNT_DETACH)

    def in_chroot(self, top):
        os.makedirs(top + "/tmp", exist_ok=True)
        os.makedirs(top + "/dev", exist_ok=True)
        with open(top + "/dev/null", "wb"):
            pass
        with open(top + "/tmp/hello.c", "w", encoding="ascii") as f:
            f.write(PLAIN_HELLO)
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/tmp"}

        chroot = shutil.which("chroot", path=os.environ["PATH"] + ":/usr/sbin:/sbin")

        def inside(*words):
            return self.run(chroot, top, *words, env=env)

        done = inside("/bin/sh", "-c", "ls /usr/bin | wc -l; cat /etc/passwd | head -n 1")
        self.check("chroot: a shell runs", done.returncode == 0 and b"root" in done.stdout, done)
        done = inside("/usr/bin/gcc", "/tmp/hello.c", "-o", "/tmp/hello")
        if self.check("chroot: gcc compiles", done.returncode == 0, done.stderr[-800:]):
            done = inside("/tmp/hello")
            self.check("chroot: what it compiled runs", done.stdout == b"8 20\n", done)
        if os.path.exists(self.point + "/usr/lib/python3.11/json"):
            done = inside("/usr/bin/python3", "-S", "-c", PYTHON)
            self.check("chroot: python3 runs", done.returncode == 0 and len(done.stdout) == 65,
                       done)
        if os.path.exists(self.point + "/usr/bin/node"):
            done = inside("/usr/bin/node", "-e", "console.log(6 * 7)")
            self.check("chroot: node runs", done.stdout == b"42\n", done)
        done = inside("/bin/sh", "-c", "echo more >> /etc/passwd && tail -n 1 /etc/passwd")
        self.check("overlayfs: a file is copied up and written to", done.stdout == b"more\n", done)
        with open("/etc/passwd", "rb") as want, open(top + "/etc/passwd", "rb") as got:
            self.check("overlayfs: with all that it had", got.read() == want.read() + b"more\n")
