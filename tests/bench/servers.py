# SPDX-License-Identifier: Apache-2.0
"""What the benches over a network have between them: a registry on loopback, and a link
in front of it with a latency and a rate (tests/bench/link.c)."""

import http.client
import os
import shutil
import subprocess
import time

RATE, LATENCY_MS = 25_000_000, 20


class Skip(Exception):
    """Why something is not measured here."""


def need(program, package):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed (Debian: {package})")


class Registry:
    def __init__(self, work):
        need("docker-registry", "docker-registry")
        self.log = open(os.path.join(work, "registry.log"), "wb")
        for port in range(5610, 5690):
            config = os.path.join(work, "registry.yml")
            with open(config, "w", encoding="utf-8") as f:
                f.write("version: 0.1\nlog: {accesslog: {disabled: true}, level: error}\n"
                        f"storage: {{filesystem: {{rootdirectory: {work}/registry}}}}\n"
                        f"http: {{addr: 127.0.0.1:{port}}}\n")
            self.child = subprocess.Popen(["docker-registry", "serve", config],
                                          stdout=self.log, stderr=self.log)
            if self.wait(port):
                self.port = port
                return
        raise Skip("no free port for a registry")

    def wait(self, port):
        while self.child.poll() is None:
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                link.request("GET", "/v2/")
                link.getresponse().read()
                return self.child.poll() is None
            except OSError:
                time.sleep(0.05)
        return False

    def close(self):
        self.child.terminate()
        self.child.wait()
        self.log.close()


class Link:
    def __init__(self, program, port):
        self.child = subprocess.Popen([program, "0", str(port), str(RATE),
                                       str(LATENCY_MS)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.host = "127.0.0.1:" + self.child.stdout.readline().strip()

    def count(self):
        """Bytes, connections and requests since the last call."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return [int(x) for x in self.child.stdout.readline().split()]

    def close(self):
        self.child.stdin.close()
        self.child.wait()
