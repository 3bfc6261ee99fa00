# SPDX-License-Identifier: Apache-2.0
"""fsspec's own tests of reading, names that are odd, links that lead nowhere."""
import os

import pytest

import rafs

fsspec = pytest.importorskip("fsspec")
abstract = pytest.importorskip("fsspec.tests.abstract")
from fsspec.implementations.dirfs import DirFileSystem  # noqa: E402

FOLDERS = {"fs_bulk_operations_scenario_0": "_bulk_operations_scenario_0",
           "fs_glob_edge_cases_files": "_glob_edge_cases_files",
           "fs_dir_and_file_with_same_name_prefix": "_dir_and_file_with_same_name_prefix",
           "fs_10_files_with_hashed_names": "_10_files_with_hashed_names"}


def ready(folder):
    """Instead of fsspec's fixture, which writes: what the image has."""
    @pytest.fixture
    def source(self):
        return f"{folder}/source"
    return source


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    work = tmp_path_factory.mktemp("abstract")
    tree = str(work / "tree")
    local = fsspec.filesystem("file", auto_mkdir=True)
    for folder, maker in FOLDERS.items():
        getattr(abstract.AbstractFixtures(), maker)(local, os.path.join, f"{tree}/{folder}")
    return fsspec.filesystem("rafs", fo=rafs.build(tree, work / "image").bootstrap)


class TestGet(abstract.AbstractFixtures, abstract.AbstractGetTests):
    """What fsspec asks of every file system that can be read."""

    @pytest.fixture
    def fs(self, opened):
        return opened

    @pytest.fixture
    def fs_path(self):
        return ""

    def test_get_directory_recursive(self, fs, local_target):
        """Theirs makes its directory in the file system."""
        fs.get("fs_glob_edge_cases_files/source", local_target, recursive=True)
        assert os.path.isfile(os.path.join(local_target, "subdir1", "nesteddir", "nestedfile"))


for _name in FOLDERS:
    setattr(TestGet, _name, ready(_name))


ODD = [b"a::b", b"non\xffutf", b" lead", b"trail ", b"q?x", b"star*", b"[b]", b"back\\slash",
       b"new\nline", b"%41", b"c:x", b"rafs:", b"~", b"#h", b"a+b", b"&amp;", b"rafs", b"-", b"..."]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    work = tmp_path_factory.mktemp("odd")
    tree = work / "tree"
    (tree / "d").mkdir(parents=True)
    for name in ODD:
        with open(os.path.join(os.fsencode(tree), b"d", name), "wb") as file:
            file.write(name)
    for link, target in (("dangling", "nowhere"), ("loop", "loop"), ("absolute", "/d/~"),
                         ("here", ".")):
        os.symlink(target, tree / "d" / link)
    os.mkfifo(tree / "d" / "fifo")
    bootstrap = rafs.build(tree, work / "image").bootstrap
    return (fsspec.filesystem("rafs", fo=bootstrap),
            DirFileSystem(str(tree), fsspec.filesystem("file")), bootstrap)


@pytest.mark.parametrize("name", ODD)
def test_odd_names(odd, name):
    ours, theirs, _ = odd
    path = "d/" + os.fsdecode(name)
    assert ours.cat_file(path) == theirs.cat_file(path) == name
    assert ours.open(path).read() == ours.get_mapper("d")[os.fsdecode(name)] == name
    assert ours.isfile(path) and ours.info(path)["name"] == path
    assert path in ours.ls("d", detail=False) and path in ours.find("")
    assert ours.cat_ranges([path], 1, 2) == [name[1:2]]


@pytest.mark.parametrize("pattern", ["d/*", "d/st*", "d/[[]b]", "d/q[?]x", "*", "d/a::*", "*/rafs*"])
def test_patterns(odd, pattern):
    ours, theirs, _ = odd
    assert sorted(ours.glob(pattern)) == sorted(theirs.glob(pattern))


def test_links(odd):
    fs, _, _ = odd
    for name in ("dangling", "loop"):
        path = f"d/{name}"
        assert fs.lexists(path) and not (fs.exists(path) or fs.isfile(path) or fs.isdir(path))
        with pytest.raises(OSError):
            fs.cat_file(path)
    assert not fs.lexists("d/no") and not fs.lexists("d/~/no")
    assert fs.cat_file("d/absolute") == b"~"  # inside the image, not of the host
    assert fs.isdir("d/here") and fs.cat_file("d/here/here/~") == b"~"
    assert [top for top, _, _ in fs.walk("")] == ["", "d"]  # in no circles
    files = {"d/" + os.fsdecode(name): len(name) for name in ODD}
    sizes = fs.du("", total=False)
    assert {path: size for path, size in sizes.items() if path in files} == files
    assert fs.du("") == sum(sizes.values())


def test_what_has_no_content(odd, tmp_path):
    fs, _, _ = odd
    assert fs.info("d/fifo")["type"] == "other" and not fs.isfile("d/fifo")
    for path, kind in (("d/fifo", OSError), ("d", IsADirectoryError)):
        for read in (fs.cat_file, fs.open, lambda one: fs.cat_file(one, 0, 1)):
            with pytest.raises(kind):
                read(path)


def test_keys_are_of_the_content(tmp_path):
    """Same name, size and time in another image: caches of fsspec must not take it for the same."""
    systems = {}
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        built = rafs.build([rafs.Entry("x", content, mtime=1), rafs.Entry("y", target="x")],
                           tmp_path / name)
        systems[name] = fsspec.filesystem("rafs", fo=built.bootstrap)
    a, b, c = systems.values()
    assert a.info("x")["size"] == b.info("x")["size"]
    assert a.info("x")["mtime"] == b.info("x")["mtime"]
    for key in ("ukey", "checksum"):
        assert getattr(a, key)("x") == getattr(c, key)("x") == getattr(a, key)("y")
        assert getattr(a, key)("x") != getattr(b, key)("x")
        assert getattr(a, key)("x") != getattr(a, key)("")
        with pytest.raises(FileNotFoundError):
            getattr(a, key)("no")


def test_a_cache_of_fsspec_sees_another_image(tmp_path):
    """filecache:: asks by ukey() whether what it has is still right."""
    got = []
    for content in (b"one", b"two"):
        built = rafs.build([rafs.Entry("x", content, mtime=1)], tmp_path / "image", force=True)
        with fsspec.open(f"filecache::rafs://x::file://{built.bootstrap}",
                         filecache={"cache_storage": str(tmp_path / "kept"), "check_files": True,
                                    "skip_instance_cache": True}) as file:
            got.append(file.read())
    assert got == [b"one", b"two"]
