#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that mean harm, or are broken: malformed answers, bodies and headers without end,
redirects to where nobody should go, challenges that ask for passwords, and environment
variables that point to them. Rows 5, 6, 8 and 24 of the table of failures.

RAFS_TEST_FULL=1 takes larger counts. Usage: run_hostile.py --rafs PATH
"""
import argparse
import base64
import gzip
import json
import os
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reading import digest_of, full, rafs, reader, report, set_programs, shown  # noqa: E402
from server import Server, blob_of, boot_of, sha  # noqa: E402

KIND = "v6-none"
FILE = "/data/block"  # of one chunk: one request
ID, BLOB = blob_of(KIND)
BOOT = ("--boot", boot_of(KIND), "--read", FILE, "--strict")
ENDLESS = 64 << 20  # what a server is ready to send without end


def head(*lines):
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def right(first, last):
    return f"Content-Range: bytes {first}-{last}/{len(BLOB)}"


def length(n):
    return f"Content-Length: {n}"


def chunked(data, size=1000):
    out = b""
    for at in range(0, len(data), size):
        part = data[at:at + size]
        out += f"{len(part):x}\r\n".encode() + part + b"\r\n"
    return out + b"0\r\n\r\n"


def endless(client, piece):
    """Until the client hangs up."""
    try:
        for _ in range(ENDLESS // len(piece)):
            client.send(piece)
    except OSError:
        pass
    client.close()


# --- row 6: answers that are not what was asked for ---------------------------------------

def malformed():
    """Name, then what is sent for [f, l] of BLOB."""
    n = len(BLOB)
    huge = 1 << 63
    ok = "HTTP/1.1 206 Partial Content"

    def plain(*lines, body=None):
        return lambda f, l: head(*[x(f, l) if callable(x) else x for x in lines]) + \
            (BLOB[f:l + 1] if body is None else body(f, l))

    def count(f, l):
        return length(l - f + 1)

    def ranged(text):
        return lambda f, l: "Content-Range: " + text(f, l)

    yield "no Content-Range", plain(ok, count)
    yield "a range later by one", plain(ok, count, lambda f, l: right(f + 1, l + 1))
    yield "a range earlier by one", plain(ok, count, lambda f, l: right(f - 1, l - 1))
    yield "a longer range", plain(ok, lambda f, l: length(l - f + 2),
                                  lambda f, l: right(f, l + 1),
                                  body=lambda f, l: BLOB[f:l + 2])
    yield "a shorter range", plain(ok, lambda f, l: length(l - f), lambda f, l: right(f, l - 1),
                                   body=lambda f, l: BLOB[f:l])
    yield "a range backwards", plain(ok, count, lambda f, l: right(l, f))
    yield "a range past the end", plain(ok, count,
                                        ranged(lambda f, l: f"bytes {f}-{l}/{l}"))
    yield "a range of items", plain(ok, count, ranged(lambda f, l: f"items {f}-{l}/{n}"))
    yield "a negative range", plain(ok, count, ranged(lambda f, l: f"bytes -{f}-{l}/{n}"))
    yield "a range of nothing", plain(ok, count, ranged(lambda f, l: f"bytes */{n}"))
    yield "a range of 2^64", plain(ok, count, ranged(
        lambda f, l: f"bytes {f + (1 << 64)}-{l + (1 << 64)}/{n}"))
    yield "a hexadecimal range", plain(ok, count, ranged(lambda f, l: f"bytes 0x0-{l}/{n}"))
    yield "an empty range", plain(ok, count, "Content-Range:")
    yield "a range without a total", plain(ok, count, ranged(lambda f, l: f"bytes {f}-{l}"))
    yield "a range with more behind it", plain(ok, count, ranged(
        lambda f, l: f"bytes {f}-{l}/{n}, bytes 0-1/{n}"))
    yield "two ranges", plain(ok, count, right, lambda f, l: right(0, l - f))
    yield "several parts", plain(
        ok, "Content-Type: multipart/byteranges; boundary=x", "Connection: close",
        body=lambda f, l: f"--x\r\n{right(f, l)}\r\n\r\n".encode() + BLOB[f:l + 1] + b"\r\n--x--")
    packed = {}
    for name in ("gzip", "br", "identity, gzip", "x-unknown"):
        yield f"Content-Encoding: {name}", plain(
            ok, lambda f, l: length(len(packed.setdefault((f, l), gzip.compress(
                BLOB[f:l + 1])))), right, f"Content-Encoding: {name}",
            body=lambda f, l: packed[(f, l)])
    yield "Content-Length less than its range", plain(
        ok, lambda f, l: length(l - f), right, body=lambda f, l: BLOB[f:l])
    yield "Content-Length more than its range", plain(
        ok, lambda f, l: length(l - f + 2), right, body=lambda f, l: BLOB[f:l + 2])
    yield "two Content-Lengths", plain(ok, count, length(5), right)
    for value in ("abc", "-5", "0x10", "", str(huge), "1" * 40, "5, 5"):
        yield f"Content-Length: {value[:24]}", plain(ok, f"Content-Length: {value}", right,
                                                     "Connection: close")
    yield "Content-Length and chunks", plain(ok, count, right, "Transfer-Encoding: chunked",
                                             body=lambda f, l: chunked(BLOB[f:l + 1]))
    for name in ("gzip, chunked", "xchunked", "gzip", "chunked, chunked"):
        yield f"Transfer-Encoding: {name}", plain(
            ok, right, f"Transfer-Encoding: {name}",
            body=lambda f, l: chunked(gzip.compress(BLOB[f:l + 1])))
    for name, text in (("no number", b"zz\r\n"), ("2^70", b"4" + b"0" * 17 + b"\r\n"),
                       ("negative", b"-5\r\n"), ("without a line end", b"5abcdefgh\r\n"),
                       ("nothing", b"")):
        yield f"a chunk's size that is {name}", plain(
            ok, right, "Transfer-Encoding: chunked", "Connection: close",
            body=lambda f, l, text=text: text)
    for line in ("HTTP/1.1 abc", "HTTP/9.9 206 x", "HTTP/1.1 2 x", "HTTP/1.1", "ICY 200 OK",
                 "HTTP/1.1 999 x", "HTTP/1.1 000 x", "HTTP/1.1 600 x", "HTTP/1.1 101 x",
                 "HTTP/1.1 204 x", "HTTP/1.1 205 x", "HTTP/1.1 207 x"):
        yield f"the status line {line}", plain(line, count, right)
    yield "HTTP/0.9", lambda f, l: BLOB[f:l + 1]
    yield "nothing at all", lambda f, l: b""
    yield "one byte", lambda f, l: b"H"
    yield "NULs", lambda f, l: bytes(1000)
    yield "an empty body", plain(ok, length(0), right, body=lambda f, l: b"")
    yield "a header folded onto a range", plain(ok, count, "Content-Range: bytes\r\n 0-1/2")
    yield "a fold before the first header", lambda f, l: \
        b"HTTP/1.1 206 x\r\n  folded" + head("", right(f, l)) + BLOB[f:l + 1]
    yield "a range behind the body", plain(
        ok, "Transfer-Encoding: chunked",
        body=lambda f, l: chunked(BLOB[f:l + 1])[:-2] + right(f, l).encode() + b"\r\n\r\n")
    yield "a NUL in a header", plain(ok, count, lambda f, l: right(f, l) + "\0")
    yield "too many headers", plain(ok, count, right, *[f"X-{i}: {i}" for i in range(20000)])
    yield "one long header", plain(ok, count, right, "X: " + "y" * 2000000)
    yield "answers before the answer without end", lambda f, l: \
        head("HTTP/1.1 100 x") * 20000


def row_6():
    table = list(malformed())
    seen = {}
    lock = threading.Lock()

    def act(request, client):
        _, how, index, _ = request.path.split("/")
        with lock:
            seen[how, index] = seen.get((how, index), 0) + 1
            first_time = seen[how, index] == 1
        if how == "once" and not first_time:
            client.part(request, BLOB)
            return
        client.send(table[int(index)][1](*request.range(len(BLOB))))
        client.close()

    with Server(act) as server:
        # 16 at once, else they would wait for each other's pauses.
        for at, (name, _) in enumerate(table):
            outcome = reader(*BOOT, jobs=[f"{server.url}/once/{at}"])
            report.check(f"row 6: {name}: asked again", outcome.good(GOOD) == 1 and
                         seen["once", str(at)] == 2, f"{seen['once', str(at)]} {outcome}")
        outcome = reader(*BOOT, "--threads", 16, "--timeout", 2000,
                         jobs=[f"{server.url}/always/{at}" for at in range(len(table))])
    report.check(f"row 6: {len(table)} malformed answers for ever are errors of the source",
                 outcome.all() == len(table) and outcome.good() == 0 and
                 all(t.startswith(("RAFS_E_BACKEND", "RAFS_E_TIMEOUT"))
                     for t in outcome.counts), list(outcome.counts))
    report.check("row 6: that name it", all("/always/" in t for t in outcome.counts), outcome)


# --- bodies and headers without end -------------------------------------------------------

def without_end():
    piece = bytes(65536)

    def body(client, request, *lines):
        first, last = request.range(len(BLOB))
        client.send(head("HTTP/1.1 206 x", right(first, last), *lines) +
                    b"".join([f"{last - first + 1:x}\r\n".encode(), BLOB[first:last + 1],
                              b"\r\n"]))

    def chunks(request, client):
        body(client, request, "Transfer-Encoding: chunked")
        endless(client, b"10000\r\n" + piece + b"\r\n")

    def chunks_then_silence(request, client):
        body(client, request, "Transfer-Encoding: chunked")
        client.hang()

    def whole(request, client):
        client.send(head("HTTP/1.1 200 x") + BLOB)
        endless(client, piece)

    def of_an_error(status):
        def act(request, client):
            client.send(head(f"HTTP/1.1 {status} x"))
            endless(client, piece)
        return act

    def error_then_silence(_, client):
        client.send(head("HTTP/1.1 404 x", "Content-Length: 1000"))
        client.hang()

    def headers(_, client):
        client.send(b"HTTP/1.1 206 x\r\n")
        endless(client, b"X-Y: " + b"z" * 8000 + b"\r\n")

    def header(_, client):
        client.send(b"HTTP/1.1 206 x\r\nX-Y: ")
        endless(client, b"z" * 65536)

    def hundreds(_, client):
        endless(client, head("HTTP/1.1 103 Early Hints", "Link: </x>") * 500)

    few = 16 << 20  # what sits in buffers on the way, at most, of each answer
    for name, act, good in (
            ("chunks past the range", chunks, True), ("chunks, then silence",
                                                      chunks_then_silence, True),
            ("200 past the range", whole, True), ("the body of a 404", of_an_error(404), False),
            ("the body of a 503", of_an_error(503), False),
            ("a 404 without its body", error_then_silence, False),
            ("headers", headers, False), ("a header", header, False),
            ("1xx answers", hundreds, False)):
        with Server(act) as server:
            outcome = reader(*BOOT, "--timeout", 3000 if not good else 30000, "--source",
                             server.url)
            sent = server.sent / max(1, len(server.log))
        report.check(f"without end: {name}", (outcome.good(GOOD) == 1 if good else
                                              outcome.bad() and outcome.longest < 20000) and
                     sent <= few and outcome.longest < 20000, f"{sent} bytes, {outcome}")


# --- row 5: servers that give all of it ---------------------------------------------------

def row_5():
    for name, lines in (("with its length", [length(len(BLOB))]), ("without", []),
                        ("in chunks", ["Transfer-Encoding: chunked"])):
        def act(request, client):
            client.send(head("HTTP/1.1 200 x", *lines) +
                        (chunked(BLOB) if "Transf" in str(lines) else BLOB))
            client.close()

        with Server(act) as server:
            outcome = reader("--boot", boot_of(KIND), "--read", "/data/twin", "--read",
                             "/data/text", "--read", FILE, "--strict", "--source",
                             server.url)
            asked = len(server.log)
        report.check(f"row 5: Range ignored, {name}", outcome.good(
            digest_of(KIND, "/data/twin", "/data/text", FILE)) == 1, outcome)
        # Once to learn it, once for all that follows.
        report.check(f"row 5: Range ignored, {name}: and remembered", asked == 2, asked)


# --- row 8: redirects -------------------------------------------------------------------

def row_8():
    link_local = ["http://169.254.169.254/x", "http://2852039166/x", "http://0xa9fea9fe/x",
                  "http://0251.0376.0251.0376/x", "http://169.254.43518/x",
                  "http://169.254.169.254./x", "http://[::ffff:169.254.169.254]/x",
                  "http://[::ffff:a9fe:a9fe]/x", "http://[::169.254.169.254]/x",
                  "http://[64:ff9b::a9fe:a9fe]/x", "http://[fe80::1]/x",
                  "http://[fe80::1%25lo]/x", "http://[febf::1]/x",
                  "http://1%369.254.169.254/x", "//169.254.169.254/x"]
    others = ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x",
              "javascript:alert(1)", "http://", "http://:80/x", "http:///x", "http://[::1/x",
              "http://127.0.0.1:99999/x", "http://127.0.0.1:0/x", "\xff\xfe\x00", "http://a b/",
              "http://bob:word@127.0.0.1:1/x", "http://@127.0.0.1:1/x",
              "http://127.0.0.1:1/" + "y" * 20000, "", "http://\u00e9\u00e9/".encode(
                  "utf-8").decode("latin-1"), "http://127.0.0.1:1/x\tb", "data:,x",
              "https:///", "dict://127.0.0.1:1/x"]
    current = {}

    def act(request, client):
        if "/good/" in request.path:
            client.part(request, BLOB)
        else:
            client.answer(307, b"", current["headers"])

    def outcome_of(*locations):
        current["headers"] = [("Location", text) for text in locations]
        return reader(*BOOT, "--timeout", 3000, "--connect", 1000, "--source", server.url)

    with Server(act) as server:
        for text in link_local:
            outcome = outcome_of(text)
            report.check(f"row 8: {text} is refused", outcome.only("RAFS_E_BACKEND") and
                         "link-local" in outcome.text, outcome)
        for text in others:
            outcome = outcome_of(text)
            report.check(f"row 8: {text[:40]!r} is an error", outcome.bad() and
                         outcome.good() == 0 and "word" not in outcome.text and
                         outcome.longest < 20000, outcome)
        outcome = outcome_of("/good/a", "/good/b")
        report.check("row 8: two Locations are refused", outcome.bad() and
                     not outcome.good(), outcome)
        for text in ("/good/x", "good/x", "./../good/x", "?a=/good/", "//{}/good/x",
                     "http://{}/good/caf\xc3\xa9", "HTTP://{}/good/x#part",
                     "http://{}/good/x?y=a/../b"):
            outcome = outcome_of(text.format(server.host))
            report.check(f"row 8: {text!r} is followed", outcome.good(GOOD) == 1, outcome)
        outcome = outcome_of("/loop")
        report.check("row 8: a circle is an error", outcome.only("RAFS_E_BACKEND") and
                     "more than" in outcome.text, outcome)

    def cookies(request, client):
        client.part(request, BLOB, [("Set-Cookie", "a=b"), ("Alt-Svc", 'h2="evil:1"'),
                                    ("Strict-Transport-Security", "max-age=99999"),
                                    ("Refresh", "0; url=http://evil/"),
                                    ("Content-Location", "http://evil/")])

    with Server(cookies) as server:
        outcome = reader(*BOOT, "--read", "/data/below", "--source", server.url, jobs=["-"] * 3)
        kept = [r.head for r in server.log if "cookie" in r.headers or r.path[1:] != ID]
    report.check("row 8: no cookies are kept", outcome.good() == 3 and not kept, kept)


# --- passwords ------------------------------------------------------------------------------

def passwords(folder):
    """Who may see them, and what a token server may answer."""
    secret = os.path.join(folder, "password")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("pa55-word")
    word = base64.b64encode(b"bob:pa55-word").decode()
    asks = {}

    def act(request, client):
        if request.authorization == "Bearer t0ken-x":
            client.part(request, BLOB)
        elif request.path.startswith("/token"):
            asks["token"](request, client)
        else:
            client.answer(401, b"", [("WWW-Authenticate", asks["challenge"].format(
                client.server.url, client.server.port))])

    def run(challenge, token=None, more=()):
        asks["challenge"] = challenge
        asks["token"] = token or (lambda r, c: c.answer(
            200, json.dumps({"token": "t0ken-x", "expires_in": 100}).encode()))
        with server.lock:
            server.log.clear()
        return reader(*BOOT, "--source", f"docker://{server.host}/a/b", "--user", "bob",
                      "--password", secret, "--timeout", 4000, "--log", *more)

    def secret_free(outcome):
        return not any(x in outcome.text + outcome.log
                       for x in ("pa55", word, "t0ken-x", word.rstrip("=")))

    with Server(act) as server:
        outcome = run('Bearer realm="{}/token",service="s",scope="x y"')
        report.check("row 24: a token, and no secret in the log",
                     outcome.good(GOOD) == 1 and secret_free(outcome), outcome)
        # (nothing listens there: what counts is that nothing is sent either)
        for realm in ("http://192.0.2.1/token", "http://127.example.invalid/token",
                      "http://localhost.example.invalid/token", "http://0/token",
                      "http://[::2]/token"):
            outcome = run(f'Bearer realm="{realm}"')
            report.check(f"a password to {realm} in the open is refused",
                         outcome.only("RAFS_E_BACKEND") and "https" in outcome.text and
                         secret_free(outcome), outcome)
        outcome = run('Bearer realm="http://169.254.169.254/token"', more=["--plain"])
        report.check("a link-local token server is refused", outcome.bad() and
                     "link-local" in outcome.text and secret_free(outcome), outcome)
        outcome = run('Bearer realm="{}/token"', lambda r, c: c.answer(
            307, b"", [("Location", "http://127.0.0.1:1/steal")]))
        report.check("a token server that redirects is an error",
                     outcome.only("RAFS_E_BACKEND") and secret_free(outcome), outcome)

        def large(_, client):
            client.send(head("HTTP/1.1 200 x"))
            endless(client, b"x" * 65536)

        outcome = run('Bearer realm="{}/token"', large)
        report.check("a token of 64 MiB is refused before it came",
                     outcome.only("RAFS_E_BACKEND") and server.sent < 16 << 20,
                     f"{server.sent} {outcome}")
        for name, body in (("no JSON", b"t0ken"), ("no token", b"{}"),
                           ("a token that ends its line", b'{"token": "a\\r\\nX: y"}'),
                           ("a number", b'{"token": 5}'), ("deep", b"[" * 60000),
                           ("two tokens", b'{"token": "a", "token": "b"}'),
                           ("nothing", b"")):
            outcome = run('Bearer realm="{}/token"', lambda r, c: c.answer(200, body))
            report.check(f"a token server that answers {name}", outcome.only("RAFS_E_BACKEND")
                         and outcome.longest < 20000, outcome)
        for challenge in ("Negotiate", "Bearer", 'Bearer realm="file:///etc/passwd"',
                          'Bearer realm="http://evil@127.0.0.1/token"', "\xff", "",
                          'Bearer realm="{}/token' + "y" * 9000, 'Digest realm="x"'):
            outcome = run(challenge)
            report.check(f"the challenge {challenge[:44]!r}", outcome.bad() and
                         not outcome.good() and secret_free(outcome), outcome)
        outcome = run('Basic realm="x"')
        refused = [r for r in server.log if r.authorization]
        report.check("a Basic challenge gets the password, no more than twice",
                     outcome.bad() and secret_free(outcome) and 1 <= len(refused) <= 2 and
                     all(r.authorization == f"Basic {word}" for r in refused),
                     f"{[r.authorization for r in refused]} {outcome}")


def deep_log(folder):
    """Row 24, once more with the command: all that it prints, whatever goes wrong."""
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        f.write("{}")

    def act(request, client):
        if request.path.startswith("/token"):
            client.answer(403, b"pa55-word is wrong")
        elif request.path.startswith("/away"):
            client.answer(500, b"")
        elif "manifests" in request.path:
            client.answer(401, b"", [("WWW-Authenticate",
                                      f'Bearer realm="{client.server.url}/token?x=s3cret"')])
        else:
            client.answer(307, b"", [("Location", "/away?X-Amz-Signature=s3cret")])

    with Server(act) as server:
        auth = base64.b64encode(b"bob:pa55-word").decode()
        config = os.path.join(folder, "auth.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"auths": {server.host: {"auth": auth}}}, f)
        runs = [rafs("ls", f"docker://{server.host}/a/b:c", env={"REGISTRY_AUTH_FILE": config}),
                rafs("ls", "--timeout", "1", f"http://bob:pa55-word@{server.host}/x/image.boot"),
                rafs("ls", "--timeout", "1", f"http://{server.host}/x/image.boot?sig=s3cret"),
                rafs("ls", f"docker://bob:pa55-word@{server.host}/a/b"),
                rafs("ls", f"http://bob:pa55/word@{server.host}/a/b")]
    for run in runs:
        text = run.stdout + run.stderr
        report.check("row 24: the command shows no secret", run.returncode != 0 and
                     not any(x in text for x in (b"pa55", b"s3cret", auth.encode())),
                     shown(run))


# --- the environment --------------------------------------------------------------------

def environment(folder):
    """What a hostile one says has no effect in the library."""
    def steal(request, client):
        client.answer(200, b"stolen")

    netrc = os.path.join(folder, ".netrc")
    with open(netrc, "w", encoding="utf-8") as f:
        f.write("machine 127.0.0.1 login bob password pa55-word\n")
    with Server(steal) as evil, Server(lambda r, c: c.part(r, BLOB)) as server:
        proxy = f"http://{evil.host}"
        env = {name: proxy for name in ("http_proxy", "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "ALL_PROXY", "all_proxy",
                                        "socks_proxy", "ftp_proxy")}
        env.update(CURL_CA_BUNDLE="/nonexistent", SSL_CERT_FILE="/nonexistent",
                   SSL_CERT_DIR="/nonexistent", NETRC=netrc, HOME=folder, CURL_HOME=folder,
                   XDG_CONFIG_HOME=folder, no_proxy="", NO_PROXY="")
        outcome = reader(*BOOT, "--source", server.url, env=env)
        report.check("the environment is not asked for a proxy or a password",
                     outcome.good(GOOD) == 1 and not evil.log and
                     not any(r.authorization for r in server.log), f"{evil.log} {outcome}")
        with server.lock:
            server.log.clear()
        outcome = reader(*BOOT, "--source", server.url, "--proxy", proxy, "--timeout", 2000)
        report.check("a proxy that was asked for is used", evil.log and not server.log and
                     outcome.bad(), outcome)
        with evil.lock:
            evil.log.clear()
        outcome = reader(*BOOT, "--source", server.url, "--proxy", proxy, "--no-proxy",
                         "127.0.0.0/8,127.0.0.1", env={"NO_PROXY": "x", "no_proxy": "x"})
        report.check("a host that needs none goes without", outcome.good(GOOD) == 1 and
                     not evil.log, outcome)
        # The command does ask it, and hands over what it finds.
        run = rafs("ls", "--timeout", "2", f"http://{server.host}/x", env={"http_proxy": proxy})
        report.check("the command takes a proxy from the environment", evil.log, shown(run))


def main():
    global GOOD
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only", help="name of one function")
    args = parser.parse_args()
    set_programs(args.rafs)
    GOOD = digest_of(KIND, FILE)
    with tempfile.TemporaryDirectory() as folder:
        report.run({"row_6": row_6, "without_end": without_end, "row_5": row_5,
                    "row_8": row_8, "passwords": lambda: passwords(folder),
                    "deep_log": lambda: deep_log(folder),
                    "environment": lambda: environment(folder)}, args.only)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
