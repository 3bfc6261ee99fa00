# SPDX-License-Identifier: Apache-2.0
"""How many requests reading from a registry costs, which must not grow unseen."""
import os
import random
import shutil
import sys

import pytest

import rafs

from conftest import ROOT

sys.path[:0] = [os.path.join(ROOT, "examples", "python"), os.path.join(ROOT, "tests", "support")]
from registry import start_registry  # noqa: E402
from slow_link import Link  # noqa: E402

MIB = 1 << 20
SIZE = 12 * MIB + 12345


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A reference whose requests are counted, its link, and the content of /data/large."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    work = tmp_path_factory.mktemp("requests")
    content = random.Random(1).randbytes(SIZE)
    (work / "tree" / "data").mkdir(parents=True)
    (work / "tree" / "data" / "large").write_bytes(content)
    for i in range(300):
        (work / "tree" / "data" / f"small{i}").write_bytes(content[i:i + 2000])
    built = rafs.build(work / "tree", work / "image")
    child, host = start_registry(str(work))
    try:
        rafs.push(built.bootstrap, f"docker://{host}/requests:v1",
                  blob_dir=work / "image" / "blobs")
        with Link(host, delay_ms=0) as link:
            yield f"docker://{link.host}/requests:v1", link, content
    finally:
        child.terminate()
        child.wait()


@pytest.fixture(params=["memory", "cache"])
def cache(request, tmp_path):
    return tmp_path / "cache" if request.param == "cache" else None


def requests(link):
    return link.count()["requests"]


def test_the_first_bytes_of_a_file(remote, cache):
    reference, link, content = remote
    requests(link)
    with rafs.open(reference, cache=cache) as image, image.open("/data/large", "rb") as file:
        assert file.read(8) == content[:8]
    assert requests(link) <= 4


def test_a_random_mebibyte(remote, cache):
    reference, link, content = remote
    with rafs.open(reference, cache=cache) as image:
        image.read_bytes("/data/small7")
        for offset in (9 * MIB + 77, 3 * MIB - 1, 6 * MIB):
            requests(link)
            room = bytearray(MIB)
            with image.open("/data/large", "rb", buffering=0) as file:
                file.seek(offset)
                assert file.readinto(room) == MIB
            assert room == content[offset:offset + MIB]
            assert requests(link) <= 3
    assert requests(link) == 0, "nobody reads on after somebody who picked"


def test_the_client_outlives_the_image(remote, monkeypatch):
    """Whose threads read ahead by it until they are closed."""
    from rafs import _opening, _sources
    order = []
    close, free = _opening.lib.rafs_image_close, _sources.Http.free
    monkeypatch.setattr(_opening.lib, "rafs_image_close",
                        lambda handle: (order.append("image"), close(handle)))
    monkeypatch.setattr(_sources.Http, "free", lambda http: (order.append("client"), free(http)))
    with rafs.open(remote[0]) as image:
        image.read_bytes("/data/large", 0, 3 * MIB)
    assert order == ["image", "client"]


def test_what_was_read_is_not_asked_for_again(remote, tmp_path):
    reference, link, content = remote
    for _ in range(2):
        requests(link)
        with rafs.open(reference, cache=tmp_path / "cache") as image:
            opened = requests(link)
            assert image.read_bytes("/data/large", 5 * MIB, 100) == content[5 * MIB:][:100]
            assert image.read_bytes("/data/large", 5 * MIB + 50, 9) == content[5 * MIB + 50:][:9]
            asked = requests(link)
    assert opened <= 2 and asked == 0


def test_ranges_that_are_prefetched(remote, cache):
    reference, link, content = remote
    ranges = [("/data/large", i * 2 * MIB, 100_000) for i in range(6)]
    with rafs.open(reference, cache=cache) as image:
        requests(link)
        image.prefetch(ranges=ranges)
        assert 1 <= requests(link) <= len(ranges)
        for path, offset, length in ranges:
            assert image.read_bytes(path, offset, length) == content[offset:offset + length]
        assert requests(link) == 0
