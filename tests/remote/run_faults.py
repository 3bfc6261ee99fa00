#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What networks and servers do wrong, and what a reader sees of it: nothing, or an error
in time. Each test names the row of the table of failures that it stands for.

RAFS_TEST_FULL=1 takes the true times and counts. Usage: run_faults.py --rafs PATH
"""
import argparse
import base64
import io
import json
import os
import sys
import tarfile
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reading import (digest_of, end_reader, full, rafs, reader, report,  # noqa: E402
                     set_programs, shown, start_reader)
from run_pull import make_image  # noqa: E402
from server import Server, blob_of, boot_of, sha  # noqa: E402

KIND = "v6-none"
FILE = "/data/twin"
ID, BLOB = blob_of(KIND)
BOOT = ("--boot", boot_of(KIND), "--read", FILE)
# A file of one chunk, asked for alone: one request.
SMALL = "/data/block"
ALONE = ("--boot", boot_of(KIND), "--read", SMALL, "--strict")


def serve(request, client):
    """The blob, whatever the folder."""
    if request.path.endswith(ID):
        client.part(request, BLOB)
    else:
        client.answer(404)


def wait_for(condition, seconds=100):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# --- row 1: the server is gone -----------------------------------------------------------

def outage(seconds, timeout_ms):
    """Readers at work, the server goes away for so long: (outcome, requests after)."""
    server = Server(serve)
    child = start_reader(*BOOT, "--threads", 4, "--seconds", seconds + 3, "--timeout",
                         timeout_ms, "--source", server.url)
    result = []
    thread = threading.Thread(target=lambda: result.append(end_reader(child)))
    thread.start()
    wait_for(lambda: server.asked(ID))
    server.stop()
    time.sleep(seconds)
    server = Server(serve, port=server.port)
    thread.join()
    asked = len(server.asked(ID))
    server.stop()
    return result[0], asked


def row_1():
    for seconds in full([1], [1, 10, 59]):
        outcome, asked = outage(seconds, 60000)
        report.check(f"row 1: {seconds} s without a server, no error",
                     outcome.good(GOOD) == outcome.all() > 0 and asked > 0, outcome)
    seconds, timeout = full((2, 500), (61, 60000))
    outcome, asked = outage(seconds, timeout)
    errors = outcome.bad()
    report.check("row 1: past the deadline it is a timeout that says why",
                 errors and all(t.startswith("RAFS_E_TIMEOUT") for t in errors) and
                 any("onnect" in t for t in errors), outcome)
    report.check("row 1: and reads go on when the server is back",
                 outcome.good(GOOD) > 0 and asked > 0, outcome)
    with Server(serve) as server:
        first = reader(*BOOT, "--source", server.url)
    report.check("row 1: (the server was there)", first.good(GOOD) == 1, first)
    gone = reader(*BOOT, "--source", server.url, "--timeout", 0, "--retry", 300)
    report.check("row 1: without a deadline retry_ms ends it", gone.only("RAFS_E_BACKEND"),
                 gone)


def slow_but_steady():
    """Without a deadline, retry_ms is no limit for what comes all the time."""
    blobs, manifest, layer = make_image(KIND)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("image/other", os.urandom(6 << 20)),
                           ("image/image.boot", open(boot_of(KIND), "rb").read())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    large = out.getvalue()
    changed = json.loads(manifest)
    changed["layers"][-1].update(digest=sha(large), size=len(large),
                                 mediaType="application/vnd.oci.image.layer.v1.tar")
    manifest = json.dumps(changed).encode()
    blobs[sha(large)] = large

    def act(request, client):
        body = manifest if "/manifests/" in request.path else \
            blobs[request.path.split("/")[-1]]
        if body is not large:
            client.part(request, body)
            return
        client.send(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 1 << 20):
            client.send(body[at:at + (1 << 20)])
            client.wait(0.7)

    with Server(act) as server:
        outcome = reader("--read", FILE, "--timeout", 0, "--retry", 3000,
                         jobs=[f"docker://{server.host}/a/b@{sha(manifest)}"])
        asked = len(server.asked(sha(large)))
    report.check("without a deadline: what comes all the time may take its time",
                 outcome.good(GOOD) == 1 and asked == 1 and outcome.longest > 3000,
                 f"{asked} {outcome}")


# --- row 2: tokens that end, passwords that change ---------------------------------------

class TokenRegistry:
    """Tokens live for 2 s; with each of them the password changes. late: whoever reads
    the file sees the new one only after the old one was refused."""

    def __init__(self, folder, late):
        self.file = os.path.join(folder, "password")
        self.late = late
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.issued = 0
        self.at_once = self.most_at_once = 0  # requests for tokens
        self.refused = 0
        self.ends = {}
        self.number = 0
        self.publish()

    def publish(self):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(f"pass-{self.number}")
        os.rename(self.file + ".new", self.file)

    def act(self, request, client):
        wants_token = request.path.startswith("/token")
        with self.lock:
            self.at_once += wants_token
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.answer(request, client)
        with self.lock:
            self.at_once -= wants_token

    def answer(self, request, client):
        with self.lock:
            now = time.monotonic()
            if request.path.startswith("/token"):
                word = base64.b64encode(f"bob:pass-{self.number}".encode()).decode()
                if request.authorization != f"Basic {word}":
                    self.refused += 1
                    self.publish()
                    status, body = 401, b""
                else:
                    self.issued += 1
                    self.number += 1
                    token = f"token-{self.number}"
                    self.ends[f"Bearer {token}"] = now + 2
                    if not self.late:
                        self.publish()
                    status = 200
                    body = json.dumps({"token": token, "expires_in": 2}).encode()
            elif self.ends.get(request.authorization, 0) > now:
                status = 206
            else:
                status, body = 401, b""
        if status == 206:
            client.part(request, BLOB)
        elif status == 401:
            client.answer(401, b"", [("WWW-Authenticate", f'Bearer realm="{client.server.url}'
                                      '/token",service="s",scope="repository:a/b:pull"')])
        else:
            client.answer(status, body)


def row_2():
    for late in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            registry = TokenRegistry(folder, late)
            with Server(registry.act) as server:
                outcome = reader(*BOOT, "--threads", 64, "--seconds", full(4, 60),
                                 "--source", f"docker://{server.host}/a/b",
                                 "--user", "bob", "--password", registry.file)
                took = time.monotonic() - registry.began
        name = "row 2: 64 readers, tokens of 2 s, " + \
            ("passwords learnt by refusal" if late else "changing passwords")
        report.check(f"{name}: no error", outcome.good(GOOD) == outcome.all() > 64, outcome)
        # 1.8 s is when a token is replaced, counted from when it was asked for.
        report.check(f"{name}: a token a life, one request at a time",
                     1 < registry.issued <= took / 1.2 + 2 and registry.most_at_once == 1,
                     f"{registry.issued} in {took} s, {registry.most_at_once} at once")
        if not late:
            report.check(f"{name}: no password is refused", registry.refused == 0,
                         registry.refused)

    def refuse(request, client):
        if not request.path.startswith("/token"):
            client.answer(401, b"", [("WWW-Authenticate",
                                      f'Bearer realm="{client.server.url}/token"')])
            return
        client.wait(0.3)  # time for the others to come and wait
        client.answer(403)

    with Server(refuse) as server:
        outcome = reader(*BOOT, "--threads", 16, "--source", f"docker://{server.host}/a/b",
                         "--connections", 32, "--user", "bob", jobs=["-"] * 16)
        asked = len(server.asked("/token"))
    report.check("row 2: those who wait share a refusal", outcome.only("RAFS_E_BACKEND") and
                 asked < 16, f"{asked} token requests, {outcome}")

    def no_challenge(request, client):
        with server.lock:
            ended = sum(1 for r in server.log if r.authorization == "Bearer one") > 3
        if request.path.startswith("/token"):
            count = len(server.asked("/token"))
            client.answer(200, json.dumps({"token": "one" if count == 1 else "two"}).encode())
        elif request.authorization == "Bearer two" or \
                (request.authorization == "Bearer one" and not ended):
            client.part(request, BLOB)
        elif request.authorization:
            client.answer(403)
        else:
            client.answer(401, b"", [("WWW-Authenticate",
                                      f'Bearer realm="{client.server.url}/token"')])

    with Server(no_challenge) as server:
        outcome = reader(*BOOT, "--source", f"docker://{server.host}/a/b", jobs=["-"] * 10)
    report.check("row 2: 403 without a challenge renews the token",
                 outcome.good(GOOD) == 10, outcome)


# --- row 3: answers that break off --------------------------------------------------------

def row_3():
    """The path says where: /cut/END/N/ID. END is of the body or of the headers."""
    seen = {}

    def cut(request, client):
        _, what, at, _ = request.path[1:].split("/")
        first, last = request.range(len(BLOB))
        with lock:
            tries = seen.setdefault((what, at), [])
            tries.append((first, last))
        if len(tries) > 1:
            client.part(request, BLOB)
            return
        at = int(at)
        head = (f"HTTP/1.1 206 x\r\nContent-Range: bytes {first}-{last}/{len(BLOB)}\r\n"
                f"Content-Length: {last - first + 1}\r\n\r\n").encode()
        if what == "head":
            client.send(head[:at % len(head)])
        else:
            client.send(head + BLOB[first:first + at * (last - first + 1) // 4096])
        if what == "reset":
            client.reset()
        client.close()

    lock = threading.Lock()
    step = full(50, 1)
    jobs = [("body", at) for at in sorted({*range(0, 4096, step), 4095})]
    jobs += [("reset", at) for at in range(0, 4096, 8 * step)]
    jobs += [("head", at) for at in range(0, 90, full(4, 1))]
    with Server(cut) as server:
        outcome = reader(*ALONE, "--threads", 8,
                         jobs=[f"{server.url}/cut/{what}/{at}" for what, at in jobs])
    report.check(f"row 3: cut at {len(jobs)} places, all bytes right",
                 outcome.good(GOOD_SMALL) == len(jobs), outcome)
    wrong = []
    for (what, at), tries in seen.items():
        first, last = tries[0]
        sent = 0 if what == "head" else int(at) * (last - first + 1) // 4096
        again = tries[1][0] if len(tries) == 2 else None
        good = again is not None and tries[1][1] == last and \
            (first <= again <= first + sent if what == "reset" else again == first + sent)
        if not good:
            wrong.append((what, at, tries))
    report.check("row 3: each asked once more, from the byte where it ended", not wrong,
                 wrong[:5])

    def byte_by_byte(request, client):
        first, last = request.range(len(BLOB))
        client.send((f"HTTP/1.1 206 x\r\nContent-Range: bytes {first}-{last}/{len(BLOB)}\r\n"
                     f"Content-Length: {last - first + 1}\r\n\r\n").encode() +
                    BLOB[first:first + 1])
        client.close()

    with Server(byte_by_byte) as server:
        outcome = reader(*ALONE, "--timeout", 1500, "--source", server.url)
        ranges = [r.range(len(BLOB))[0] for r in server.asked(ID)]
    report.check("row 3: a byte a connection: each is kept, the deadline holds",
                 outcome.only("RAFS_E_TIMEOUT") and outcome.longest < 20000 and
                 len(ranges) > 2 and ranges == list(range(ranges[0], ranges[0] + len(ranges))),
                 f"{ranges[:9]} {outcome}")


def row_3_documents():
    """Manifest and bootstrap cut in each way that a body can be, and behind its last byte."""
    blobs, manifest, layer = make_image(KIND)
    for way in ("length", "chunks", "end"):
        seen = set()

        def act(request, client):
            name = request.path.split("/")[-1]
            body = manifest if "/manifests/" in request.path else blobs[name]
            if name in seen:
                client.part(request, body)
                return
            seen.add(name)
            if way == "length":
                client.send(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(body) +
                            body[:len(body) // 2])
            else:
                part = body if way == "end" else body[:len(body) // 2]
                client.send(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                            b"%x\r\n" % len(part) + part + b"\r\n")
            client.close()

        with Server(act) as server:
            outcome = reader("--read", FILE, "--threads", 1,
                             jobs=[f"docker://{server.host}/a/b@{sha(manifest)}"])
        report.check(f"row 3: documents cut: {way}", outcome.good(GOOD) == 1, outcome)


# --- row 4: other bytes -------------------------------------------------------------------

def row_4():
    def spoil(request, client):
        seed = int(request.path.split("/")[2])
        data = bytearray(BLOB)
        first, last = request.range(len(BLOB))
        kind, place = seed % 3, first + seed * 7919 % (last - first + 1)
        if kind == 0:
            data[place] ^= 1 << seed % 8
        elif kind == 1:  # two blocks change places
            a, b = place // 512 * 512, seed * 104729 % len(data) // 512 * 512
            data[a:a + 512], data[b:b + 512] = data[b:b + 512], data[a:a + 512]
        else:  # the right bytes of another place
            data = data[seed % 4096 + 1:] + data[:seed % 4096 + 1]
        client.part(request, bytes(data))

    count = full(300, 20000)
    with Server(spoil) as server, Server(serve) as honest:
        outcome = reader(*BOOT, "--threads", 4,
                         jobs=[f"{server.url}/spoil/{n}" for n in range(count)])
        report.check(f"row 4: {count} spoiled answers, no wrong byte",
                     outcome.all() == count and outcome.good() == outcome.good(GOOD) and
                     all(t.startswith("RAFS_E_CORRUPT") and "digest" in t
                         for t in outcome.bad()) and outcome.bad(), outcome)
        outcome = reader(*BOOT, "--source", f"{server.url}/spoil/2", "--source", honest.url)
    report.check("row 4: another source is asked", outcome.good(GOOD) == 1, outcome)


# --- row 7: places that we are sent to ----------------------------------------------------

def row_7():
    """Presigned URLs that end after a second, or after their first use."""
    for life in (1.0, 0.0):
        refusals = [400, 401, 403, 404, 410, 500]
        state = {"count": 0, "made": {}, "refused": []}
        lock = threading.Lock()

        def store(request, client):
            name = request.path.split("?")[0]
            with lock:
                made, used = state["made"].get(name, (0, 1))
                fresh = used == 0 or (life > 0 and time.monotonic() - made < life)
                state["made"][name] = (made, used + 1)
                if not fresh:
                    status = refusals[len(state["refused"]) % len(refusals)]
                    state["refused"].append(status)
            if fresh:
                client.part(request, BLOB)
            else:
                client.answer(status, b"<Error><Code>ExpiredToken</Code></Error>" * 100)

        def send_away(request, client):
            if request.path.startswith("/token"):
                client.answer(200, b'{"token": "the-token"}')
                return
            if request.authorization != "Bearer the-token":
                client.answer(401, b"", [("WWW-Authenticate",
                                          f'Bearer realm="{client.server.url}/token"')])
                return
            with lock:
                state["count"] += 1
                name = f"/store/{state['count']}"
                state["made"][name] = (time.monotonic(), 0)
            client.answer(307, b"", [("Location", f"{away.url}{name}?X-Sig=presigned-secret")])

        with Server(store) as away, Server(send_away) as server:
            # Many small ranges of one image, one after the other.
            outcome = reader("--boot", boot_of("v6-none"), "--read", FILE, "--threads", 4,
                             "--seconds", full(3, 20) if life else 1, "--log",
                             "--source", f"docker://{server.host}/a/b")
            leaked = [r.path for r in away.log if r.authorization]
        name = f"row 7: presigned URLs that live {life} s"
        report.check(f"{name}: no error", outcome.good(GOOD) == outcome.all() > 0, outcome)
        report.check(f"{name}: no credentials to another host", not leaked, leaked[:3])
        report.check(f"{name}: the query is in no log", "presigned" not in outcome.log and
                     "the-token" not in outcome.log, outcome.log[-2000:])

    def redirect_once(request, client):
        if request.path.startswith("/store"):
            client.part(request, BLOB)
        else:
            client.answer(302, b"", [("Location", "../../store/a/x")])

    with Server(redirect_once) as server:
        outcome = reader("--boot", boot_of(KIND), "--read", FILE, "--read", "/data/text",
                         "--read", "/data/noise", "--shared", "--source",
                         f"{server.url}/deep/folder")
        asked = len(server.asked("/deep/"))
    report.check("row 7: a relative redirect is followed, and asked for once",
                 outcome.good() == 1 and asked == 1, f"{asked} {outcome}")


def redirects_keep_secrets():
    """Sent away and back again: no credentials any more, neither there nor here."""
    word = base64.b64encode(b"bob:pa55").decode()

    def home(request, client):
        if request.path.startswith("/back"):
            client.part(request, BLOB)
        else:
            client.answer(307, b"", [("Location", f"{other.url}/x")])

    def away(request, client):
        client.answer(307, b"", [("Location", f"{server.url}/back/{ID}")])

    with Server(away) as other, Server(home) as server:
        url = f"http://bob:pa55@{server.host}/in"
        outcome = reader(*BOOT, "--source", url, "--log")
        given = [(r.path, r.authorization) for r in server.log + other.log
                 if r.authorization]
    report.check("row 7: who is sent away and back has no credentials left",
                 outcome.good(GOOD) == 1 and given and
                 all(p.startswith("/in") and a == f"Basic {word}" for p, a in given),
                 f"{given} {outcome}")
    report.check("row 24: nor does the log know them", "pa55" not in outcome.log and
                 word not in outcome.log, outcome.log)


# --- rows 16 and 17: many readers, slow servers ------------------------------------------

def row_16():
    threads, delay = 1000, full(1, 5)

    def slow(request, client):
        client.wait(delay)
        serve(request, client)

    with Server(slow) as server:
        outcome = reader(*BOOT, "--shared", "--threads", threads, "--source", server.url)
        asked = [(r.path, r.headers.get("range")) for r in server.asked(ID)]
    report.check(f"row 16: {threads} readers of one cold chunk behind {delay} s",
                 outcome.good(GOOD) == threads, outcome)
    report.check("row 16: one request", len(asked) == 1, asked)


def row_17():
    def drip(request, client):
        first, last = request.range(len(BLOB))
        client.send((f"HTTP/1.1 206 x\r\nContent-Range: bytes {first}-{last}/{len(BLOB)}\r\n"
                     f"Content-Length: {last - first + 1}\r\n\r\n").encode())
        for at in range(first, last + 1):
            client.send(BLOB[at:at + 1])
            if client.wait(1):
                return

    def drip_headers(_, client):
        for byte in b"HTTP/1.1 206 x\r\nX: " + b"y" * 100000:
            client.send(bytes([byte]))
            if client.wait(0.2):
                return

    def silent(_, client):
        client.hang()

    for name, act in (("a byte a second", drip), ("headers that drip", drip_headers),
                      ("silence", silent)):
        with Server(act) as slow, Server(serve) as good:
            outcome = reader(*BOOT, "--stall", 1000, "--timeout", 60000, "--source", slow.url,
                             "--source", good.url)
            alone = reader(*BOOT, "--stall", 1000, "--timeout", 0, "--retry", 500,
                           "--source", slow.url)
            forever = reader(*BOOT, "--stall", 100000, "--timeout", 700, "--source",
                             slow.url)
            cancelled = reader(*BOOT, "--stall", 100000, "--timeout", 0, "--retry", 600000,
                               "--cancel", 300, "--source", slow.url)
        report.check(f"row 17: {name}: the next source is asked", outcome.good(GOOD) == 1 and
                     outcome.longest < 30000, outcome)
        report.check(f"row 17: {name}: alone it fails after the stall time",
                     alone.only("RAFS_E_BACKEND") and alone.longest < 30000, alone)
        report.check(f"row 17: {name}: the deadline holds", forever.only("RAFS_E_TIMEOUT") and
                     forever.longest < 30000, forever)
        report.check(f"row 17: {name}: a token ends it",
                     cancelled.only("RAFS_E_CANCELLED") and cancelled.longest < 30000,
                     cancelled)


def every_state():
    """Deadline and token hold wherever a request can be (lookups and handshakes: see
    tests/backend/resolver.c)."""
    def challenge(client, place):
        client.answer(401, b"", [("WWW-Authenticate", f'Bearer realm="{place}/token"')])

    def hung_token(request, client):
        if request.path.startswith("/token"):
            client.hang()
        else:
            challenge(client, client.server.url)

    def hung_redirect(request, client):
        if request.path.startswith("/away"):
            client.hang()
        else:
            client.answer(307, b"", [("Location", "/away")])

    def hung_error(_, client):
        client.send(b"HTTP/1.1 503 x\r\nContent-Length: 10\r\n\r\n")
        client.hang()

    def hung_body(request, client):
        first, last = request.range(len(BLOB))
        client.send((f"HTTP/1.1 206 x\r\nContent-Range: bytes {first}-{last}/{len(BLOB)}\r\n"
                     f"Content-Length: {last - first + 1}\r\n\r\n").encode() +
                    BLOB[first:first + 10])
        client.hang()

    def hung_whole(request, client):
        client.send(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(BLOB) + BLOB[:10])
        client.hang()

    def wait(_, client):
        client.answer(429, b"", [("Retry-After", "100")])

    def early(_, client):
        client.send(b"HTTP/1.1 100 x\r\n\r\n")
        client.hang()

    for name, act, source in (
            ("a token", hung_token, "docker://{}/a/b"), ("a redirect", hung_redirect, "http://{}"),
            ("an error's body", hung_error, "http://{}"), ("a body", hung_body, "http://{}"),
            ("all of a blob", hung_whole, "http://{}"), ("Retry-After", wait, "http://{}"),
            ("a 100", early, "http://{}"), ("a connection of the only one",
                                            lambda _, c: c.hang(), "http://{}")):
        with Server(act) as server:
            args = list(ALONE) + ["--source", source.format(server.host), "--threads", 3,
                                  "--connections", 1, "--stall", 100000]
            late = reader(*args, "--timeout", 500, jobs=["-"] * 3)
            gone = reader(*args, "--timeout", 0, "--retry", 1000000, "--cancel", 300,
                          jobs=["-"] * 3)
        report.check(f"while it waits for {name}: the deadline holds",
                     late.only("RAFS_E_TIMEOUT") and late.longest < 20000, late)
        report.check(f"while it waits for {name}: a token ends it",
                     gone.only("RAFS_E_CANCELLED") and gone.longest < 20000, gone)


def retry_after():
    """429 and 503, in seconds, as a date, and absurd."""
    stamp = "%a, %d %b %Y %H:%M:%S GMT"
    cases = [("seconds", 429, lambda: [("Retry-After", "1")], True),
             ("a date of a clock that is wrong", 503, lambda: [
                 ("Retry-After", time.strftime(stamp, time.gmtime(1000000001))),
                 ("Date", time.strftime(stamp, time.gmtime(1000000000)))], True),
             ("a date that is past", 503, lambda: [
                 ("Retry-After", "Fri, 01 Jan 1999 00:00:00 GMT")], True),
             ("nonsense", 429, lambda: [("Retry-After", "soon\x01")], True),
             ("10^9 s", 429, lambda: [("Retry-After", "1000000000")], False),
             ("10^30 s", 429, lambda: [("Retry-After", "1" + "0" * 30)], False),
             ("a far date", 503, lambda: [
                 ("Retry-After", "Fri, 01 Jan 2100 00:00:00 GMT")], False)]
    for name, status, headers, good in cases:
        seen = []

        def act(request, client):
            seen.append(time.monotonic())
            if len(seen) == 1:
                client.answer(status, b"", headers())
            else:
                client.part(request, BLOB)

        with Server(act) as server:
            outcome = reader(*ALONE, "--source", server.url, "--timeout", 30000)
        if good:
            waited = seen[-1] - seen[0]
            least = 0.9 if "past" not in name else 0
            report.check(f"Retry-After: {name}: obeyed", outcome.good() == 1 and
                         len(seen) == 2 and waited >= least, f"{waited} s, {outcome}")
        else:
            report.check(f"Retry-After: {name}: no wait past the deadline",
                         outcome.only("RAFS_E_TIMEOUT") and outcome.longest < 20000 and
                         str(status) in outcome.text, outcome)


def main():
    global GOOD, GOOD_SMALL
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only", help="name of one function")
    args = parser.parse_args()
    set_programs(args.rafs)
    GOOD, GOOD_SMALL = digest_of(KIND, FILE), digest_of(KIND, SMALL)
    tests = [row_1, slow_but_steady, row_2, row_3, row_3_documents, row_4, row_7, redirects_keep_secrets, row_16, row_17,
             every_state, retry_after]
    report.run({test.__name__: test for test in tests}, args.only)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
