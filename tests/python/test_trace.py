# SPDX-License-Identifier: Apache-2.0
"""Traces: what is recorded is what was read, and it helps the next run."""
import os
import pickle

import pytest

import rafs

from conftest import boot_of, open_variant


def read_some(image):
    image.trace_start()
    image.read_bytes("/data/text")
    image.read_bytes("/data/large", 0, 10)
    return image.trace()


def test_events_are_what_was_read(image):
    trace = read_some(image)
    events = list(trace)
    assert trace.complete and len(trace) == len(events) > 0
    assert trace.blobs[0][0] == image.info.blobs[0].id
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert trace.duration == pytest.approx(events[-1].time)
    for path in ("/data/text", "/data/large"):
        chunk = next(iter(image.chunks(path)))
        event = next(one for one in events if one.ino == image.stat(path).st_ino)
        assert (event.compressed_offset, event.compressed_size, event.chunk, event.blob) == (
            chunk.compressed_offset, chunk.compressed_size, chunk.number, chunk.blob)


def test_nothing_is_recorded_unasked(image):
    with pytest.raises(rafs.ArgumentError):
        image.trace()


def test_kept_and_loaded(image, tmp_path):
    trace = read_some(image)
    trace.save(tmp_path / "a.trace")
    for again in (rafs.Trace.load(tmp_path / "a.trace"), rafs.Trace.load(bytes(trace)),
                  pickle.loads(pickle.dumps(trace))):
        assert list(again) == list(trace) and again.digest == trace.digest
    with pytest.raises(rafs.CorruptError):
        rafs.Trace.load(b"x" * 100)
    with pytest.raises(rafs.CorruptError):
        rafs.Trace.load(bytes(trace)[:-1])
    with pytest.raises(FileNotFoundError):
        rafs.Trace.load(tmp_path / "no")
    with pytest.raises(TypeError):
        rafs.Trace()


def test_prefetch_by_a_trace(image, tmp_path):
    trace = read_some(image)
    with open_variant("v6-zstd", cache=tmp_path / "cache") as fresh:
        done = fresh.prefetch(trace=trace)
        assert done["chunks_fetched"] == len(trace) and done["chunks_failed"] == 0
        before = fresh.stats
        fresh.read_bytes("/data/text")
        after = fresh.stats
        assert after["bytes_fetched"] == before["bytes_fetched"]
    with open_variant("v5-zstd" if os.path.exists(boot_of("v5-zstd")) else "v6-lz4") as other:
        with pytest.raises(rafs.RafsError):
            other.prefetch(trace=trace)


def test_traces_outlive_images():
    with open_variant("v6-zstd") as image:
        trace = read_some(image)
    assert len(list(trace)) == len(trace)


def test_learnt_by_the_cache(tmp_path):
    with open_variant("v6-zstd", cache=tmp_path / "cache", trace=True) as image:
        image.read_bytes("/data/text")
    with rafs.Cache(tmp_path / "cache") as cache:
        assert any(entry.document for entry in cache.entries())


def test_paths_are_not_cut(image, tmp_path):
    """At a NUL."""
    trace = read_some(image)
    with pytest.raises(ValueError, match="null"):
        trace.save(f"{tmp_path}/a\0b")
    assert not os.path.exists(tmp_path / "a")
    with pytest.raises(ValueError, match="null"):
        rafs.Trace.load(f"{tmp_path}/a\0b")
