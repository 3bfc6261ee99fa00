# SPDX-License-Identifier: Apache-2.0
"""A server that does what a test says, byte for byte: what the modules of Python would
never send, they cannot be made to send.

    with Server(act) as server: ...

act(request, client) answers one request through the methods of `client`. All requests are
in server.log in the order in which they came; server.sent counts bytes.
"""
import hashlib
import os
import socket
import ssl
import struct
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(ROOT, "tests", "golden")


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Request:
    """One request: method, path, headers by lower-case name, body."""

    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.body = body
        self.authorization = self.headers.get("authorization")
        self.head = head

    def range(self, size):
        """First and last byte that are asked for, of a thing of this size."""
        first, last = 0, size - 1
        if "range" in self.headers:
            first, last = self.headers["range"][6:].split("-")
            first, last = int(first), min(int(last or size), size - 1)
        return first, last


class Client:
    """The connection that a request came by."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.open = True

    def send(self, data):
        self.sock.sendall(data)
        with self.server.lock:
            self.server.sent += len(data)

    def close(self):
        """After what was sent, the end."""
        self.open = False

    def reset(self):
        """RST instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.open = False

    def wait(self, seconds):
        """Do nothing, but no longer than the server lives."""
        return self.server.stopped.wait(seconds)

    def hang(self):
        """Until the client is gone or the server ends."""
        self.sock.settimeout(0.1)
        while not self.server.stopped.is_set():
            try:
                if not self.sock.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.open = False

    def answer(self, status, body=b"", headers=(), length=True):
        lines = [f"HTTP/1.1 {status} Whatever"] + [f"{n}: {v}" for n, v in headers]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.send(head + body)

    def part(self, request, body, headers=()):
        """The right answer to a request, with a range or without."""
        if "range" not in request.headers:
            self.answer(200, body, headers)
            return
        first, last = request.range(len(body))
        if first >= len(body):
            self.answer(416, b"", [("Content-Range", f"bytes */{len(body)}")])
            return
        self.answer(206, body[first:last + 1],
                    [("Content-Range", f"bytes {first}-{last}/{len(body)}")] + list(headers))


class Server:
    """Listens on a free port of this machine."""

    def __init__(self, act, tls=None, port=0, host="127.0.0.1"):
        self.act, self.tls = act, tls
        self.log = []
        self.sent = 0  # bytes, of all answers together
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self.socks = set()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """No connection outlives this."""
        self.stopped.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join()
        with self.lock:
            socks = list(self.socks)
        for sock in socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.socks.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, raw):
        sock = raw
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(raw, server_side=True)
            client = Client(self, sock)
            pending = b""
            while client.open and not self.stopped.is_set():
                request, pending = self.take(sock, pending)
                if not request:
                    break
                with self.lock:
                    self.log.append(request)
                self.act(request, client)
        except (OSError, ssl.SSLError):
            pass  # a client that goes away is what many tests are about
        finally:
            with self.lock:
                self.socks.discard(raw)
            sock.close()

    @staticmethod
    def take(sock, pending):
        while b"\r\n\r\n" not in pending:
            more = sock.recv(65536)
            if not more:
                return None, b""
            pending += more
        head, _, pending = pending.partition(b"\r\n\r\n")
        request = Request(head, b"")
        size = int(request.headers.get("content-length", 0))
        while len(pending) < size:
            pending += sock.recv(65536)
        request.body, pending = pending[:size], pending[size:]
        return request, pending

    def asked(self, part):
        """Requests with `part` in their path, so far."""
        with self.lock:
            return [r for r in self.log if part in r.path]


def blob_of(kind):
    """Id and bytes of a golden image's only blob."""
    folder = os.path.join(GOLDEN, kind, "blobs")
    name = sorted(os.listdir(folder))[0]
    with open(os.path.join(folder, name), "rb") as f:
        return name, f.read()


def boot_of(kind):
    return os.path.join(GOLDEN, kind, "image.boot")
