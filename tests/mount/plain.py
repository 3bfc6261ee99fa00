# SPDX-License-Identifier: Apache-2.0
"""The same images without us: the kernel's EROFS on files that hold everything. What fails
there is not the fault of `rafs mount`. Run by `run_proof.py --plain`."""
import os
import subprocess
import tempfile

import mounts
from mounting import Refused


class PlainSession:
    """As mounting.Session, for v6 images with `image.boot` and `blobs` in a folder."""

    def __init__(self, rafs, work):
        self.rafs, self.work = rafs, tempfile.mkdtemp(prefix="plain-", dir=work)
        os.chmod(self.work, 0o755)
        self.env = dict(os.environ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, *words, timeout=120):
        return subprocess.run([self.rafs, *words], stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)

    def folder(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.work)

    def mount(self, _way, image, *_options, point=None, cache=None):
        del point, cache
        program = os.path.join(os.path.dirname(self.rafs), "kernel_mount")
        try:
            blobs = os.path.join(os.path.dirname(image), "blobs")
            return mounts.expand_and_mount(program, image, blobs, self.work)[0]
        except (mounts.Skip, ValueError) as why:
            raise Refused(4, str(why)) from why

    @staticmethod
    def umount(point, *_options):
        mounts.unmount(point)

    @staticmethod
    def processes():
        return set()
