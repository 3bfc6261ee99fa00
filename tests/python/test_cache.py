# SPDX-License-Identifier: Apache-2.0
"""A cache directory that several images use."""
import os

import pytest

import rafs

from conftest import open_variant


def test_shared_by_images(tmp_path):
    with rafs.Cache(tmp_path / "cache", quota=1 << 30) as cache:
        assert cache.path == str(tmp_path / "cache") and cache.entries() == []
        with open_variant("v6-zstd", cache=cache) as image:
            whole = image.read_bytes("/data/large")
            blob = image.info.blobs[0].id
            assert image.stats["chunks_fetched"] > 0
        with rafs.open(image_boot("v6-zstd"), cache=cache, blob_dir="/") as offline:
            assert offline.read_bytes("/data/large") == whole
        entry = next(one for one in cache.entries(count=True) if one.name == blob)
        assert entry.chunks > 0 and entry.ready_bytes >= len(whole) and not entry.document
        assert next(iter(cache.entries())).chunks is None
        assert cache.disk_bytes > 0
        assert os.path.getsize(cache.blob_path(blob)) >= len(whole)
        with pytest.raises(rafs.NotFound):
            cache.blob_path("0" * 64)


def image_boot(variant):
    from conftest import boot_of
    return boot_of(variant)


def test_pins_and_gc(tmp_path):
    with rafs.Cache(tmp_path / "cache") as cache:
        with open_variant("v6-zstd", cache=cache) as image:
            image.read_bytes("/data/large")
            blob = image.info.blobs[0].id
            image.pin()
        assert all(entry.pinned for entry in cache.entries() if entry.name == blob)
        assert cache.gc(0).evicted == 0 and not cache.gc(0).fits
        cache.unpin(blob)
        would = cache.gc(0, dry_run=True)
        assert would.evicted == 1 and cache.entries()
        assert cache.gc(0).evicted_bytes == would.evicted_bytes and not cache.entries()
        with pytest.raises(ValueError):
            cache.gc(-1)


def test_damage_is_found(tmp_path):
    with rafs.Cache(tmp_path / "cache") as cache:
        with open_variant("v6-zstd", cache=cache) as image:
            whole = image.read_bytes("/data/large")
            blob = image.info.blobs[0].id
        assert cache.scrub().bad_chunks == 0
        with open(cache.blob_path(blob), "r+b") as file:
            place = file.read().index(whole[:64])
            file.seek(place)
            file.write(bytes(64))
        told = []
        result = cache.scrub(progress=lambda done, total: told.append((done, total)))
        assert result.bad_chunks == 1 and result.complete and told[-1][0] == result.bytes
        with open_variant("v6-zstd", cache=cache) as image:
            assert image.read_bytes("/data/large") == whole

        def fails(done, total):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            cache.scrub(progress=fails)


def test_closing(tmp_path):
    cache = rafs.Cache(tmp_path / "cache")
    image = open_variant("v6-zstd", cache=cache)
    cache.close()
    cache.close()
    assert cache.closed and "closed" in repr(cache)
    assert image.read_bytes("/data/text")  # it keeps what it needs
    image.close()
    for use in (cache.entries, cache.gc, cache.scrub, lambda: cache.path,
                lambda: open_variant("v6-zstd", cache=cache)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_wrong_directories(tmp_path):
    with pytest.raises(OSError):
        rafs.Cache(tmp_path / "no" / "such")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").write_text("a")
    with pytest.raises(OSError):
        rafs.Cache(tmp_path / "full")
    for bad in ({"quota": -1}, {"quota": 1 << 64}, {"free_floor": -5}):
        with pytest.raises(ValueError):
            rafs.Cache(tmp_path / "cache", **bad)
    with pytest.raises(TypeError):
        rafs.Cache(5)


def test_what_would_be_cut_is_refused(tmp_path):
    """C's texts end at a NUL, its numbers at 64 bits."""
    with pytest.raises(ValueError, match="null"):
        rafs.Cache(f"{tmp_path}/a\0b")
    assert not os.path.exists(tmp_path / "a")
    with rafs.Cache(tmp_path / "cache") as cache:
        for call in (cache.pin, cache.unpin, cache.blob_path):
            with pytest.raises(ValueError, match="null"):
                call("a\0b")
        for quota in (-1, 1 << 64, (1 << 64) + 1):
            with pytest.raises(ValueError, match="range"):
                cache.gc(quota)
