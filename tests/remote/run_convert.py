#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary images become RAFS images: rafs convert, and OCI images for rafs build.

The source has layers with whiteouts, opaque directories, links and replaced names, made
from tests/support/make_tree.py; what comes out has to be the tree that they are layers of,
as nydus-image reads it too. Between layouts, archives and docker-registry (with and without
a password); skipped by name where that, skopeo, umoci or nydus-image is absent. A scripted
registry counts uploads. Usage: run_convert.py --rafs PATH
"""
import argparse
import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, HERE)
import make_tree  # noqa: E402
import oci_image as oci  # noqa: E402
from make_tree import Entry  # noqa: E402
from mounts import program  # noqa: E402
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402
from server import Server  # noqa: E402

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN = "application/vnd.oci.image.layer.v1.tar"
BLOB = "application/vnd.oci.image.layer.nydus.blob.v1"
NOTE = "containerd.io/snapshot/nydus-"
report = Report()


def rafs(*args, env=None, **more):
    return subprocess.run([RAFS] + list(args), stdin=subprocess.DEVNULL, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**ENV, **(env or {})}, check=False, **more)


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-400:]!r}"


def tars(folder):
    """The three layers of a tree, plain, and the tree's own image, built as one."""
    entries = make_tree.for_tar(make_tree.for_old_peers(make_tree.small_tree(5)))
    rest = [Entry(b"dup", "dir", mode=0o755, mtime_ns=10**18)]
    made = []
    for i, layer in enumerate(make_tree.layers(entries + rest)):
        path = os.path.join(folder, f"{i}.tar")
        make_tree.write_tar(path, make_tree.with_first_names(layer))
        with open(path, "rb") as f:
            made.append(f.read())
    # A file without the directories above it, which stay what the layers below say.
    path = os.path.join(folder, "last.tar")
    make_tree.write_tar(path, [Entry(b"dup/only/late", "reg", b"late", mtime_ns=10**18)])
    with open(path, "rb") as f:
        made.append(f.read())
    return made


def image_of(layers, compress=True, **more):
    """Blobs and manifest."""
    packed = [gzip.compress(one, 1, mtime=0) if compress else one for one in layers]
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Labels": {"org.example.kept": "yes"}, "Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": [oci.sha(one) for one in layers]},
        "history": [{"created_by": f"step {i}"} for i in range(len(layers))]}).encode()
    blobs = {oci.sha(one): one for one in packed + [config]}
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": oci.MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": oci.sha(config), "size": len(config)},
        "layers": [{"mediaType": LAYER if compress else PLAIN, "digest": oci.sha(one),
                    "size": len(one)} for one in packed],
        "annotations": {"org.example.note": "kept"}, **more}).encode()
    return blobs, manifest, None


def layout(folder, images):
    return oci.write_layout(folder, oci.layout_files(images))


def document(where, digest):
    with open(os.path.join(where, "blobs", "sha256", digest[7:]), "rb") as f:
        return json.load(f)


def converted(name, source, target, *options, env=None):
    run = rafs("convert", "--json", *options, source, target, env=env)
    report.check(f"{name}: converts", run.returncode == 0, shown(run))
    return json.loads(run.stdout) if run.returncode == 0 else None


def same_tree(name, image, flat, *options, env=None, listing=True):
    """Listing and all content as a tar equal those of the flattened image."""
    for command in [["ls", "-lR", "--digest", "sha256"]] * listing + [["tar"]]:
        mine = rafs(*command, *options, image, env=env)
        want = rafs(*command, flat)
        report.check(f"{name}: {' '.join(command)}", want.returncode == 0 and
                     mine.returncode == 0 and mine.stdout == want.stdout, shown(mine))


def flattened(folder, source, layers):
    """OCI images as sources of rafs build: what the layers' archives come to."""
    files = []
    for i, layer in enumerate(layers):
        files.append(os.path.join(folder, f"flat-{i}.tar"))
        with open(files[-1], "wb") as f:
            f.write(layer)
    out, direct = os.path.join(folder, "flat"), os.path.join(folder, "direct")
    run = rafs("build", "-o", out, source)
    report.check("rafs build takes an OCI image", run.returncode == 0, shown(run))
    run = rafs("build", "-o", direct, *files)
    boots = []
    for one in (out, direct):
        with open(os.path.join(one, "image.boot"), "rb") as f:
            boots.append(f.read())
    report.check("and makes what its layers' archives make", boots[0] == boots[1])
    return os.path.join(out, "image.boot")


def shape(where, summary, count):
    """What snapshotters look at in the manifest and config."""
    manifest = document(where, summary["digest"])
    config = document(where, manifest["config"]["digest"])
    data, boot = manifest["layers"][:-1], manifest["layers"][-1]
    report.check("a blob for each layer, then the bootstrap", len(data) == count and
                 all(one["mediaType"] == BLOB and one["annotations"] == {NOTE + "blob": "true"}
                     for one in data) and boot["mediaType"] == LAYER and
                 boot["annotations"] == {NOTE + "bootstrap": "true", NOTE + "fs-version": "6"},
                 manifest["layers"])
    report.check("annotations and labels stay",
                 manifest["annotations"] == {"org.example.note": "kept"} and
                 config["config"] == {"Labels": {"org.example.kept": "yes"}, "Cmd": ["/x"]} and
                 len(config["history"]) == count + 1, config)
    with open(os.path.join(where, "blobs", "sha256", boot["digest"][7:]), "rb") as f:
        tar = gzip.decompress(f.read())
    report.check("diff ids are the blobs' digests and that of the bootstrap's tar",
                 config["rootfs"]["diff_ids"] == [one["digest"] for one in data] +
                 [oci.sha(tar)], config["rootfs"])


def checked_by_peer(folder, where, summary):
    name = "nydus-image check reads the bootstrap"
    peer = program("NYDUS_IMAGE", "nydus-image")
    if not peer:
        report.skip(name, "there is no nydus-image (NYDUS_IMAGE=PATH)")
        return
    boot = document(where, summary["digest"])["layers"][-1]
    work = os.path.join(folder, "boot")
    os.makedirs(work)
    subprocess.run(["tar", "-xzf", os.path.join(where, "blobs", "sha256", boot["digest"][7:]),
                    "-C", work], check=True)
    run = subprocess.run([peer, "check", "-B", os.path.join(work, "image", "image.boot")],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                         check=False)
    report.check(name, run.returncode == 0, run.stdout[-400:])


def between_files(folder, layers, source, flat):
    where = os.path.join(folder, "made")
    first = converted("layout to layout", source, f"oci:{where}:r1")
    same_tree("layout to layout", f"oci:{where}:r1", flat)
    check = rafs("check", f"oci:{where}:r1")
    report.check("rafs check finds nothing wrong", check.returncode == 0, shown(check))
    shape(where, first, len(layers))
    checked_by_peer(folder, where, first)
    second = converted("again", source, f"oci-archive:{folder}/made.tar:r1", "--layers", "1",
                       "--threads", "1")
    report.check("the same image gives the same digest", second and
                 second["digest"] == first["digest"], second)
    same_tree("archive", f"oci-archive:{folder}/made.tar:r1", flat)
    for name, options in {
            "v5": ["--fs-version", "5"],
            "lz4": ["--compressor", "lz4", "--chunk-size", "64K", "--digest", "sha256"],
            "batches": ["--batch-size", "256K"], "none": ["--compressor", "none"]}.items():
        converted(name, source, f"oci:{where}:{name}", *options)
        # Directories have other lengths in v5.
        same_tree(name, f"oci:{where}:{name}", flat, listing=name != "v5")
        check = rafs("check", f"oci:{where}:{name}")
        report.check(f"{name}: rafs check", check.returncode == 0, shown(check))
    plain = layout(os.path.join(folder, "plain"), {"v1": image_of(layers, compress=False)})
    converted("layers without compression", f"oci:{plain}:v1", f"oci:{where}:plain")
    same_tree("layers without compression", f"oci:{where}:plain", flat)
    empty = layout(os.path.join(folder, "empty"), {"v1": image_of([])})
    converted("no layers", f"oci:{empty}:v1", f"oci:{where}:empty")
    run = rafs("ls", "-R", f"oci:{where}:empty")
    report.check("no layers: an empty tree", run.returncode == 0, shown(run))
    twice = layout(os.path.join(folder, "twice"), {"v1": image_of([layers[0]] * 2 +
                                                                  [bytes(10240)] * 2)})
    converted("the same layer twice, and empty ones", f"oci:{twice}:v1", f"oci:{where}:twice")
    run = rafs("check", f"oci:{where}:twice")
    report.check("the same layer twice: rafs check", run.returncode == 0, shown(run))


def by_umoci(folder, where):
    """The oracle outside: the tree that umoci unpacks."""
    name = "the tree is what umoci unpacks"
    if not shutil.which("umoci") or os.geteuid() != 0:
        report.skip(name, "there is no umoci, or we are not root")
        return
    bundle = os.path.join(folder, "bundle")
    run = subprocess.run(["umoci", "unpack", "--image", f"{where}:v1", bundle],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                         check=False)
    if run.returncode != 0:
        report.skip(name, f"umoci unpack failed: {run.stdout[-200:]!r}")
        return
    # Unpacking into a directory that a layer does not speak of changes its time.
    diff = rafs("diff", "--ignore", "mtime", f"oci:{folder}/made:r1",
                os.path.join(bundle, "rootfs"))
    report.check(name, diff.returncode == 0, f"{shown(diff)} {diff.stdout[:400]}")


def indexes(folder, layers):
    one, other = image_of(layers), image_of(layers[:1])
    beside = image_of([], artifactType="application/x-signature")
    index = json.loads(oci.make_index([(m[1], oci.MANIFEST, None) for m in (one, other, beside)]))
    for entry, arch in zip(index["manifests"], ("amd64", "arm64", "unknown")):
        entry["platform"] = {"os": "linux" if arch != "unknown" else arch, "architecture": arch}
    index = json.dumps(index).encode()
    files = oci.layout_files({"a": one, "b": other, "c": beside})
    files["blobs/sha256/" + oci.sha(index)[7:]] = index
    files["index.json"] = oci.make_index([(index, oci.INDEX, "all")])
    where = oci.write_layout(os.path.join(folder, "index"), files)
    made = os.path.join(folder, "index-made")
    summary = converted("all platforms", f"oci:{where}:all", f"oci:{made}:all",
                        "--all-platforms")
    if summary:
        names = [one["platform"]["architecture"] for one in
                 document(made, summary["digest"])["manifests"]]
        report.check("an index of two", summary["images"] == 2 and names == ["amd64", "arm64"],
                     names)
        for arch in names:
            run = rafs("check", "--platform", f"linux/{arch}", f"oci:{made}:all")
            report.check(f"{arch} of the index", run.returncode == 0, shown(run))
    summary = converted("one platform", f"oci:{where}:all", f"oci:{made}:one", "--platform",
                        "linux/arm64")
    report.check("one platform: one image", summary and summary["layers"] == 1, summary)


def reuse(folder, source, flat):
    cache, where = os.path.join(folder, "cache"), os.path.join(folder, "reuse")
    first = converted("with a cache", source, f"oci:{where}:a", "--build-cache", cache)
    second = converted("with a cache again", source, f"oci:{where}:b", "--build-cache", cache)
    report.check("all layers are reused", second and second["layers_reused"] == 4 and
                 second["source_bytes"] == 0 and second["digest"] == first["digest"], second)
    same_tree("reused", f"oci:{where}:b", flat)
    other = converted("other options", source, f"oci:{where}:c", "--build-cache", cache,
                      "--compressor", "lz4")
    report.check("other options reuse nothing", other and other["layers_reused"] == 0, other)
    elsewhere = converted("another place", source, f"oci:{where}2:a", "--build-cache", cache)
    report.check("without its blob a layer is built", elsewhere and
                 elsewhere["layers_reused"] == 0 and elsewhere["digest"] == first["digest"],
                 elsewhere)
    for name in os.listdir(cache):
        with open(os.path.join(cache, name), "r+b") as f:
            f.seek(-1, 2)
            last = f.read(1)
            f.seek(-1, 2)
            f.write(bytes([last[0] ^ 1]))
    damaged = converted("a damaged cache", source, f"oci:{where}:d", "--build-cache", cache)
    report.check("what is damaged is built", damaged and damaged["layers_reused"] == 0 and
                 damaged["digest"] == first["digest"], damaged)
    os.chmod(cache, 0o777)
    run = rafs("convert", "--build-cache", cache, source, f"oci:{where}:e")
    report.check("a cache that anybody can write is refused", run.returncode == 2 and
                 b"others" in run.stderr, shown(run))


def shared(folder, layers, source):
    """Chunks of other images are referred to; their blobs become layers."""
    changed = "oci:" + layout(os.path.join(folder, "changed"),
                              {"v1": image_of(layers[1:])}) + ":v1"
    where, store = os.path.join(folder, "shared"), os.path.join(folder, "store")
    first = converted("a base", source, f"oci:{where}:base", "--chunk-store", store)
    plain = converted("alone", changed, f"oci:{where}2:alone")
    for name, options in {"dictionary": ["--chunk-dict", f"oci:{where}:base"],
                          "store": ["--chunk-store", store]}.items():
        made = converted(name, changed, f"oci:{where}:{name}", *options)
        if not made:
            continue
        report.check(f"{name}: less is stored", made["built_bytes"] < plain["built_bytes"],
                     (made, plain))
        count = len(document(where, made["digest"])["layers"])
        report.check(f"{name}: blobs of others are layers", count > len(layers), count)
        same_tree(name, f"oci:{where}:{name}", f"oci:{where}2:alone")
        run = rafs("check", f"oci:{where}:{name}")
        report.check(f"{name}: rafs check", run.returncode == 0, shown(run))
    run = rafs("convert", "--chunk-dict", f"oci:{where}:base", changed, f"oci:{where}3:x")
    report.check("a dictionary whose blobs are elsewhere is refused", first and
                 run.returncode == 3 and b"rafs copy" in run.stderr, shown(run))


def refused(name, code, says, source, target, *options):
    run = rafs("convert", *options, source, target)
    report.check(f"{name}: refused", run.returncode == code and says in run.stderr, shown(run))
    if target.startswith("oci:"):
        run = rafs("ls", target)
        report.check(f"{name}: nothing has the name", run.returncode == 3, shown(run))


def hostile(folder, layers, source):
    def spoiled(name, act):
        blobs, manifest, _ = image_of(layers)
        digest = json.loads(manifest)["layers"][1]["digest"]
        blobs[digest] = act(blobs[digest])
        return "oci:" + layout(os.path.join(folder, "bad-" + name),
                               {"v1": (blobs, manifest, None)}) + ":v1", digest

    def renamed(name, act):
        image, digest = spoiled(name, lambda data: data)
        path = os.path.join(folder, "bad-" + name, "blobs", "sha256", digest[7:])
        with open(path, "rb") as f:
            data = f.read()
        with open(path, "wb") as f:
            f.write(act(data))
        return image

    target = f"oci:{folder}/bad:x"
    swapped = gzip.compress(layers[2], 1, mtime=0)
    refused("a layer that is another one", 1, b"", renamed("other", lambda d: d[:-1] + b"x"),
            target)
    refused("a layer that is cut", 3, b"blob ends", renamed("cut", lambda d: d[:len(d) // 2]), target)
    size = len(gzip.compress(layers[1], 1, mtime=0))
    refused("a good archive of another digest", 1, b"",
            renamed("swap", lambda d: (swapped + bytes(size))[:size]), target)
    blobs, manifest, _ = image_of([b"no archive at all" * 40])
    bad = layout(os.path.join(folder, "bad-tar"), {"v1": (blobs, manifest, None)})
    refused("a layer that is no archive", 1, b"", f"oci:{bad}:v1", target)
    blobs, manifest, _ = image_of(layers[:1])
    changed = manifest.replace(LAYER.encode(), b"application/x-other")
    bad = layout(os.path.join(folder, "bad-type"), {"v1": (blobs, changed, None)})
    refused("a layer of another kind", 4, b"media type", f"oci:{bad}:v1", target)
    many = json.loads(manifest)
    many["layers"] = many["layers"] * 2000
    bad = layout(os.path.join(folder, "bad-many"), {"v1": (blobs, json.dumps(many).encode(),
                                                           None)})
    refused("thousands of layers", 4, b"layers", f"oci:{bad}:v1", target)
    refused("a RAFS image", 4, b"already", f"oci:{folder}/made:r1", target)
    run = rafs("convert", source, source)
    report.check("its own place: refused", run.returncode == 2 and b"another tag" in run.stderr,
                 shown(run))
    blobs, manifest, _ = image_of(layers[:1])
    own = layout(os.path.join(folder, "own"), {"v1": (blobs, manifest, None)})
    os.symlink("own", os.path.join(folder, "own-link"))
    with open(os.path.join(own, "index.json"), "rb") as f:
        before = f.read()
    for name, other in (("spelt otherwise", f"{folder}/./own"), ("by a link", f"{own}-link")):
        run = rafs("convert", f"oci:{own}:v1", f"oci:{other}:v1")
        with open(os.path.join(own, "index.json"), "rb") as f:
            after = f.read()
        report.check(f"its own place {name}: refused, and left as it was",
                     run.returncode == 2 and b"another tag" in run.stderr and after == before,
                     shown(run))
    run = rafs("build", "-o", f"{folder}/bad-build", renamed("build", lambda d: d[:-1] + b"x"))
    report.check("rafs build refuses a layer of another digest", run.returncode == 1 and
                 not os.path.exists(f"{folder}/bad-build/image.boot"), shown(run))


def counting(folder, source):
    """A registry that counts, and one that fails in the middle."""
    blobs, names, state = {}, {}, {"uploads": 0, "fail": False}

    def act(request, client):
        path, _, query = request.path.partition("?")
        if request.method in ("HEAD", "GET") and "/blobs/" in path:
            body = blobs.get(path.rpartition("/")[2])
            if body is None:
                client.answer(404)
            elif request.method == "HEAD":
                client.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            else:
                client.answer(200, body)
        elif request.method == "POST":
            state["uploads"] += 1
            client.answer(202, b"", [("Location", f"/v2/app/blobs/uploads/{state['uploads']}"),
                                     ("Range", "0-0")])
        elif request.method == "PUT" and "/blobs/uploads/" in path:
            digest = query.replace("%3A", ":").split("digest=")[1].split("&")[0]
            if state["fail"] and len(blobs) == 2:
                client.answer(400, b'{"errors":[{"code":"DENIED"}]}')
                return
            blobs[digest] = request.body
            client.answer(201, b"", [("Docker-Content-Digest", digest)])
        elif request.method == "PUT" and "/manifests/" in path:
            digest = "sha256:" + hashlib.sha256(request.body).hexdigest()
            names[path.rpartition("/")[2]] = digest
            client.answer(201, b"", [("Docker-Content-Digest", digest)])
        else:
            client.answer(200 if path == "/v2/" else 404)

    with Server(act) as server:
        cache = os.path.join(folder, "counted")
        target = f"docker://{server.host}/app:"
        state["fail"] = True
        run = rafs("convert", "--timeout", "5", source, target + "v0")
        report.check("an upload that is refused: nothing is tagged", run.returncode == 3 and
                     not names, shown(run))
        state["fail"] = False
        blobs.clear()
        converted("to a scripted registry", source, target + "v1", "--build-cache", cache)
        before = state["uploads"]
        second = converted("and again", source, target + "v2", "--build-cache", cache)
        # What is sent at once is looked for first; then nothing is begun.
        report.check("the second time no blob is uploaded", second and
                     second["layers_reused"] == 4 and state["uploads"] == before and
                     names["v1"] == names["v2"], (state, before, names))


def killed(folder, source):
    """A registry that never answers an upload: the command is killed there."""
    begun = []

    def act(request, client):
        if request.method == "POST":
            begun.append(request.path)
            client.hang()
        else:
            client.answer(404)

    with Server(act) as server:
        child = subprocess.Popen([RAFS, "convert", source, f"docker://{server.host}/app:v1"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, env=ENV)
        while not begun and child.poll() is None:
            try:
                child.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        child.terminate()
        said = child.communicate(timeout=60)[1]
        report.check("a signal in an upload ends it", child.returncode == 130,
                     (child.returncode, said[-300:]))
        run = rafs("convert", "--timeout", "1", source, f"docker://{server.host}/app:v1")
        report.check("a registry that stalls ends it after --timeout", run.returncode == 3,
                     shown(run))
        report.check("and no manifest was put",
                     not any(r.method == "PUT" and "/manifests/" in r.path for r in server.log))


def registries(folder, source, flat, password):
    name = "docker-registry with a password" if password else "docker-registry"
    if not shutil.which("docker-registry"):
        report.skip(name, "there is no docker-registry")
        return
    work = tempfile.mkdtemp(dir=folder)
    extra, env = "", {}
    if password:
        if not shutil.which("htpasswd"):
            report.skip(name, "there is no htpasswd")
            return
        line = subprocess.run(["htpasswd", "-nbB", "joe", "secret"], stdout=subprocess.PIPE,
                              check=True).stdout
        with open(os.path.join(work, "htpasswd"), "wb") as f:
            f.write(line)
        extra = f"auth: {{htpasswd: {{realm: here, path: {work}/htpasswd}}}}\n"
    child, host = start_registry(work, extra)
    try:
        if password:
            auth = base64.b64encode(b"joe:secret").decode()
            with open(os.path.join(work, "config.json"), "w", encoding="utf-8") as f:
                json.dump({"auths": {host: {"auth": auth}}}, f)
            env = {"DOCKER_CONFIG": work}
            run = rafs("convert", source, f"docker://{host}/app:r1")
            report.check(f"{name}: refused without it", run.returncode == 3, shown(run))
        in_registry(name, work, host, source, flat, env)
    finally:
        child.kill()
        child.wait()


def in_registry(name, folder, host, source, flat, env):
    run = rafs("copy", source, f"docker://{host}/app:v1", env=env)
    report.check(f"{name}: the source is there", run.returncode == 0, shown(run))
    made = converted(name, f"docker://{host}/app:v1", f"docker://{host}/app:r1", env=env)
    if not made:
        return
    same_tree(name, f"docker://{host}/app@{made['digest']}", flat, env=env)
    hung = converted(f"{name}: referrer", f"docker://{host}/app:v1", f"docker://{host}/app:v1",
                     "--referrer", env=env)
    same_tree(f"{name}: by --referrers", f"docker://{host}/app:v1", flat, "--referrers",
              env=env)
    run = rafs("ls", f"docker://{host}/app:v1", env=env)
    report.check(f"{name}: the tag is the ordinary image's", run.returncode == 4, shown(run))
    if hung and shutil.which("skopeo") and not env:
        raw = subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--raw",
                              f"docker://{host}/app@{hung['digest']}"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=60, check=False)
        report.check(f"{name}: skopeo reads it, with its subject", raw.returncode == 0 and
                     "subject" in json.loads(raw.stdout), raw.stderr[-300:])
        run = subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                              f"docker://{host}/app:r1", f"oci:{folder}/skopeo:r1"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                             check=False)
        report.check(f"{name}: skopeo copies it", run.returncode == 0, run.stderr[-300:])
        same_tree(f"{name}: what skopeo copied", f"oci:{folder}/skopeo:r1", flat)
    elif not env:
        report.skip(f"{name}: skopeo reads it", "there is no skopeo")


def main():
    with tempfile.TemporaryDirectory() as folder:
        ENV["HOME"] = folder
        layers = tars(folder)
        where = layout(os.path.join(folder, "source"), {"v1": image_of(layers)})
        source = f"oci:{where}:v1"
        flat = flattened(folder, source, layers)
        between_files(folder, layers, source, flat)
        by_umoci(folder, where)
        indexes(folder, layers)
        reuse(folder, source, flat)
        shared(folder, layers, source)
        hostile(folder, layers, source)
        counting(folder, source)
        killed(folder, source)
        registries(folder, source, flat, False)
        registries(folder, source, flat, True)
    return report.finish()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rafs", required=True)
    RAFS = arguments.parse_args().rafs
    ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
    sys.exit(main())
