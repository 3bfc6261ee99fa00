# SPDX-License-Identifier: Apache-2.0
"""scikit-build-core, with the C sources beside it: a checkout has them two folders above, a
source distribution carries its own copy in csrc/."""
import os
import shutil

from scikit_build_core import build as _backend
from scikit_build_core.build import (  # noqa: F401
    build_editable,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
COPY = os.path.join(HERE, "csrc")
NEEDED = ("CMakeLists.txt", "LICENSE", "include", "lib", "pkgconfig")


def build_sdist(sdist_directory, config_settings=None):
    """As scikit-build-core, after a copy of the C sources was made."""
    fresh = os.path.exists(os.path.join(CHECKOUT, "lib", "librafs.map"))
    if fresh:
        shutil.rmtree(COPY, ignore_errors=True)
        os.mkdir(COPY)
        for name in NEEDED:
            source = os.path.join(CHECKOUT, name)
            copy = shutil.copytree if os.path.isdir(source) else shutil.copy2
            copy(source, os.path.join(COPY, name))
    try:
        return _backend.build_sdist(sdist_directory, config_settings)
    finally:
        if fresh:
            shutil.rmtree(COPY, ignore_errors=True)
