# SPDX-License-Identifier: Apache-2.0
"""Images in worker processes, and what must not be taken for a file of this machine."""
import concurrent.futures
import ctypes
import multiprocessing
import os
import pickle
import shutil

import pytest

import rafs

from conftest import GOLDEN, boot_of, open_variant


class Dataset:
    """As programs that train have them: opened once, handed to workers."""

    def __init__(self, image):
        self.image, self.size = image, image.stat("/data/large").st_size

    def __getitem__(self, index):
        return self.image.read_bytes("/data/large", index * 1000, 1000)


def item(dataset, index):
    return dataset[index]


def item_of_own(index):
    with open_variant("v6-zstd") as image:
        return Dataset(image)[index]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(image, method):
    dataset = Dataset(image)
    expected = [dataset[i] for i in range(6)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(item, [(dataset, i) for i in range(6)]) == expected
        assert pool.map(item_of_own, range(6)) == expected


def in_child(work, fork=os.fork):
    """What work() gives in a child, or the name of its exception."""
    ours, theirs = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}".encode()
        os.write(theirs, said)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        said = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return said


def test_an_image_goes_on_after_fork(image):
    text = image.read_bytes("/data/text")
    with image.open("/data/text", "rb", buffering=0) as file:
        assert file.read(5) == text[:5]
        assert in_child(lambda: file.read(5)) == text[5:10]
        assert in_child(lambda: in_child(lambda: image.read_bytes("/data/text"))) == text
        assert file.read(5) == text[5:10]

    def many():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return b"".join(pool.map(lambda i: image.read_bytes("/data/text", i, 1), range(64)))

    assert in_child(many) == text[:64]

    def closes():
        image.close()
        assert image.closed and "closed" in repr(image)
        return image.read_bytes("/data/text")

    assert b"Error" in in_child(closes)
    assert image.read_bytes("/data/text") == text
    image.close()
    assert b"Error" in in_child(lambda: image.read_bytes("/data/text"))


def test_a_child_that_nobody_told_of(image):
    """fork() by other than Python."""
    said = in_child(lambda: b"".join(map(os.fsencode, image.listdir())), ctypes.PyDLL(None).fork)
    assert said == b"RuntimeError: this image was opened before fork(): a child opens its own"


def test_an_image_that_is_another_one_now(tmp_path):
    boot = tmp_path / "image.boot"
    shutil.copy(boot_of("v6-zstd"), boot)
    with rafs.open(boot, blob_dir=os.path.join(GOLDEN, "v6-zstd", "blobs")) as image:
        packed = pickle.dumps(image)
        with pickle.loads(packed) as again:
            assert again.read_bytes("/data/text") == image.read_bytes("/data/text")
    shutil.copy(boot_of("v5-zstd"), boot)
    with pytest.raises(ValueError, match="another image"):
        pickle.loads(packed)
    with rafs.open(boot, blob_dir=os.path.join(GOLDEN, "v5-zstd", "blobs")) as image:
        os.unlink(boot)
        shutil.copy(boot_of("v6-zstd"), boot)
        assert b"another image now than before fork" in in_child(lambda: image.listdir())
        assert image.read_bytes("/data/text")


def test_paths_inside_are_no_paths_of_this_machine(image):
    """open(), pandas and numpy would read the file of that name here, without a word."""
    for inside in (rafs.Path(image, "/data/text"), *image.scandir("/data")):
        assert not isinstance(inside, os.PathLike)
        with pytest.raises(TypeError):
            os.fspath(inside)
        with pytest.raises(TypeError):
            open(inside, "rb")
    path = rafs.Path(image, "/data/text")
    assert image.read_bytes(path) == path.read_bytes() == image.read_bytes(b"/data/text")
    with image.open(path, "rb") as file:
        assert file.read() == path.read_bytes()


def test_what_an_image_looks_like(image):
    assert repr(image).startswith(f"<rafs.Image {boot_of('v6-zstd')} at 0x")
    image.close()
    assert repr(image).endswith(", closed>")
    with open(boot_of("v6-zstd"), "rb") as file:
        data = file.read()
    with rafs.open(data) as other:
        assert repr(other).startswith(f"<rafs.Image {len(data)} bytes at 0x")
