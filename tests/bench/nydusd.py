# SPDX-License-Identifier: Apache-2.0
"""A FUSE mount by nydusd, which the benches compare with: NYDUSD, or in PATH; needs root
and /dev/fuse. digest_validate is off, as it cannot for v6."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from servers import Skip

WAIT_S = 20


def program():
    return os.environ.get("NYDUSD") or shutil.which("nydusd")


def version():
    out = subprocess.run([program(), "--version"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False).stdout
    words = [line.split(":", 1)[1].strip() for line in out.splitlines()
             if line.lower().startswith(("version", "nydusd version", "git commit"))]
    return next((w for w in words if w and w != "unknown"), "of unknown version")


def registry(host, repo):
    return {"type": "registry", "config": {"scheme": "http", "host": host, "repo": repo}}


def folder(blobs):
    return {"type": "localfs", "config": {"dir": blobs}}


class Nydusd:
    """An image mounted, when this returns; its chunks are kept in `cache`, or in a folder
    that ends with the mount."""

    def __init__(self, work, boot, backend, prefetch=False, cache=None, env=None):
        self.top = tempfile.mkdtemp(prefix="nydusd-", dir=work)
        self.at = os.path.join(self.top, "mount")
        os.mkdir(self.at)
        cache = cache or os.path.join(self.top, "cache")
        os.makedirs(cache, exist_ok=True)
        config = os.path.join(self.top, "config.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"device": {
                "backend": backend,
                "cache": {"type": "blobcache", "config": {"work_dir": cache}}},
                "mode": "direct", "digest_validate": False, "enable_xattr": True,
                "fs_prefetch": {"enable": prefetch, "threads_count": 8,
                                "merging_size": 1 << 20, "prefetch_all": prefetch}}, f)
        with open(os.path.join(self.top, "log"), "wb") as log:
            self.daemon = subprocess.Popen(
                [program(), "fuse", "--rlimit-nofile", "0", "-C", config, "-M", self.at,
                 "-B", boot, "-l", "warn"], stdout=log, stderr=log, env=env)
        try:
            self.wait()
        except BaseException:
            self.close()
            raise

    def wait(self):
        end = time.monotonic() + WAIT_S
        while not os.path.ismount(self.at):
            if time.monotonic() > end or self.daemon.poll() is not None:
                with open(os.path.join(self.top, "log"), encoding="utf-8",
                          errors="replace") as log:
                    raise Skip("nydusd does not mount (is this root, with /dev/fuse?) "
                               + log.read()[-300:])
            time.sleep(0.001)

    def processor(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        if os.path.ismount(self.at):
            subprocess.run(["umount", "-l", self.at], check=False)
        shutil.rmtree(self.top, ignore_errors=True)
