# SPDX-License-Identifier: Apache-2.0
"""Bad arguments of every kind to every function never end the interpreter."""
import os
import subprocess
import sys

import pytest

from conftest import HERE, boot_of

pytest.importorskip("hypothesis")
COUNT = 20000 if os.environ.get("RAFS_TEST_FULL") == "1" else 600


def test_arguments_of_every_kind(tmp_path):
    place = tmp_path / "a" / "b" / "c"  # what names like ".." lead to is small
    (place / "tree").mkdir(parents=True)
    (place / "tree" / "file").write_text("text")
    boot = boot_of("v6-zstd")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-X", "faulthandler", os.path.join(HERE, "arguments.py"), boot,
         os.path.join(os.path.dirname(boot), "blobs"), str(COUNT)], cwd=place,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=1200)
    assert done.returncode == 0 and "well:" in done.stdout, done.stdout[-5000:]
