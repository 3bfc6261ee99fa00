# SPDX-License-Identifier: Apache-2.0
"""A registry that holds one blob, and does what a test says."""
import json
import os
import sys
import threading
import time

from mounting import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "remote"))
from server import Server  # noqa: E402

TOKEN_SECONDS = 2


class Registry:
    """`url` is for --blob-source. mode: "good"; "reset" (connections end with RST), "hang"
    (nothing is answered), "wrong" (one bit of each answer), "error" (503)."""

    def __init__(self, content, tokens=False):
        with open(content.blob(), "rb") as f:
            self.blob = f.read()
        self.name = os.path.basename(content.blob())
        self.mode, self.tokens = "good", tokens
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.ends = {}  # when a token does
        self.given = self.served = self.refused = 0
        self.server = Server(self.act)
        self.port = self.server.port

    @property
    def url(self):
        return f"docker://127.0.0.1:{self.port}/a/b"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    def become(self, mode):
        with self.changed:
            self.mode = mode
            self.changed.notify_all()

    def close(self):
        """Nobody listens any more."""
        self.server.stop()

    def listen(self):
        self.server = Server(self.act, port=self.port)

    # --- the server's side ---------------------------------------------------------------

    def act(self, request, client):
        if self.mode == "hang":
            self.hang(client)
        if self.mode == "reset":
            client.reset()
        elif self.mode == "error":
            client.answer(503, b"later")
        elif request.path.startswith("/token"):
            self.give_token(client)
        elif self.tokens and not self.valid(request.authorization):
            with self.lock:
                self.refused += 1
            client.answer(401, b"", [("WWW-Authenticate", f'Bearer realm="{client.server.url}'
                                      '/token",service="s",scope="repository:a/b:pull"')])
        elif request.path == "/v2/":
            client.answer(200, b"{}")
        elif self.name in request.path:
            self.serve(request, client)
        else:
            client.answer(404, b"")

    def hang(self, client):
        with self.changed:
            while self.mode == "hang" and not client.server.stopped.is_set():
                self.changed.wait(0.2)

    def serve(self, request, client):
        body = self.blob
        if self.mode == "wrong":
            first, last = request.range(len(body))
            body = bytearray(body)
            for at in range(first, last + 1, 4096):
                body[at] ^= 4
            body = bytes(body)
        if request.method == "HEAD":
            client.answer(200, b"", [("Content-Length", str(len(body)))], length=False)
            return
        with self.lock:
            self.served += 1
        client.part(request, body)

    def give_token(self, client):
        with self.lock:
            self.given += 1
            token = f"token-{self.given}"
            self.ends[f"Bearer {token}"] = time.monotonic() + TOKEN_SECONDS
        client.answer(200, json.dumps({"token": token, "expires_in": TOKEN_SECONDS}).encode())

    def valid(self, authorization):
        with self.lock:
            return self.ends.get(authorization or "", 0) > time.monotonic()
