#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts seeds for the fuzz targets out of the golden images.

    tests/fuzz/seeds.py tests/golden tests/fuzz/corpus

Finds of the fuzzers are added to the same folders by hand; seeds are named seed-*.
"""
import io
import json
import pathlib
import random
import struct
import sys
import tarfile

V5_SUPER, V6_SUPER, V6_DEVICES = 8192, 1024, 1408


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


class Corpus:
    def __init__(self, golden, out):
        self.golden, self.out = golden, out

    def put(self, target, name, data):
        folder = self.out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{name}").write_bytes(data)

    def boot(self, variant):
        return (self.golden / variant / "image.boot").read_bytes()

    def blob(self, variant):
        return min((self.golden / variant / "blobs").iterdir()).read_bytes()

    def opened(self, name, options, boot, blob=b""):
        data = bytes([options]) + struct.pack("<I", len(boot))[:3] + boot + blob
        self.put("open", name, data)

    def structure(self, target, name, which, parameter, data):
        self.put(target, name, bytes([which]) + struct.pack("<I", parameter) + data)


def v5(corpus, variant):
    boot = corpus.boot(variant)
    # Positions in the super block: see lib/format/v5_super.c.
    corpus.structure("v5_inode", f"super-{variant}", 0, len(boot), boot[:80])
    blob_table = u64(boot, 48)
    corpus.structure("v5_inode", f"blob-{variant}", 2, 0, boot[blob_table:blob_table + 80])
    table = u64(boot, 32)
    for i in range(0, u32(boot, 56), 9):
        at = u32(boot, table + 4 * i) << 3
        corpus.structure("v5_inode", f"inode-{variant}-{i}", 1, at, boot[at:at + 128])
    corpus.structure("v5_inode", f"chunk-{variant}", 5, 0, boot[-80:])


def v6(corpus, variant):
    boot = corpus.boot(variant)
    corpus.structure("v6_inode", f"super-{variant}", 0, len(boot),
                     boot[V6_SUPER:V6_SUPER + 384])
    corpus.structure("v6_inode", f"device-{variant}", 5, 0,
                     boot[V6_DEVICES:V6_DEVICES + 128])
    blobs = u64(boot, V6_SUPER + 128 + 8)
    corpus.structure("v6_inode", f"blob-{variant}", 4, 0, boot[blobs:blobs + 256])
    meta = u32(boot, V6_SUPER + 40) * 4096
    root = meta + struct.unpack_from("<H", boot, V6_SUPER + 14)[0] * 32
    corpus.structure("v6_inode", f"inode-{variant}", 1, 0, boot[root:root + 64])
    icount, = struct.unpack_from("<H", boot, root + 2)
    tail = root + 64 + (12 + 4 * (icount - 1) if icount else 0)
    size = u64(boot, root + 8)
    corpus.put("dirent", variant, boot[tail:tail + size % 4096])
    blob = corpus.blob(variant)
    record = boot[blobs:blobs + 256]
    at, stored, raw = u64(record, 112), u64(record, 120), u64(record, 128)
    if stored == raw:
        head = blob[at + stored:at + stored + 4096].ljust(4096, b"\0")
        corpus.put("blob_meta", variant, record + head + blob[at:at + stored])


def codec(corpus):
    import gzip
    import zlib
    text = b"librafs " * 40
    gz = gzip.compress(text, mtime=0)
    deflate = zlib.compress(text)
    # A zstd frame: single segment, one raw block; and an LZ4 block of literals alone.
    zstd = bytes.fromhex("28b52ffd2008410000") + b"abcdefgh"
    lz4 = b"\x80abcdefgh"
    for i, (name, kind, out, data) in enumerate([
            ("none", 0, 8, b"abcdefgh"), ("lz4", 1, 8, lz4), ("gzip", 2, len(text), gz),
            ("deflate", 2, len(text), deflate), ("zstd", 3, 8, zstd)]):
        one = struct.pack("<BHH", kind, out, len(data)) + data
        corpus.put("codec", name, one)
        corpus.put("codec", f"twice-{name}", one + one)


def toc(corpus):
    blob = corpus.blob("v6-toc")
    size = int(blob[-512 + 124:-512 + 135], 8)
    data = struct.pack("<Q", len(blob))[:5] + blob[-512:]
    corpus.put("toc", "v6-toc", data + blob[-512 - size:-512])
    corpus.put("toc", "inline", struct.pack("<Q", len(corpus.blob("v6-inline")))[:5] +
               corpus.blob("v6-inline")[-512:])


def images(corpus):
    for variant in ("v5-linked-symlink", "v5-chunkdict", "v6-chunkdict", "v6-merge"):
        boot = corpus.boot(variant)
        corpus.opened(variant, 4, boot, corpus.blob(variant)[:8192])
        path = b"/links/../data/text"
        corpus.put("resolve", variant, bytes([len(path)]) + path + boot)
    corpus.opened("v6-toc", 4, corpus.blob("v6-toc"))
    corpus.opened("v5-inline-tail", 0, corpus.blob("v5-inline")[-30000:])


def build(corpus):
    """Options and entries of fuzz_build.c: mostly such as are taken."""
    rng = random.Random("build")
    for i in range(32):
        options = [rng.choice((0, 1, 4, 6, 8, 32, 128, rng.randrange(256))),
                   rng.choice((0, 0, 8)), rng.choice((5, 6)), rng.randrange(4),
                   rng.randrange(12), rng.randrange(3), rng.choice((0, 1, 2, 5)),
                   rng.choice((0, 0, 1, 2)), rng.randrange(4), 1, 2, 3, 4]
        entries = bytearray()
        for _ in range(rng.randrange(1, 40)):
            # The places of letters in the alphabet there: short names, some folders.
            path = [rng.randrange(4)]
            for _ in range(rng.randrange(3)):
                path += [4, rng.choice((rng.randrange(4), rng.randrange(4), 12, 13))]
            if i % 4 == 0 and rng.random() < 0.2:
                path[-1:] = [7, 9, 11, 7, rng.randrange(4)]      # ".wh.a"
            kind = rng.choice((0, 1, 3, 5, 6, 8, 14, 30, 60, 120, 132, 228) +
                              ((15,) if i % 4 < 2 else ()))
            entries += bytes([kind, rng.randrange(256), len(path)] + path)
        corpus.put("build", "%02d" % i, bytes(options) + entries)


def http(corpus):
    """Answers of remote/run_hostile.py, to a range of a blob that is made up."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "remote"))
    import run_hostile
    run_hostile.BLOB = body = bytes(range(256)) * 40
    for i, (name, answer) in enumerate(run_hostile.malformed()):
        slug = "".join(c if c.isalnum() else "-" for c in name.lower())[:40].strip("-")
        corpus.put("http", slug, bytes([6 if i % 3 else 0]) + answer(1000, 5095)[:1600])
    part = b"Content-Range: bytes 1000-5095/10240\r\nContent-Length: 4096\r\n"
    for name, kind, text in (
            ("206", 6, b"206 x\r\n" + part + b"\r\n" + body[1000:5096]),
            ("200", 0, b"200 x\r\nContent-Length: 5000\r\n\r\n" + body[:5000]),
            ("chunked", 1, b"200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
             b"7\r\nabcdefg\r\n0\r\nX: y\r\n\r\n"),
            ("redirect", 1, b"307 x\r\nLocation: ../x?y=z#a\r\nContent-Length: 0\r\n\r\n"),
            ("challenge", 2, b'401 x\r\nWWW-Authenticate: Bearer realm="https://a/t"\r\n'
             b"WWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
            ("retry", 0, b"503 x\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n"
             b"Date: Fri, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"),
            ("hints", 1, b"103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 x\r\nContent-Type: a/b\r\n"
             b"Docker-Content-Digest: sha256:00\r\nContent-Length: 2\r\n\r\nok"),
            ("416", 3, b"416 x\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n"),
            ("short", 2, b"200 x\r\nContent-Length: 50\r\n\r\nabc"),
            ("long", 2, b"200 x\r\n\r\n" + b"x" * 4200)):
        corpus.put("http", name, bytes([kind]) + b"HTTP/1.1 " + text)


def oci(corpus):
    digest = "sha256:" + "0123456789abcdef" * 4
    realm = 'Bearer realm="https://a.example/token",service="r",scope="repository:a/b:pull"'
    layer = {"digest": digest, "size": 9}
    oci_type = "application/vnd.oci.image."
    mark = "containerd.io/snapshot/nydus-"
    blob = {**layer, "mediaType": oci_type + "layer.nydus.blob.v1",
            "annotations": {mark + "blob": "true", mark + "ref": digest}}
    boot = {**layer, "mediaType": oci_type + "layer.v1.tar+gzip",
            "annotations": {mark + "bootstrap": "true", mark + "fs-version": "6"}}
    manifest = {"schemaVersion": 2, "mediaType": oci_type + "manifest.v1+json",
                "config": layer, "layers": [blob, boot], "subject": layer}
    entry = {**layer, "mediaType": oci_type + "manifest.v1+json",
             "artifactType": "application/vnd.nydus.image.manifest.v1+json",
             "platform": {"os": "linux", "architecture": "amd64", "variant": "v1",
                          "os.features": ["nydus.remoteimage.v1"]}}
    index = {"schemaVersion": 2, "mediaType": oci_type + "index.v1+json",
             "manifests": [entry, layer]}
    for name, kind, text in [
            ("reference-hub", 0, "ubuntu:22.04"),
            ("reference-full", 0, f"r-x.example:5000/a__b/c.d/e-f:T_1.2@{digest}"),
            ("reference-ipv6", 0, "[::1]:5000/a"),
            ("challenge-bearer", 1, realm + ', error="invalid_token"'),
            ("challenge-both", 1, 'Negotiate YQ==\nBasic realm="a\\"b", ' + realm),
            ("manifest", 2, json.dumps(manifest)), ("index", 2, json.dumps(index)),
            ("token", 3, '{"token":"t","expires_in":300}'),
            ("access-token", 3, '{"access_token":"t","expires_in":1.5}'),
            ("platform", 4, "linux/arm/v7")]:
        corpus.put("oci", name, bytes([kind]) + text.encode())


def archive(corpus):
    def tar(form, pax=None):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as made:
            for name in ("oci-layout", "./index.json", "blobs/sha256/" + "0f" * 32,
                         "blobs/sha256/" + "01" * 32, "a" * 60 + "/" + "b" * 60):
                entry = tarfile.TarInfo(name)
                entry.size, entry.pax_headers = len(name), dict(pax or {})
                made.addfile(entry, io.BytesIO(name.encode()))
            link = tarfile.TarInfo("link")
            link.type = tarfile.SYMTYPE
            made.addfile(link)
        return out.getvalue()

    for name, data in (("pax", tar(tarfile.PAX_FORMAT, {"mtime": "1.5", "size": "9"})),
                       ("gnu", tar(tarfile.GNU_FORMAT)),
                       ("ustar", tar(tarfile.USTAR_FORMAT)[:4096])):
        corpus.put("archive", name, b"\1" + data)
    corpus.put("archive", "index", b'\0{"schemaVersion":2,"manifests":[{"digest":"sha256:' +
               b"0f" * 32 + b'","size":1,"annotations":{"io.containerd.image.name":"v1"}}]}')
    corpus.put("archive", "layout", b'\0{"imageLayoutVersion":"1.0.0"}')

def trace(corpus):
    """Traces without their digest, which the target puts there; see lib/format/trace.c."""
    def head(blobs, events, magic=b"RAFSTRC\0", version=1, flags=0):
        return struct.pack("<8sII32sIIQ", magic, version, flags, bytes(range(32)), blobs,
                           events, 0)

    blob = struct.pack("<72sQ", b"1" * 64, 1 << 20)
    events = [struct.pack("<QQQQIIII", i * 1000, 40 + i, i << 16, i << 15, 1 << 16,
                          1 << 15, 0, i) for i in range(8)]
    good = head(1, 8) + blob + b"".join(events)
    for name, body in (
            ("good", good), ("empty", head(0, 0)), ("no-events", head(1, 0) + blob),
            ("partial", head(1, 8, flags=1) + blob + b"".join(events)),
            ("backwards", head(1, 2) + blob + events[3] + events[1]),
            ("beyond", head(1, 1) + blob + struct.pack("<QQQQIIII", 0, 1, 0, 1 << 20, 1, 1,
                                                       0, 0)),
            ("no-blob", head(1, 1) + blob + events[0][:40] + struct.pack("<II", 1, 0)),
            ("version", head(1, 8, version=2) + good[64:]),
            ("many", head(1, 0xffffffff) + good[64:]),
            ("short", good[:-1])):
        corpus.put("trace", name, b"\0" + body + bytes(32))
    corpus.put("trace", "unsealed", b"\1" + good + bytes(32))


def main():
    corpus = Corpus(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    for variant in ("v5-zstd", "v5-linked-symlink", "v5-none"):
        v5(corpus, variant)
    for variant in ("v6-zstd", "v6-none", "v6-chunkdict", "v6-lz4"):
        v6(corpus, variant)
    codec(corpus)
    toc(corpus)
    oci(corpus)
    archive(corpus)
    trace(corpus)
    http(corpus)
    build(corpus)
    images(corpus)


main()
