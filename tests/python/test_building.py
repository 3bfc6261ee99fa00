# SPDX-License-Identifier: Apache-2.0
"""Images that Python makes: what goes in comes out, and what goes wrong leaves nothing."""
import gc
import hashlib
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import tracemalloc

import pytest

import rafs

from conftest import ROOT, in_threads, listing, open_variant

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "text").write_text("content\n" * 5000)
    (top / "a" / "b" / "random").write_bytes(random.Random(1).randbytes(3 << 20))
    (top / "a" / "empty").write_bytes(b"")
    os.symlink("text", top / "a" / "link")
    os.link(top / "a" / "text", top / "a" / "b" / "other-name")
    for path in (top / "a" / "text", top / "a", top):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return top


def contents(image):
    """Every path with what it is."""
    out = {}
    for top, folders, files in image.walk():
        for name in folders + files:
            path = os.path.join(top, name)
            status = image.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            out[path] = (status.st_mode, status.st_uid, status.st_gid,
                         image.read_bytes(path) if kind == stat.S_IFREG else None,
                         image.readlink(path) if kind == stat.S_IFLNK else None)
    return out


def of_tree(top):
    out = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            link = os.path.islink(path)
            with open(path, "rb") if not link and not os.path.isdir(path) \
                    else io.BytesIO() as file:
                data = file.read()
            out["/" + os.path.relpath(path, top)] = (
                status.st_mode, status.st_uid, status.st_gid,
                data if stat.S_ISREG(status.st_mode) else None,
                os.readlink(path) if link else None)
    return out


def tar_of(tree):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(tree, ".")
    return out.getvalue()


@pytest.mark.parametrize("options", [
    {}, {"compressor": "lz4"}, {"compressor": "none"}, {"fs_version": 5},
    {"fs_version": 5, "compressor": "lz4", "digest": "sha256"}, {"chunk_size": 4096},
    {"chunk_size": 1 << 20, "batch_size": 1 << 16}, {"level": 19, "threads": 1}, {"toc": True},
    {"dedup": "none"}, {"dedup": "file"}], ids=str)
@pytest.mark.parametrize("source", ["directory", "tar", "stream", "memory"])
def test_round_trips(tree, tmp_path, source, options):
    given, out = tree, tmp_path / "out"
    if source == "tar":
        given = tmp_path / "tree.tar"
        given.write_bytes(tar_of(tree))
    elif source == "stream":
        given = io.BytesIO(tar_of(tree))
    elif source == "memory":
        out = None
    built = rafs.build(given, out, **options)
    with built.open() as image:
        assert contents(image) == of_tree(tree) and image.check().good
        assert image.info.pinned and image.info.version == options.get("fs_version", 6)
    if out is not None:
        assert sorted(os.listdir(out / "blobs")) == sorted(built.blobs)


def test_golden_trees_again(tmp_path):
    """An image of the reference builder, taken apart and made again by entries."""
    rows = [row for row in listing("v6-zstd") if row["path"] != "/"]
    kinds = {"dir": stat.S_IFDIR, "reg": stat.S_IFREG, "lnk": stat.S_IFLNK, "fifo": stat.S_IFIFO,
             "sock": stat.S_IFSOCK, "chr": stat.S_IFCHR, "blk": stat.S_IFBLK}
    with open_variant("v6-zstd") as image:
        entries = []
        names = {}
        for row in rows:
            path = os.fsdecode(row["path"].encode("latin-1"))
            status = image.lstat(path)
            if row["type"] == "reg" and status.st_ino in names:
                entries.append(rafs.Entry(path, hardlink=names[status.st_ino]))
                continue
            if row["type"] == "reg":
                names[status.st_ino] = path
            entries.append(rafs.Entry(
                path, image.read_bytes(path) if row["type"] == "reg" else None,
                mode=kinds[row["type"]] | row["mode"], uid=row["uid"], gid=row["gid"],
                mtime=status.st_mtime_ns // 10**9,
                target=image.readlink(path) if row["type"] == "lnk" else None,
                xattrs=image.xattrs(path, follow_symlinks=False),
                device=(os.major(status.st_rdev), os.minor(status.st_rdev))))
        with rafs.build(entries, None).open() as again:
            for row in rows:
                path = os.fsdecode(row["path"].encode("latin-1"))
                ours, theirs = again.lstat(path), image.lstat(path)
                for name in ("st_mode", "st_uid", "st_gid", "st_size", "st_rdev", "st_nlink"):
                    if name != "st_nlink" or row["type"] != "dir":
                        assert getattr(ours, name) == getattr(theirs, name), (path, name)
                if row["type"] == "reg":
                    assert again.read_bytes(path) == image.read_bytes(path), path
                assert again.xattrs(path, follow_symlinks=False) == image.xattrs(
                    path, follow_symlinks=False), path


def test_the_same_as_the_command(tree, tmp_path):
    command = os.environ.get("RAFS_COMMAND")
    if not command or not os.path.exists(command):
        pytest.skip("RAFS_COMMAND does not name the rafs command")
    subprocess.run([command, "build", "--bootstrap", tmp_path / "c" / "image.boot",
                    "--blob-dir", tmp_path / "c" / "blobs", tree], check=True,
                   stdout=subprocess.DEVNULL)
    built = rafs.build(tree, tmp_path / "p")
    with open(built.bootstrap, "rb") as ours:
        assert ours.read() == (tmp_path / "c" / "image.boot").read_bytes()
    assert sorted(os.listdir(tmp_path / "c" / "blobs")) == sorted(built.blobs)


def test_entries():
    entries = [
        rafs.Entry("dir/", mode=0o700, uid=5, gid=6, mtime=1.5),
        rafs.Entry("dir/bytes", b"bytes", mode=0o600),
        rafs.Entry("dir/file", io.BytesIO(b"file" * 100_000), size=400_000),
        rafs.Entry("dir/pieces", (bytes([n]) * 1000 for n in range(256)), size=256_000),
        rafs.Entry("dir/view", memoryview(bytearray(b"view"))),
        rafs.Entry("dir/empty", b""), rafs.Entry("dir/none"),
        rafs.Entry("dir/again", hardlink="dir/bytes"), rafs.Entry("link", target="dir/bytes"),
        rafs.Entry("dir/x", b"", xattrs={"user.a": b"1\0", "user.b": b""}),
        rafs.Entry("null", mode=stat.S_IFCHR | 0o666, device=(1, 3)),
        rafs.Entry("naïve/\udcff", b"odd name"),
    ]
    with rafs.build(iter(entries), None).open() as image:
        assert image.read_bytes("/dir/file") == b"file" * 100_000
        assert image.read_bytes("/dir/pieces")[123_456] == 123
        assert image.read_bytes("/dir/view") == b"view" and image.read_bytes("/dir/none") == b""
        assert image.stat("/dir/again").st_nlink == 2 and image.readlink("/link") == "dir/bytes"
        assert image.xattrs("/dir/x") == {"user.a": b"1\0", "user.b": b""}
        assert image.lstat("/null").st_rdev == os.makedev(1, 3)
        found = image.stat("/dir")
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o700, 5, 6)
        assert image.stat("/dir/bytes").st_mode == stat.S_IFREG | 0o600
        assert image.read_bytes("/naïve/\udcff") == b"odd name"


def test_content_of_files(tree):
    with rafs.build([rafs.Entry("random", tree / "a" / "b" / "random")], None).open() as image:
        assert image.read_bytes("/random") == (tree / "a" / "b" / "random").read_bytes()


@pytest.mark.parametrize("entry, error", [
    (rafs.Entry("../out", b""), OSError), (rafs.Entry("a/../../b", b""), OSError),
    (rafs.Entry("a\0b", b""), ValueError), (rafs.Entry("", b""), OSError),
    (rafs.Entry("a", "text"), TypeError), (rafs.Entry("a", 5), (TypeError, ValueError)),
    (rafs.Entry("a", io.BytesIO(b"x")), ValueError), (rafs.Entry("a", b"", mode=-1), ValueError),
    (rafs.Entry("a", b"", uid=-1), ValueError), (rafs.Entry("a", b"", uid=1 << 32), ValueError),
    (rafs.Entry("a", b"", mtime=float("nan")), ValueError),
    (rafs.Entry("a", b"", mtime=float("inf")), (ValueError, OverflowError)),
    (rafs.Entry("a", hardlink="nowhere"), (ValueError, OSError)),
    (rafs.Entry("a", target=""), (ValueError, OSError)),
    (rafs.Entry("a/", b"content", mode=stat.S_IFDIR), ValueError),
    (rafs.Entry("a", b"", xattrs={"user.x": "text"}), TypeError),
    (rafs.Entry("a", b"", xattrs={"nonsense": b""}), (ValueError, OSError)),
    (rafs.Entry("a", io.BytesIO(b"short"), size=10), (ValueError, OSError)),
    (rafs.Entry("a", iter(["text"]), size=4), TypeError),
    (rafs.Entry("a", open(os.devnull, "rb"), size=3), (ValueError, OSError)),
    (rafs.Entry("n" * 256, b""), (ValueError, OSError)),
    (rafs.Entry(b"a", b""), TypeError), (b"a", (TypeError, ValueError)), (None, TypeError),
], ids=lambda value: repr(value)[:40])
def test_wrong_entries(entry, error, tmp_path):
    with pytest.raises(error) as caught:
        rafs.build(iter([rafs.Entry("good", b"good"), entry]), tmp_path / "out")
    assert str(caught.value)
    assert not (tmp_path / "out").exists()


def test_exceptions_of_content_come_out(tmp_path):
    def pieces():
        yield b"x" * 1000
        raise ZeroDivisionError("in the content")

    def entries():
        yield rafs.Entry("a", b"a")
        raise KeyError("in the entries")

    with pytest.raises(ZeroDivisionError, match="in the content"):
        rafs.build([rafs.Entry("a", pieces(), size=5000)], tmp_path / "out")
    with pytest.raises(KeyError, match="in the entries"):
        rafs.build(entries(), tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        rafs.build([rafs.Entry("a", tmp_path / "no")], tmp_path / "out")

    class Fails(io.RawIOBase):
        def read(self, size=-1):
            raise InterruptedError("in the stream")

    with pytest.raises(InterruptedError, match="in the stream"):
        rafs.build(Fails(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress(tree, tmp_path):
    told = []
    rafs.build(tree, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told and told[-1][0] == told[-1][1] > 3 << 20

    def fails(done, total):
        raise ZeroDivisionError("in the progress")

    with pytest.raises(ZeroDivisionError, match="in the progress"):
        rafs.build(tree, tmp_path / "other", progress=fails)
    assert not (tmp_path / "other").exists()


def test_a_bar(tree, tmp_path, capsys):
    pytest.importorskip("tqdm")
    rafs.build(tree, tmp_path / "out", progress=True)
    assert "build" in capsys.readouterr().err


def test_nothing_is_overwritten(tree, tmp_path):
    first = rafs.build(tree, tmp_path / "out")
    (tree / "more").write_text("more")
    with pytest.raises(FileExistsError):
        rafs.build(tree, tmp_path / "out")
    with first.open() as image:
        assert not image.exists("/more")
    second = rafs.build(tree, tmp_path / "out", force=True)
    with second.open() as image:
        assert image.exists("/more")
    with pytest.raises(rafs.CorruptError):
        rafs.open(first.bootstrap, expect_digest=first.digest)


@pytest.mark.parametrize("options", [
    {"compressor": "zip"}, {"digest": "md5"}, {"dedup": "all"}, {"chunk_size": 5},
    {"chunk_size": 1 << 40}, {"level": 1 << 40}, {"level": 99}, {"threads": -1},
    {"fs_version": 7}, {"batch_size": 3}, {"owner": (-1, 0)}, {"mtime": 1 << 70},
    {"uid_map": [(0, 0)]}, {"exclude": "one"}, {"prefetch": "/a"}, {"dictionaries": ["/no/such"]},
    {"out": "a\0b"}, {"timeout": -1}, {"progress": 5}], ids=str)
def test_wrong_options(tree, tmp_path, options):
    out = options.pop("out", tmp_path / "out")
    with pytest.raises((ValueError, TypeError, OSError)) as caught:
        rafs.build(tree, out, **options)
    assert str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", [5, b"bytes", None, [], {}, "/no/such", [b"x"], object()],
                         ids=repr)
def test_wrong_sources(source, tmp_path):
    with pytest.raises((ValueError, TypeError, OSError)):
        rafs.build(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_owners_and_times(tree):
    with rafs.build(tree, None, owner=(7, 8), all_mtimes=1234).open() as image:
        status = image.stat("/a/text")
        assert (status.st_uid, status.st_gid, status.st_mtime) == (7, 8, 1234)
    with rafs.build(tree, None, mtime=10**9, uid_map=[(os.getuid(), 100, 1)],
                    exclude=["random", "/a/empty"]).open() as image:
        assert image.stat("/a/text").st_mtime == 10**9 and image.stat("/a").st_uid == 100
        assert not image.exists("/a/b/random") and not image.exists("/a/empty")


def test_layers_merge_and_dictionaries(tree, tmp_path):
    above = [rafs.Entry("a/text", b"changed"), rafs.Entry("a/.wh.empty", b""),
             rafs.Entry("new", b"new")]
    layered = rafs.build([tree, above], tmp_path / "layered", blob_per_layer=True)
    assert len(layered.blobs) == 2
    with layered.open() as image:
        assert image.read_bytes("/a/text") == b"changed" and not image.exists("/a/empty")
        whole = contents(image)
    one = rafs.build(tree, tmp_path / "one")
    two = rafs.build([rafs.Entry("a/text", b"changed"), rafs.Entry("new", b"new")],
                     tmp_path / "two")
    merged = rafs.merge([one.bootstrap, two.bootstrap], tmp_path / "merged.boot")
    with rafs.open(merged.bootstrap, backends=[one.blob_dir, two.blob_dir]) as image:
        found = contents(image)
        assert found.pop("/a/empty")[3] == b""
        assert {path: one[3:] for path, one in found.items()} == {
            path: one[3:] for path, one in whole.items()}
    with one.open() as dictionary:
        again = rafs.build(tree, tmp_path / "again", dictionaries=[dictionary])
        assert again.stored_bytes == 0 and again.blobs == one.blobs
    with pytest.raises(ValueError):
        rafs.merge([], tmp_path / "nothing.boot")
    with pytest.raises(ValueError, match="closed"):
        rafs.merge([dictionary], tmp_path / "closed.boot")


def test_the_same_whatever_the_threads(tree):
    built = [rafs.build(tree, None, threads=threads) for threads in (1, 2, 8)]
    assert len({one.digest for one in built}) == 1


def test_threads_build_at_once(tree):
    out = []
    in_threads(lambda: out.append(rafs.build(tree, None).digest), 6)
    assert len(out) == 6 and len(set(out)) == 1


def test_many_entries():
    built = rafs.build((rafs.Entry(f"{n % 100}/{n}", b"%d" % n) for n in range(10_000)), None)
    with built.open() as image:
        assert image.read_bytes("/7/5007") == b"5007"
    assert built.entries >= 10_000


def test_nothing_leaks():
    def once():
        with rafs.build([rafs.Entry("a", b"a" * 5000)], None).open() as image:
            image.read_bytes("/a")
        with pytest.raises(ZeroDivisionError):
            rafs.build(iter([rafs.Entry("a", (1 / 0 for _ in "a"), size=3)]), None)

    for _ in range(20):
        once()
    gc.collect()
    files, count = len(os.listdir("/proc/self/fd")), threading.active_count()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(200):
        once()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(os.listdir("/proc/self/fd")) == files and threading.active_count() <= count + 1
    assert grown < 100_000


INTERRUPTED = """
import os, rafs, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below nohup
def entries():
    yield rafs.Entry("first", os.urandom(1 << 20))
    print("building", flush=True)
    n = 0
    while True:
        n += 1
        yield rafs.Entry(str(n), b"x" * 1000)
try:
    rafs.build({source}, sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", os.path.exists(sys.argv[1]), flush=True)
"""


@pytest.mark.parametrize("source", ["entries()", "sys.stdin.buffer"])
def test_an_interrupt(tmp_path, source):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(source=source), tmp_path / "out"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        if source == "entries()":
            assert process.stdout.readline() == b"building\n"
        else:
            header = tarfile.TarInfo("file")
            header.size = 100 << 20
            process.stdin.write(header.tobuf())
            process.stdin.write(bytes(1 << 20))  # more than a pipe holds: it is being read
            process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == b"interrupted False\n"
        assert process.returncode == 0
    finally:
        process.kill()


def test_a_full_disk(tree, tmp_path):
    if os.getuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "rafs", small],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(OSError) as caught:
            rafs.build(tree, small / "out")
        assert caught.value.errno == 28 and not os.listdir(small)
    finally:
        subprocess.run(["umount", small], check=True)


def test_optimize(tree, tmp_path):
    built = rafs.build(tree, tmp_path / "out")
    with built.open() as image:
        image.trace_start()
        image.read_bytes("/a/text")
        again = rafs.optimize(image, image.trace(), tmp_path / "fast.boot")
        with rafs.open(again.bootstrap, backends=[tmp_path, built.blob_dir]) as fast:
            assert contents(fast) == contents(image)
            blob = fast.info.blobs[next(iter(fast.chunks("/a/text"))).blob].id
            assert blob in again.blobs and blob not in built.blobs
        with pytest.raises(TypeError):
            rafs.optimize(image, None, tmp_path / "x.boot")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry that asks for a password."""
    if not shutil.which("docker-registry") or not shutil.which("htpasswd"):
        pytest.skip("docker-registry or htpasswd is not installed")
    from registry import start_registry
    work = tmp_path_factory.mktemp("registry")
    subprocess.run(["htpasswd", "-Bbc", work / "passwords", "somebody", "secret"], check=True,
                   stderr=subprocess.DEVNULL)
    child, host = start_registry(
        str(work), f"auth: {{htpasswd: {{realm: test, path: {work}/passwords}}}}\n")
    yield host
    child.terminate()
    child.wait()


def test_push_copy_and_credentials(registry, tree, tmp_path):
    built = rafs.build(tree, tmp_path / "out")
    to = f"docker://{registry}/pushed:v1"
    for wrong in (("somebody", "wrong"), lambda host, repo, attempt: None):
        with pytest.raises(rafs.BackendError) as caught:
            rafs.push(built.bootstrap, to, credentials=wrong)
        assert "wrong" not in str(caught.value)

    def fails(host, repo, attempt):
        raise ZeroDivisionError("a secret")

    with pytest.raises(ZeroDivisionError):
        rafs.push(built.bootstrap, to, credentials=fails)
    told = []
    pushed = rafs.push(built.bootstrap, to, credentials=("somebody", "secret"),
                       annotations={"org.example": "here"}, progress=lambda *a: told.append(a))
    assert pushed.blobs_sent > 0 and told[-1][0] == told[-1][1]
    again = rafs.push(built.bootstrap, to, credentials={registry: ("somebody", "secret")},
                      annotations={"org.example": "here"})
    assert again.digest == pushed.digest and again.blobs_sent == 0
    with rafs.open(to, credentials=("somebody", "secret"), expect_digest=built.digest) as image:
        assert contents(image) == of_tree(tree)
    copied = rafs.copy(to, f"oci:{tmp_path}/layout:v1", credentials=("somebody", "secret"))
    assert copied.digest == pushed.digest
    with rafs.open(f"oci:{tmp_path}/layout:v1") as image:
        assert contents(image) == of_tree(tree)
    manifest = json.loads((tmp_path / "layout" / "blobs" / "sha256" /
                           pushed.digest.partition(":")[2]).read_bytes())
    assert manifest["annotations"]["org.example"] == "here"


def write_layout(place, layers):
    """An ordinary image of uncompressed layers, v1 in an OCI layout."""
    blobs = place / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}",
                "size": len(data)}

    put_layers = [put(layer, "layer.v1.tar") for layer in layers]
    config = put(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in put_layers]},
    }).encode(), "config.v1+json")
    manifest = put(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": put_layers}).encode(), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


def test_convert(registry, tree, tmp_path):
    """An ordinary image, made by hand, into a RAFS image in the registry; and built at once."""
    write_layout(tmp_path / "plain", [tar_of(tree)])
    ordinary = f"oci:{tmp_path}/plain:v1"
    done = rafs.convert(ordinary, f"docker://{registry}/converted:v1",
                        credentials=("somebody", "secret"), cache=tmp_path / "known")
    assert done.layers == 1 and done.images == 1
    with rafs.open(f"docker://{registry}/converted:v1",
                   credentials=("somebody", "secret")) as image:
        assert contents(image) == of_tree(tree)
    with rafs.build(ordinary, None).open() as image:
        assert contents(image) == of_tree(tree)
    again = rafs.convert(ordinary, f"docker://{registry}/converted:v1",
                         credentials=("somebody", "secret"), cache=tmp_path / "known")
    assert again.digest == done.digest and again.layers_reused == 1


def test_reference_tool_agrees(tree, tmp_path):
    tool = os.environ.get("NYDUS_IMAGE") or shutil.which("nydus-image")
    if not tool:
        pytest.skip("nydus-image is not installed ($NYDUS_IMAGE names it)")
    for version in (5, 6):
        built = rafs.build(tree, tmp_path / str(version), fs_version=version)
        subprocess.run([tool, "check", "--bootstrap", built.bootstrap, "--blob-dir",
                        built.blob_dir], check=True, stdout=subprocess.DEVNULL)


def test_image_closed_while_it_is_built_from(tmp_path):
    """What a call uses is freed after it; a callback of the call cannot close it."""
    entries = [rafs.Entry(f"f{number}", os.urandom(5000)) for number in range(20)]
    built = rafs.build(entries, tmp_path / "below")
    for _ in range(20):
        image = built.open()
        closing = threading.Thread(target=image.close)

        def starts(image=image, closing=closing):
            yield rafs.Entry("x", b"1")
            closing.start()

        try:
            rafs.build([starts(), image], None, dictionaries=[image])
        except ValueError as error:
            assert "closed" in str(error)
        closing.join()
        with pytest.raises(ValueError, match="closed"):
            rafs.build(image, None)
