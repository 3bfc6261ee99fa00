# SPDX-License-Identifier: Apache-2.0
"""os, os.path, glob and pathlib on a tree, and the same on the image made of it."""
import glob
import os
import pathlib
import pickle
import stat

import pytest

import rafs


def make(tree):
    for path, content in {
            "a/one.txt": "1", "a/two.tar.gz": "2", "a/.hidden": "h", "a/b/c/deep.txt": "d",
            "a/b/one.txt": "1", ".dot/inner.txt": "i", ".dot/sub/more.txt": "m", "top.txt": "t",
            "with [brackets]/x!y.txt": "b", "a/b/c/[x]": "x", "empty.": "", "lines": "a\r\nb\rc\n",
            "caf\u00e9/\u00fc.txt": "u"}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content.encode())
    (tree / "nothing").mkdir()
    for link, target in {"to_file": "a/one.txt", "to_dir": "a/b", "dangling": "no/such",
                         "loop": "loop", "a/up": "../top.txt",
                         "a/b/back": "..", "chain": "to_dir"}.items():
        os.symlink(target, tree / link)
    os.link(tree / "top.txt", tree / "again.txt")
    os.mkfifo(tree / "fifo")
    return tree


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The tree, and the image."""
    place = tmp_path_factory.mktemp("tree")
    tree = make(place / "tree")
    built = rafs.build(tree, place / "image")
    with rafs.open(built.bootstrap) as image:
        yield tree, image


PATTERNS = ["*", "**", "*.txt", "**/*.txt", "a/*", "a/.*", ".*", ".*/*", "a/**/one.txt", "**/one.txt",
            "*/*/*", "**/c/*", "to_dir/*", "to_dir", "dangling", "dang*", "no", "no/*", "a/b/c/[[]x]",
            "*[[]*]/*", "[!a]*", "?op.txt", "a/", "*/", "**/", "top.txt/", "top.txt/*", "a//b/*",
            "**/b/**", "caf*/*", "[", "a/[", "to_file/*", "*/one.txt", "a/b/../*", "./a/*",             "chain/c/*", "nothing/*", "nothing/**", "loop/*", ".dot/**"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_glob(both, pattern):
    tree, image = both
    # `**` of glob follows links; that of an image does not, as that of pathlib.
    linked = {os.fspath(tree / name) for name in ("to_dir", "chain", "a/b/back")}
    expected = set()
    for path in glob.glob(os.path.join(glob.escape(os.fspath(tree)), pattern), recursive=True):
        inside = path[len(os.fspath(tree)):]
        through = {path[:i] for i, letter in enumerate(path.rstrip("/"))
                   if letter == "/"} & linked
        if "**" not in pattern or not through:
            expected.add(os.path.normpath(inside) + "/" * inside.endswith("/"))
    found = list(image.glob(pattern))
    if "/../" in pattern or pattern.startswith("./"):
        found = [os.path.normpath(path) for path in found]
    assert {path.replace("//", "/") for path in found} == {
        path.replace("//", "/") for path in expected}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("topdown", [True, False])
def test_walk(both, topdown):
    tree, image = both

    def sorted_walk(top):
        for place, folders, files in os.walk(top, topdown):
            folders.sort(key=os.fsencode)
            yield place, folders, sorted(files, key=os.fsencode)

    ours = list(image.walk("/", topdown))
    real = list(sorted_walk(tree))
    theirs = {"/" + os.path.relpath(place, tree) if place != os.fspath(tree) else "/":
              (set(folders), set(files)) for place, folders, files in real}
    assert {place: (set(folders), set(files)) for place, folders, files in ours} == theirs
    places = [place for place, *_ in ours]
    assert len(set(places)) == len(places)
    for i, place in enumerate(places):
        above = os.path.dirname(place)
        if place != "/":
            assert (places.index(above) < i) == topdown


def test_walk_through_links(both):
    _, image = both
    places = [place for place, *_ in image.walk("/", followlinks=True)]
    assert len(places) < 100 and "/to_dir/c" in places or "/a/b/c" in places


def test_errors_of_walk(both):
    _, image = both
    told = []
    assert list(image.walk("/no", onerror=told.append)) == []
    assert isinstance(told[0], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        list(image.walk("/no"))


def names(tree):
    for place, folders, files in os.walk(tree):
        for name in folders + files:
            yield os.path.relpath(os.path.join(place, name), tree)


def test_os_and_path(both):
    tree, image = both
    for name in names(tree):
        real = os.fspath(tree / name)
        assert image.exists(name) == os.path.exists(real), name
        assert image.lexists(name) == os.path.lexists(real)
        assert image.isdir(name) == os.path.isdir(real)
        assert image.isfile(name) == os.path.isfile(real)
        assert image.islink(name) == os.path.islink(real)
        if os.path.exists(real):
            assert image.realpath(name) == os.path.realpath(real)[len(os.fspath(tree)):]
            assert image.samefile(name, image.realpath(name))
            if os.path.isfile(real):
                assert image.getsize(name) == os.path.getsize(real)
    assert image.samefile("again.txt", "top.txt") and not image.samefile("top.txt", "lines")
    with pytest.raises(OSError, match="symbolic links"):
        image.realpath("loop")
    with pytest.raises(FileNotFoundError):
        image.realpath("dangling")
    assert image.realpath("dangling", strict=False) == "/no/such"


def test_entries(both):
    tree, image = both
    with os.scandir(tree) as real, image.scandir("/") as ours:
        theirs = {entry.name: entry for entry in real}
        for entry in ours:
            other = theirs.pop(entry.name)
            assert entry.path == "/" + entry.name
            for follow in (True, False):
                if entry.name == "loop" and follow:  # an error there
                    assert not entry.is_dir() and not entry.is_file()
                    continue
                assert entry.is_dir(follow_symlinks=follow) == other.is_dir(follow_symlinks=follow)
                assert entry.is_file(follow_symlinks=follow) == other.is_file(follow_symlinks=follow)
                try:
                    mode = other.stat(follow_symlinks=follow).st_mode
                except OSError as error:
                    with pytest.raises(OSError) as caught:
                        entry.stat(follow_symlinks=follow)
                    assert caught.value.errno == error.errno
                    continue
                status = entry.stat(follow_symlinks=follow)
                assert status.st_mode == mode
                assert status.st_mtime == status.st_ctime == status.st_atime
            assert entry.is_symlink() == other.is_symlink()
    assert not theirs
    with image.scandir("/") as some:
        next(some)
    assert list(some) == []
    with pytest.raises(NotADirectoryError):
        image.scandir("top.txt")


def test_pathlib(both):
    tree, image = both
    root = rafs.Path(image)
    for name in names(tree):
        ours, theirs = root / name, tree / name
        pure = pathlib.PurePosixPath("/") / name
        for what in ("name", "stem", "suffix", "suffixes", "parts", "root", "anchor", "drive"):
            assert getattr(ours, what) == getattr(pure, what), (name, what)
        assert str(ours) == ours.as_posix() == str(pure) and bytes(ours) == bytes(pure)
        assert str(ours.parent) == str(pure.parent)
        assert [str(one) for one in ours.parents] == [str(one) for one in pure.parents]
        assert ours.relative_to("/") == pure.relative_to("/")
        assert ours.is_relative_to("/a") == pure.is_relative_to("/a")
        assert ours.match("*.txt") == pure.match("*.txt") and ours.is_absolute()
        assert str(ours.with_name("x.y")) == str(pure.with_name("x.y"))
        assert str(ours.with_stem("x")) == str(pure.with_stem("x"))
        assert str(ours.with_suffix(".y")) == str(pure.with_suffix(".y"))
        assert ours.is_symlink() == theirs.is_symlink()
        for what in ("exists", "is_dir", "is_file", "is_fifo", "is_socket", "is_block_device",
                     "is_char_device"):
            if name != "loop":  # older versions of pathlib raise RuntimeError
                assert getattr(ours, what)() == getattr(theirs, what)(), (name, what)
        if theirs.is_file():
            assert ours.read_bytes() == theirs.read_bytes()
            assert ours.read_text() == theirs.read_text(encoding="utf-8")
            assert ours.samefile(str(ours.resolve()))
    assert ours == rafs.Path(image, str(ours)) and hash(ours) == hash(rafs.Path(image, str(ours)))
    assert root < root / "a" <= root / "b" and root / "b" > root / "a" >= root
    assert {str(path) for path in root.iterdir()} == {"/" + name for name in os.listdir(tree)}
    assert {str(path) for path in root.rglob("one.txt")} == {"/a/one.txt", "/a/b/one.txt"}
    assert (root / "lines").read_text(newline="") == "a\r\nb\rc\n"
    assert {str(place) for place, *_ in root.walk()} == {place for place, *_ in image.walk()}
    assert pickle.loads(pickle.dumps(root / "top.txt")).read_bytes() == b"t"
    with pytest.raises(TypeError):
        assert root < "/a"
    with pytest.raises(TypeError):
        root / 3
    with pytest.raises(ValueError):
        (root / "a").relative_to("/b")


def test_links_begin_at_the_root_of_the_image(tmp_path):
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    (tmp_path / "tree" / "etc" / "hostname").write_text("inside")
    os.symlink("/etc/hostname", tmp_path / "tree" / "link")
    os.symlink("../../../../etc", tmp_path / "tree" / "up")
    with rafs.open(rafs.build(tmp_path / "tree", tmp_path / "image").bootstrap) as image:
        assert image.read_text("link") == image.read_text("up/hostname") == "inside"
        assert image.realpath("link") == image.realpath("up/hostname") == "/etc/hostname"
        assert rafs.Path(image, "up").resolve() == rafs.Path(image, "etc")


def test_what_is_no_file(both):
    _, image = both
    for use in (image.open, image.read_bytes):
        with pytest.raises(OSError, match="no regular file"):
            use("fifo")
    assert stat.S_ISFIFO(image.stat("fifo").st_mode)


def test_names_that_c_would_cut_off(both):
    _, image = both
    for use in (image.stat, image.exists, image.open, image.listdir, image.xattrs, image.readlink,
                lambda path: list(image.chunks(path)), lambda path: image.prefetch([path])):
        with pytest.raises(ValueError, match="null"):
            use("/top.txt\0.more")
    for number in (-1, 1 << 64, (1 << 64) + 1):
        with pytest.raises(ValueError, match="offset"):
            image.read_bytes("top.txt", number)
        with pytest.raises(ValueError, match="range"):
            image.prefetch(ranges=[("top.txt", number, 1)])
    for timeout in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            rafs.open("image.boot", timeout=timeout)
    with pytest.raises(TypeError, match="expect_digest"):
        rafs.open("image.boot", expect_digest=b"sha256:")
    with pytest.raises(TypeError, match="in an image"):
        rafs.open("image.boot", cache=rafs.Path(image, "/a"))
