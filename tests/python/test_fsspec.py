# SPDX-License-Identifier: Apache-2.0
"""An image is a file system for fsspec: compared with the tree that it was made of."""
import errno
import multiprocessing
import os
import pickle
import random
import select
import signal
import threading

import pytest

import rafs

from conftest import in_threads

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.dirfs import DirFileSystem  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tree, and the image made of it."""
    work = tmp_path_factory.mktemp("fsspec")
    tree = work / "tree"
    for path, content in (("a/one.csv", b"x,y\n1,2\n3,4\n"), ("a/two.csv", b"x,y\n5,6\n"),
                          ("a/deep/er/three.txt", b"three\nlines\nhere\n"),
                          ("b/big", random.Random(1).randbytes(6 << 20)), ("b/empty", b""),
                          ("top.txt", b"top"), ("a/with space *[x].txt", b"odd"),
                          ("a/naïve–name", b"unicode")):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    os.symlink("one.csv", tree / "a" / "link.csv")
    os.symlink("../b", tree / "a" / "folder")
    os.symlink("nowhere", tree / "a" / "dangling")
    os.symlink("..", tree / "a" / "deep" / "up")
    built = rafs.build(tree, work / "image")
    return tree, built.bootstrap


@pytest.fixture
def both(made):
    """The image, and the tree as fsspec's own file system shows it."""
    tree, bootstrap = made
    return (fsspec.filesystem("rafs", fo=bootstrap),
            DirFileSystem(str(tree), fsspec.filesystem("file")))


FILES = ["a/one.csv", "top.txt", "b/big", "b/empty", "a/link.csv", "a/with space *[x].txt",
         "a/naïve–name", "a/deep/er/three.txt", "a/folder/big"]


@pytest.mark.parametrize("path", FILES)
def test_files(both, path):
    ours, theirs = both
    whole = theirs.cat_file(path)
    assert ours.cat_file(path) == ours.cat_file("/" + path) == whole
    if "*" not in path:
        assert ours.cat(path) == ours.cat("rafs:///" + path) == whole
    assert ours.size(path) == ours.info(path)["size"] == len(whole)
    assert ours.isfile(path) and not ours.isdir(path) and ours.exists(path)
    assert ours.head(path, 5) == whole[:5] and ours.tail(path, 5) == whole[-5:]
    for start, end in ((1, 3), (None, 4), (2, None), (-3, None), (0, -1), (-4, -2), (5, 2),
                       (1 << 40, None)):
        assert ours.cat_file(path, start, end) == whole[start:end], (start, end)
    if whole:  # fsspec itself fails where there is nothing
        assert ours.read_block(path, 2, 10, b"\n") == theirs.read_block(path, 2, 10, b"\n")
    with ours.open(path) as file:
        assert file.size == len(whole) and file.info()["size"] == len(whole)
        assert file.read(3) == whole[:3] and file.seek(1) == 1 and file.read() == whole[1:]
    with ours.open(path, "r", encoding="latin-1", newline="") as file:
        assert file.read() == whole.decode("latin-1")


@pytest.mark.parametrize("call", [
    lambda fs: sorted(fs.ls("", detail=False)),
    lambda fs: sorted(fs.ls("a", detail=False)),
    lambda fs: sorted(fs.ls("a/deep/", detail=False)),
    lambda fs: fs.ls("a/one.csv", detail=False),
    lambda fs: sorted(fs.glob("a/*.csv")),
    lambda fs: sorted(fs.glob("**/*.txt")),
    lambda fs: sorted(fs.glob("a/[ot]*.csv")),
    lambda fs: sorted(fs.find("a")),
    lambda fs: sorted(fs.find("a", withdirs=True)),
    lambda fs: sorted(fs.find("", maxdepth=2)),
    lambda fs: [(top, sorted(folders), sorted(files)) for top, folders, files in fs.walk("a/deep")],
    lambda fs: fs.du("b"),
    lambda fs: sorted(fs.expand_path("a/*.csv")),
    lambda fs: sorted(fs.cat(["a/one.csv", "a/two.csv"]).items()),
    lambda fs: sorted(fs.cat("a/*.csv").items()),
    lambda fs: fs.exists("no"), lambda fs: fs.isdir("a/folder"), lambda fs: fs.isdir("no"),
    lambda fs: fs.isfile("a/dangling"), lambda fs: fs.exists("a"), lambda fs: fs.isdir(""),
    lambda fs: fs.info("a")["type"], lambda fs: fs.info("a/folder")["type"],
    lambda fs: fs.info("a/link.csv")["islink"], lambda fs: fs.info("a/link.csv")["size"],
    lambda fs: fs.info("a/one.csv")["mode"], lambda fs: int(fs.info("a/one.csv")["mtime"]),
    lambda fs: int(fs.modified("a/one.csv").timestamp()),
])
def test_the_same_as_of_the_tree(both, call):
    ours, theirs = both
    assert call(ours) == call(theirs)


@pytest.mark.parametrize("call", [
    lambda fs: fs.info("no"), lambda fs: fs.ls("no"), lambda fs: fs.cat("no"),
    lambda fs: fs.open("no"), lambda fs: fs.size("no/such"), lambda fs: fs.cat_file("a/dangling"),
    lambda fs: fs.info("a/dangling"), lambda fs: fs.cat(["a/one.csv", "no"]),
])
def test_what_is_not_there(both, call):
    for fs in both:
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            call(fs)


def test_parts(both):
    ours, theirs = both
    whole = theirs.cat_file("b/big")
    assert ours.cat_ranges(["a/one.csv", "b/big", "b/big"], [0, 5, -3], [3, 9, None]) == [
        b"x,y", whole[5:9], whole[-3:]]
    assert ours.cat_ranges(["a/one.csv", "a/two.csv"], 0, 2) == [b"x,", b"x,"]
    assert ours.cat_ranges([], [], []) == []
    assert ours.sizes(["a/one.csv", "top.txt"]) == [12, 3]


def test_parts_of_what_fails(both):
    ours, _ = both
    got = ours.cat_ranges(["no", "top.txt", "a"], [0, 0, 0], [1, 1, 1])
    assert isinstance(got[0], FileNotFoundError) and got[1] == b"t"
    assert isinstance(got[2], OSError)
    with pytest.raises(FileNotFoundError):
        ours.cat_ranges(["no", "top.txt"], 0, 1, on_error="raise")
    assert ours.cat(["no", "top.txt"], on_error="omit") == {"top.txt": b"top"}
    with pytest.raises(ValueError):
        ours.cat_ranges(["top.txt"], [0, 1], [1])


@pytest.mark.parametrize("call", [
    lambda fs: fs.mkdir("x"), lambda fs: fs.makedirs("x/y"), lambda fs: fs.rm("top.txt"),
    lambda fs: fs.rm_file("top.txt"), lambda fs: fs.rmdir("a"), lambda fs: fs.touch("x"),
    lambda fs: fs.cp_file("top.txt", "x"), lambda fs: fs.copy("top.txt", "x"),
    lambda fs: fs.mv("top.txt", "x"), lambda fs: fs.pipe("x", b""), lambda fs: fs.pipe({"x": b""}),
    lambda fs: fs.pipe_file("x", b""), lambda fs: fs.put_file("/etc/hostname", "x"),
    lambda fs: fs.put("/etc/hostname", "x"), lambda fs: fs.open("x", "wb"),
    lambda fs: fs.open("top.txt", "a"), lambda fs: fs.open("top.txt", "r+b"),
    lambda fs: fs.open("x", "w"), lambda fs: fs.write_text("x", "a"),
])
def test_nothing_is_written(both, call):
    with pytest.raises(OSError) as caught:
        call(both[0])
    assert caught.value.errno == errno.EROFS


def test_get(both, tmp_path):
    ours, theirs = both
    ours.get("a/one.csv", str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == theirs.cat_file("a/one.csv")
    ours.get("b", str(tmp_path / "b"), recursive=True)
    assert (tmp_path / "b" / "big").read_bytes() == theirs.cat_file("b/big")
    assert (tmp_path / "b" / "empty").read_bytes() == b""


def test_chains(made, tmp_path):
    tree, bootstrap = made
    for url in (f"rafs://a/one.csv::file://{bootstrap}", f"rafs:///a/one.csv::{bootstrap}"):
        with fsspec.open(url) as file:
            assert file.read() == (tree / "a" / "one.csv").read_bytes()
    with fsspec.open("rafs://top.txt", "r", fo=bootstrap) as file:
        assert file.read() == "top"
    fs, path = fsspec.core.url_to_fs(f"rafs://a/deep::file://{bootstrap}")
    assert path == "a/deep" and fs.isdir(path)
    names = fsspec.open_files(f"rafs://a/*.csv::file://{bootstrap}")
    assert sorted(file.path for file in names) == ["a/link.csv", "a/one.csv", "a/two.csv"]
    digest = {"expect_digest": "sha256:" + "1" * 64}
    with pytest.raises(rafs.CorruptError):
        fsspec.open(f"rafs://top.txt::file://{bootstrap}", rafs=digest).open()
    rafs.push(bootstrap, f"oci:{tmp_path}/layout:v1",
              blob_dir=os.path.join(os.path.dirname(bootstrap), "blobs"))
    with fsspec.open(f"rafs://top.txt::oci-layout://{tmp_path}/layout:v1") as file:
        assert file.read() == b"top"
    memory = fsspec.filesystem("memory")
    memory.put(os.path.dirname(bootstrap), "/kept", recursive=True)
    with fsspec.open("rafs://b/big::memory://kept/image.boot") as file:
        assert file.read() == (tree / "b" / "big").read_bytes()
    other, path = fsspec.core.url_to_fs("rafs://b::memory://kept/image.boot")
    assert other.ls(path, detail=False) == ["b/big", "b/empty"]


def test_wrong_urls():
    with pytest.raises(ValueError, match="no image is named"):
        fsspec.open("rafs://top.txt").open()
    with pytest.raises(ValueError, match="names an image"):
        fsspec.open("docker://host/repo:tag").open()
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("rafs", fo="/no/such/image.boot")
    with pytest.raises(ValueError, match="s3://"):
        rafs.open("s3://bucket/image.boot")


def test_instances(made):
    _, bootstrap = made
    one = fsspec.filesystem("rafs", fo=bootstrap)
    one.close()
    assert one.cat_file("top.txt") == b"top"  # opened again
    again = pickle.loads(pickle.dumps(one))
    assert again.cat_file("top.txt") == b"top"
    with rafs.open(bootstrap) as image:
        assert fsspec.filesystem("rafs", fo=image).cat_file("top.txt") == b"top"


def test_a_file_outlives_its_file_system(made):
    fs = fsspec.filesystem("rafs", fo=made[1], skip_instance_cache=True)
    file = fs.open("top.txt")
    del fs
    assert file.read() == b"top"


def in_a_child(fs, path, out):
    out.put(fs.cat_file(path))


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_other_processes(made, way, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(
        [os.path.dirname(os.path.dirname(rafs.__file__)), os.path.dirname(__file__)]))
    context = multiprocessing.get_context(way)
    fs = fsspec.filesystem("rafs", fo=made[1])
    out = context.Queue()
    child = context.Process(target=in_a_child, args=(fs, "top.txt", out))
    child.start()
    assert out.get(timeout=60) == b"top"
    child.join()
    assert child.exitcode == 0 and fs.cat_file("top.txt") == b"top"


def test_threads(made):
    fs = fsspec.filesystem("rafs", fo=made[1])
    whole, wrong = fs.cat_file("b/big"), []

    def read():
        for offset in range(0, len(whole), 70_001):
            if fs.cat_file("b/big", offset, offset + 1000) != whole[offset:offset + 1000]:
                wrong.append(offset)

    in_threads(read)
    assert not wrong


@pytest.mark.parametrize("kind", ["python", "fsspec", "directory"])
def test_blobs_that_are_missing_are_no_missing_files(made, tmp_path, kind):
    """Zarr and others fill in zeros for FileNotFoundError and KeyError."""
    from rafs.fsspec import FsspecBackend

    class Nothing:
        def read_range(self, blob_id, offset, length):
            raise KeyError(blob_id)

    backend = {"python": Nothing(), "directory": tmp_path,
               "fsspec": FsspecBackend(fsspec.filesystem("memory"), "/nothing")}[kind]
    with rafs.open(made[1], backends=[backend]) as image:
        fs = fsspec.filesystem("rafs", fo=image)
        for read in (lambda: fs.cat_file("top.txt"), lambda: fs.open("top.txt").read(),
                     lambda: fs.get_mapper("")["top.txt"], lambda: fs.cat(["top.txt", "b/big"])):
            with pytest.raises(rafs.BackendError) as caught:
                read()
            assert not isinstance(caught.value, (FileNotFoundError, KeyError))
        assert isinstance(fs.cat_ranges(["top.txt"], 0, 1)[0], rafs.BackendError)


def test_bytes_that_look_like_a_url(tmp_path):
    """An image in memory holds any text."""
    built = rafs.build([rafs.Entry("link", target="s3://bucket/key")], tmp_path / "made")
    with open(built.bootstrap, "rb") as file:
        fs = fsspec.filesystem("rafs", fo=file.read())
    assert fs.ls("", detail=False) == ["link"]
    fs.close()


def test_the_same_name_for_another_image(tmp_path, monkeypatch):
    """fsspec keeps instances by their arguments; an image by a name would be a stale one."""
    for name in ("a", "b"):
        rafs.build([rafs.Entry("x", name.encode())], tmp_path / name)
    got = []
    for name in ("a", "b"):
        monkeypatch.chdir(tmp_path / name)
        got.append(fsspec.filesystem("rafs", fo="image.boot").cat_file("x"))
    rafs.build([rafs.Entry("x", b"anew")], tmp_path / "b", force=True)
    got.append(fsspec.filesystem("rafs", fo="image.boot").cat_file("x"))
    assert got == [b"a", b"b", b"anew"]


def test_another_image_by_the_time_it_is_loaded(tmp_path):
    rafs.build([rafs.Entry("x", b"a")], tmp_path / "out")
    packed = pickle.dumps(fsspec.filesystem("rafs", fo=str(tmp_path / "out" / "image.boot")))
    assert pickle.loads(packed).cat_file("x") == b"a"
    rafs.build([rafs.Entry("x", b"another")], tmp_path / "out", force=True)
    with pytest.raises(ValueError, match="another image"):
        pickle.loads(packed).cat_file("x")


def read_in_a_child(fs, path):
    """By fork(), with a deadline: what it says, or None if it hangs."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(into, fs.cat_file(path))
        finally:
            os._exit(0)
    os.close(into)
    try:
        ready, _, _ = select.select([out], [], [], 30)
        return os.read(out, 100) if ready else None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(out)


def test_fork_while_another_thread_opens(made):
    fs = fsspec.filesystem("rafs", fo=made[1])
    fs.close()
    taken, done = threading.Event(), threading.Event()

    def hold():
        with fs._lock:  # as while it opens
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(60)
    try:
        assert read_in_a_child(fs, "top.txt") == b"top"
    finally:
        done.set()
        thread.join()


def test_fork_over_a_file_system_that_refuses_it(made):
    """Those of fsspec with an event loop (s3, gs, http) are of one process."""
    wrapped = pytest.importorskip("fsspec.implementations.asyn_wrapper")
    from rafs.fsspec import FsspecBackend
    elsewhere = wrapped.AsyncFileSystemWrapper(fsspec.filesystem("file"), asynchronous=False)
    backend = FsspecBackend(elsewhere, os.path.join(os.path.dirname(made[1]), "blobs"))
    with rafs.open(made[1], backends=[backend]) as image:
        fs = fsspec.filesystem("rafs", fo=image)
        assert fs.cat_file("top.txt") == b"top"
        assert read_in_a_child(fs, "top.txt") == b"top"
        assert fs.cat_file("a/one.csv", 0, 3) == b"x,y"
