# SPDX-License-Identifier: Apache-2.0
"""`python -m rafs`: versions and places, for reports of errors."""
import os
import sys

from . import __version__
from ._library import library_path, library_version

print(f"rafs      {__version__}  {os.path.dirname(os.path.abspath(__file__))}")
print(f"librafs   {library_version}  {library_path}")
print(f"Python    {sys.version.split()[0]}  {sys.executable}")
