# SPDX-License-Identifier: Apache-2.0
"""Trees of real files for the benches: Debian packages, downloaded and unpacked here."""

import glob
import os
import shutil
import subprocess

from servers import Skip, need


def download(work, packages, installed=None):
    """The files of Debian packages and of all that they need, less what the dpkg status
    file `installed` has; as if nothing were installed where that is None."""
    for program in ("apt-get", "dpkg-deb", "unshare"):
        need(program, "apt, dpkg, util-linux")
    debs = os.path.join(work, "debs")
    os.makedirs(os.path.join(debs, "partial"), exist_ok=True)
    status = os.path.join(work, "status")
    if installed:
        shutil.copyfile(installed, status)
    else:
        with open(status, "w", encoding="utf-8"):
            pass
    run = subprocess.run(
        ["apt-get", "-o", f"Dir::State::status={status}", "-o", "Debug::NoLocking=1",
         "-o", "APT::Install-Recommends=false", "-o", f"Dir::Cache::archives={debs}",
         "-o", "APT::Sandbox::User=root", "install", "--download-only", "-y", *packages],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = sorted(glob.glob(os.path.join(debs, "*.deb")))
    if run.returncode != 0 or not found:
        raise Skip("apt-get cannot download the packages: " + run.stdout[-300:].strip())
    return found


def in_tree(tree, *command, before=()):
    """Run a command with the tree as its root directory."""
    libs = "/usr/lib/x86_64-linux-gnu"
    env = {"PATH": "/usr/bin:/bin", "HOME": "/root", "MPLCONFIGDIR": "/var/cache/mpl",
           "MPLBACKEND": "Agg", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1",
           "LD_LIBRARY_PATH": f"{libs}/openblas-pthread:{libs}/blas:{libs}/lapack"}
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    run = subprocess.run([*before, "unshare", *user, "--fork", "--pid", "--mount",
                          f"--root={tree}", "--mount-proc", *command], env=env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode != 0:
        raise Skip(f"{command[0]} does not run in the unpacked tree: {run.stdout[-300:]}")
    return run.stdout
