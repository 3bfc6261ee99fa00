# SPDX-License-Identifier: Apache-2.0
"""Images of plain files for tests of what happens while they are read: no two pages are
alike, so that bytes of another place are seen as wrong."""
import os
import random
import subprocess

NEVER = "never-read"  # keeps the blob from being complete, so that reads go on to ask


def pages(seed, size):
    """Half of it compresses."""
    rng = random.Random(seed)
    out = bytearray()
    while len(out) < size:
        mark = b"%s/%d." % (str(seed).encode(), len(out))
        out += rng.randbytes(2048) + (mark * (2048 // len(mark) + 1))[:2048]
    return bytes(out[:size])


class Content:
    """Folder `work/NAME`: source/, image/image.boot, image/blobs/. `files`: content by
    name, what may be read."""

    def __init__(self, rafs, work, name, count=24, size=1 << 20, version="6",
                 chunk="64K", never=1 << 20):
        self.folder = os.path.join(work, name)
        self.source = os.path.join(self.folder, "source")
        self.out = os.path.join(self.folder, "image")
        self.image = os.path.join(self.out, "image.boot")
        self.blobs = os.path.join(self.out, "blobs")
        rng = random.Random(name)
        self.files = {f"d{i % 5}/f{i:04d}": pages(f"{name}/{i}", rng.randrange(1, 2 * size))
                      for i in range(count)}
        for path, data in list(self.files.items()) + [(NEVER, pages(name, never))]:
            full = os.path.join(self.source, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as f:
                f.write(data)
        done = subprocess.run(
            [rafs, "build", "-o", self.out, "--fs-version", version, "--chunk-size", chunk,
             "--no-sync", self.source], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "RAFS_CACHE_DIR": ""}, check=False)
        if done.returncode != 0:
            raise ValueError(f"rafs build: {done.stderr.decode(errors='replace')}")

    def at(self, point):
        """(path, content) of all, below a mount."""
        return [(os.path.join(point, name), data) for name, data in self.files.items()]

    def blob(self):
        """Path of the one blob."""
        return os.path.join(self.blobs, os.listdir(self.blobs)[0])
