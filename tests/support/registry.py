# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on a free port of this machine."""
import os
import socket
import subprocess
import threading


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_registry(folder, extra=""):
    """The process, once it listens, and "HOST:PORT". extra: more lines of its settings."""
    port = free_port()
    config = os.path.join(folder, f"{port}.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("version: 0.1\n"
                f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
                f"http: {{addr: 127.0.0.1:{port}}}\n{extra}")
    child = subprocess.Popen(["docker-registry", "serve", config],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for line in child.stderr:
        if b"listening on" in line:
            break
    threading.Thread(target=child.stderr.read, daemon=True).start()
    return child, f"127.0.0.1:{port}"
