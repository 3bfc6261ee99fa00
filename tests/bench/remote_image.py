# SPDX-License-Identifier: Apache-2.0
"""The image of tests/bench/remote: Debian packages unpacked, a program start in them
recorded, RAFS built by nydus-image, pushed to a registry. Nothing of it is kept in git."""

import gzip
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

from debian import download, in_tree
from servers import need

PACKAGES = ["python3-scipy", "python3-matplotlib", "python3-pandas", "python3-sklearn",
            "libopenblas0-pthread", "nodejs"]
START = ("import numpy, scipy.stats, scipy.optimize, pandas, matplotlib.pyplot as plt\n"
         "import sklearn.linear_model\n"
         "x = numpy.arange(100.0)\n"
         "sklearn.linear_model.LinearRegression().fit(x.reshape(-1, 1), x)\n"
         "plt.plot(x, scipy.stats.norm.cdf(x)); plt.savefig('/dev/null', format='png')\n"
         "print(pandas.DataFrame({'x': x}).describe().shape)\n")
# Appended when a start is recorded: which pages of the files that it maps it has touched,
# or its neighbours in the same 64 KiB, which the kernel maps along.
TOUCHED = """
import re
size = 4096
with open('/proc/self/maps') as maps, open('/proc/self/pagemap', 'rb', 0) as pages:
    for line in maps:
        found = re.match(r'([0-9a-f]+)-([0-9a-f]+) \\S+ ([0-9a-f]+) \\S+ \\d+ +(/.*)', line)
        if not found:
            continue
        begin, end, offset = (int(x, 16) for x in found.groups()[:3])
        pages.seek(begin // size * 8)
        there = pages.read((end - begin) // size * 8)
        for i in range(0, len(there), 8):
            if there[i + 7] & 0xc0:
                print('PAGE', offset + i // 8 * size, found.group(4), sep='\\t')
"""
PIECE = 128 << 10  # what a kernel asks a FUSE server for


# --- the tree ---------------------------------------------------------------------------

def unpack(work):
    """What an image of these packages holds: byte code and font cache made too."""
    tree = os.path.join(work, "tree")
    if os.path.exists(os.path.join(work, "tree.done")):
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    os.mkdir(tree)
    need("strace", "strace")
    for deb in download(work, PACKAGES):
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    for folder in ("dev", "tmp", "proc", "var/cache/mpl", "root"):
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    in_tree(tree, "python3", "-m", "compileall", "-q",
            "/usr/lib/python3", "/usr/lib/python3.11")
    in_tree(tree, "python3", "-c", START.replace("/dev/null", "/tmp/plot"))
    os.unlink(os.path.join(tree, "tmp/plot"))
    with open(os.path.join(work, "tree.done"), "w", encoding="utf-8"):
        pass
    return tree


# --- the record of a start --------------------------------------------------------------

CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)")
FD = re.compile(r"(\d+)<([^>]*)>")


def events(trace, tree):
    """(path, offset, length) of each read; length None: the file was mapped."""
    place = {}
    for line in trace:
        found = CALL.match(line)
        if not found:
            continue
        name, args, result = found.group(1), found.group(2), int(found.group(3), 0)
        if name == "openat":
            to = FD.search(line, found.start(3))
            if to:
                place[to.group(1)] = 0
            continue
        file = FD.search(args)
        if result < 0 or not file or not file.group(2).startswith(tree + "/"):
            continue
        fd, path = file.group(1), file.group(2)[len(tree):]
        if name == "read":
            yield path, place.get(fd, 0), result
            place[fd] = place.get(fd, 0) + result
        elif name == "pread64":
            yield path, int(args.rsplit(",", 1)[1]), result
        elif name == "lseek":
            place[fd] = result
        elif name == "mmap":
            yield path, 0, None


def touched(output, tree):
    """{path: ranges} of the pages that the program says it has touched."""
    pages = {}
    for line in output.splitlines():
        if line.startswith("PAGE\t"):
            _, offset, path = line.split("\t")
            pages.setdefault(path, set()).add(int(offset))
    ranges = {}
    for path, offsets in pages.items():
        size = os.path.getsize(tree + path)
        for offset in sorted(offsets):
            last = ranges.setdefault(path, [])
            if last and last[-1][1] == offset:
                last[-1][1] = min(size, offset + 4096)
            elif offset < size:
                last.append([offset, min(size, offset + 4096)])
    return ranges


def record(work, tree):
    """The reads of a start, in order, as PATH TAB OFFSET TAB LENGTH lines: read() and
    pread() as they were made; of files that are mapped the pages touched, at the place
    where they were first mapped. Pieces of at most PIECE, as a kernel would ask."""
    out = os.path.join(work, "start.list")
    if os.path.exists(out):
        return out
    trace = os.path.join(work, "start.strace")
    output = in_tree(tree, "python3", "-c", START + TOUCHED,
                     before=["strace", "-f", "-y", "-s", "0", "-o", trace, "-e",
                             "trace=openat,read,pread64,lseek,mmap"])
    tree = os.path.realpath(tree)
    pages = touched(output, tree)
    lines = []
    with open(trace, encoding="utf-8", errors="replace") as f:
        for path, offset, length in events(f, tree):
            if length is not None:
                lines.append((path, offset, offset + length))
            else:
                lines += [(path, *r) for r in pages.pop(path, [])]
    # What execve() mapped was there before all.
    lines = [(path, *r) for path, ranges in pages.items() for r in ranges] + lines
    with open(out, "w", encoding="utf-8") as f:
        for path, begin, end in lines:
            while os.path.isfile(tree + path) and begin < end:
                step = min(end, (begin // PIECE + 1) * PIECE)
                f.write(f"{path}\t{begin}\t{step - begin}\n")
                begin = step
    return out


# --- RAFS, and a registry ---------------------------------------------------------------

def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Image:
    """One form of the tree, in one folder: image.boot and blobs/."""

    def __init__(self, work, version):
        self.version = version
        self.top = os.path.join(work, f"v{version}")
        self.boot = os.path.join(self.top, "image.boot")
        self.blobs = os.path.join(self.top, "blobs")

    def build(self, builder, tree):
        if os.path.exists(os.path.join(self.top, "done")):
            return
        shutil.rmtree(self.top, ignore_errors=True)
        os.makedirs(self.blobs)
        subprocess.run([builder, "create", "-t", "dir-rafs", "--fs-version",
                        str(self.version), "--compressor", "zstd", "--chunk-size",
                        "0x100000", "-B", self.boot, "-D", self.blobs, tree],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(self.top, "done"), "w", encoding="utf-8"):
            pass

    def blob_bytes(self):
        return sum(os.path.getsize(os.path.join(self.blobs, b))
                   for b in os.listdir(self.blobs))


def put(host, repo, digest, body, size):
    link = http.client.HTTPConnection(host)
    link.request("POST", f"/v2/{repo}/blobs/uploads/", b"")
    answer = link.getresponse()
    answer.read()
    place = answer.getheader("Location")
    place = place[place.index("/v2/"):]
    link.request("PUT", f"{place}&digest={digest}", body,
                 {"Content-Type": "application/octet-stream", "Content-Length": str(size)})
    answer = link.getresponse()
    answer.read()
    if answer.status != 201:
        raise RuntimeError(f"the registry takes no blob: {answer.status}")
    link.close()


def push(host, repo, image):
    """As nydusify does; returns the digest of the manifest."""
    layers = []
    for name in sorted(os.listdir(image.blobs)):
        path = os.path.join(image.blobs, name)
        with open(path, "rb") as f:
            put(host, repo, "sha256:" + name, f, os.path.getsize(path))
        layers.append({"mediaType": "application/vnd.oci.image.layer.nydus.blob.v1",
                       "digest": "sha256:" + name, "size": os.path.getsize(path),
                       "annotations": {"containerd.io/snapshot/nydus-blob": "true"}})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        top = tarfile.TarInfo("image")
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(top)
        tar.add(image.boot, "image/image.boot")
    layer = gzip.compress(out.getvalue(), mtime=0)
    config = b'{"architecture":"amd64","os":"linux"}'
    for data in (layer, config):
        put(host, repo, sha(data), data, len(data))
    layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                   "digest": sha(layer), "size": len(layer),
                   "annotations": {"containerd.io/snapshot/nydus-bootstrap": "true",
                                   "containerd.io/snapshot/nydus-fs-version":
                                       str(image.version)}})
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": layers,
                           "config": {"digest": sha(config), "size": len(config),
                                      "mediaType": "application/vnd.oci.image.config"
                                                   ".v1+json"}}).encode()
    link = http.client.HTTPConnection(host)
    link.request("PUT", f"/v2/{repo}/manifests/latest", manifest, {"Content-Type": kind})
    answer = link.getresponse()
    answer.read()
    if answer.status != 201:
        raise RuntimeError(f"the registry takes no manifest: {answer.status}")
    return sha(manifest)
