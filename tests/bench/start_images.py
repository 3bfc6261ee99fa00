# SPDX-License-Identifier: Apache-2.0
"""The images of tests/bench/start: real ones, of what Debian's and Python's packages
give, as layers of an ordinary OCI image in a registry. Nothing of them is kept in git."""

import ctypes
import glob
import hashlib
import http.client
import json
import os
import subprocess
import sys

from debian import download, in_tree
from mount_image import HELLO, JAVA, once
from remote_image import put, sha
from servers import Skip, need

libc = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
PLATFORM = {"architecture": "amd64", "os": "linux"}
TENSOR = ("import tensorflow as tf\n"
          "print(tf.strings.join(['hel', 'lo']).numpy().decode())\n")
AT_SITE = "/usr/local/lib/python3.11/dist-packages"


class Mixed:
    """Folders over each other: overlayfs, written to the last."""

    def __init__(self, top, lower, upper=None):
        self.at = os.path.join(top, "root")
        upper = upper or os.path.join(top, "upper")
        for folder in (self.at, upper, os.path.join(top, "work")):
            os.makedirs(folder, exist_ok=True)
        words = (f"lowerdir={':'.join(lower)},upperdir={upper},"
                 f"workdir={os.path.join(top, 'work')}")
        if libc.mount(b"overlay", os.fsencode(self.at), b"overlay", 0,
                      os.fsencode(words)) != 0:
            raise Skip("overlayfs: " + os.strerror(ctypes.get_errno()))

    def __enter__(self):
        return self.at

    def __exit__(self, *_):
        libc.umount2(os.fsencode(self.at), MNT_DETACH)


def ready(root):
    """What a runtime would lay over an image."""
    for folder in ("dev", "tmp", "proc", "root", "sys"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)


# --- layers -----------------------------------------------------------------------------

def unpack(work, name, packages, root, installed=None):
    """Into a tree whose /lib is a link to usr/lib, and stays one."""
    folder = os.path.join(work, "debs-" + name)
    for deb in download(folder, packages, installed):
        subprocess.run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | '
                        'tar -x --keep-directory-symlink -p -C "$2"', "sh", deb, root],
                       check=True)


def busybox(work, root):
    unpack(work, "busybox", ["busybox-static"], root)
    os.makedirs(root + "/bin", exist_ok=True)
    names = subprocess.run([root + "/bin/busybox", "--list"], stdout=subprocess.PIPE,
                           check=True, text=True).stdout.split()
    for name in names:
        if name != "busybox":
            os.symlink("busybox", f"{root}/bin/{name}")


def debian(_, root):
    need("debootstrap", "debootstrap")
    run = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         check=False)
    if run.returncode != 0:
        raise Skip("debootstrap: " + run.stdout[-300:])
    for left in glob.glob(root + "/var/cache/apt/archives/*.deb") + \
            glob.glob(root + "/var/lib/apt/lists/*_*"):
        os.unlink(left)


def status_of(root):
    return os.path.join(root, "var/lib/dpkg/status")


def openjdk(work, root):
    unpack(work, "openjdk", ["openjdk-17-jdk-headless"], root, status_of(root))
    with open(os.path.join(root, "root", "Hello.class"), "wb") as f:
        f.write(HELLO)


def nodejs(work, root):
    unpack(work, "nodejs", ["nodejs"], root, status_of(root))


def python(work, root):
    unpack(work, "python", ["python3"], root, status_of(root))
    in_tree(root, "python3", "-m", "compileall", "-q", "/usr/lib/python3.11")


def tensorflow(_, root):
    run = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile",
                          "--only-binary=:all:", "--python-version", "3.11",
                          "--root-user-action=ignore", "--disable-pip-version-check",
                          "--target", root + AT_SITE, "tensorflow-cpu"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         check=False)
    if run.returncode != 0:
        raise Skip("pip: " + run.stdout[-300:])
    in_tree(root, "python3", "-m", "compileall", "-q", "-j", "2", AT_SITE)


# name, layers, program, what they are for the chart
IMAGES = [
    ("busybox", [("busybox", busybox)], ["/bin/busybox", "echo", "hello"]),
    ("debian", [("debian", debian)], ["/bin/bash", "-c", "echo hello"]),
    ("nodejs", [("debian", debian), ("nodejs", nodejs)],
     ["node", "-e", "console.log('hello')"]),
    ("openjdk", [("debian", debian), ("openjdk", openjdk)], [JAVA, "-cp", "/root", "Hello"]),
    ("tensorflow", [("debian", debian), ("python", python), ("tensorflow", tensorflow)],
     ["python3", "-c", TENSOR])]
ABOUT = {
    "busybox": "busybox-static of Debian 12",
    "debian": "Debian 12, debootstrap --variant=minbase; bash",
    "nodejs": "debian + nodejs and what it needs; node -e",
    "openjdk": "debian + openjdk-17-jdk-headless and what it needs; a class's main()",
    "tensorflow": "debian + python3 + pip install tensorflow-cpu; import, one operation"}


class Layer:
    """A folder, what it lies on, and its tar.gz."""

    def __init__(self, work, name, make, below):
        self.name, self.make = name, make
        top = os.path.join(work, "layer-" + name)
        os.makedirs(top, exist_ok=True)
        self.work, self.top, self.below = work, top, [b.folder for b in below]
        self.folder = once(os.path.join(top, "folder"), self.fill)
        self.file = once(os.path.join(top, "layer.tar.gz"), self.pack)
        with open(os.path.join(top, "digests"), encoding="ascii") as f:
            self.diff, self.digest = f.read().split()
        self.size = os.path.getsize(self.file)

    def fill(self, path):
        os.makedirs(path)
        if not self.below:
            self.make(self.work, path)
            ready(path)
            return
        with Mixed(os.path.join(self.top, "mixed"), self.below[::-1], path) as root:
            self.make(self.work, root)

    def pack(self, path):
        """tar and gzip -6, as registries hold them. Nothing was deleted from below, so
        there are no whiteouts."""
        diff, digest = hashlib.sha256(), hashlib.sha256()
        with open(path, "wb") as out:
            tar = subprocess.Popen(["tar", "--sort=name", "--numeric-owner", "-C",
                                    self.folder, "-c", "."], stdout=subprocess.PIPE)
            gzip = subprocess.Popen(["gzip", "-6n"], stdin=subprocess.PIPE, stdout=out)
            while piece := tar.stdout.read(1 << 20):
                diff.update(piece)
                gzip.stdin.write(piece)
            gzip.stdin.close()
            if tar.wait() != 0 or gzip.wait() != 0:
                raise RuntimeError(f"layer {self.name}: tar or gzip failed")
        with open(path, "rb") as f:
            while piece := f.read(1 << 20):
                digest.update(piece)
        with open(os.path.join(self.top, "digests"), "w", encoding="ascii") as f:
            f.write(f"{diff.hexdigest()} {digest.hexdigest()}\n")


class Image:
    def __init__(self, work, name):
        self.name = name
        _, layers, self.program = next(i for i in IMAGES if i[0] == name)
        self.layers = []
        for layer, make in layers:
            self.layers.append(Layer(work, layer, make, self.layers))
        self.size = sum(layer.size for layer in self.layers)

    def push(self, host, repo):
        """As an ordinary image; returns its manifest."""
        config = json.dumps(dict(PLATFORM, config={}, rootfs={
            "type": "layers", "diff_ids": ["sha256:" + x.diff for x in self.layers]}))
        config = config.encode()
        put(host, repo, sha(config), config, len(config))
        for layer in self.layers:
            with open(layer.file, "rb") as f:
                put(host, repo, "sha256:" + layer.digest, f, layer.size)
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config),
            "digest": sha(config)}, "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                 "digest": "sha256:" + x.digest, "size": x.size} for x in self.layers]})
        link = http.client.HTTPConnection(host)
        link.request("PUT", f"/v2/{repo}/manifests/plain", manifest.encode(),
                     {"Content-Type": kind})
        answer = link.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"the registry takes no manifest: {answer.status}")
