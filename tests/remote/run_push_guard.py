#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What guards a push: who is told which secret, what ends an upload that does not get on, and
what is never put under a name: half a file, a wrong blob, a list that lost an entry.

Usage: run_push_guard.py --rafs PATH
"""
import argparse
import base64
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run_push import ENV, KIB, PROGRAMS, SECRET, Handler, Registry, blob_file  # noqa: E402
from run_push import rafs, report, sha, writer  # noqa: E402

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


class Guard(Handler):
    """Lets in who has the password, or a token that is good for so many requests."""

    def handle_any(self):
        server = self.server
        given = self.headers.get("Authorization")
        if self.path.startswith("/token"):
            server.asked.append((self.path, given))
            server.tokens += 1
            server.good_for = server.token_life
            return self.answer(200, body=json.dumps(
                {"token": f"t{server.tokens}", "expires_in": 300}).encode())
        if server.guard == "basic" and given != BASIC:
            self.body()
            return self.answer(401, [("WWW-Authenticate", 'Basic realm="r"')])
        if server.guard == "token":
            if given != f"Bearer t{server.tokens}" or server.good_for == 0:
                self.body()
                return self.answer(401, [(
                    "WWW-Authenticate", f'Bearer realm="http://{self.headers["Host"]}/token",'
                    'service="s",scope="repository:lib/app:pull"')])
            server.good_for -= 1
        return super().handle_any()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def place(self, session):
        other = self.server.other
        if not other or self.server.redirect:
            return super().place(session)
        other.sessions.setdefault(session, b"")
        return f"http://localhost:{other.server_port}/v2/lib/app/blobs/uploads/{session}"

    def part(self, session):
        server = self.server
        if server.stuck:
            self.body()
            server.freed.wait(60)
            return self.answer(500)
        if not server.redirect:
            return super().part(session)
        self.body()
        if server.other:
            server.other.sessions = server.sessions
        host = f"localhost:{server.other.server_port}" if server.other else "127.0.0.1:1"
        return self.answer(server.redirect, [("Location", f"http://{host}{self.path}")])


def guarded(guard="", other=None, redirect=0, stuck=False, life=10**6):
    server = Registry()
    server.RequestHandlerClass = Guard
    server.guard, server.other, server.redirect, server.stuck = guard, other, redirect, stuck
    server.asked, server.tokens, server.good_for, server.token_life = [], 0, 0, life
    server.freed = threading.Event()
    return server


def test_secrets(folder):
    path, data = blob_file(folder, 200 * KIB)
    password = os.path.join(folder, "password")
    with open(password, "w", encoding="ascii") as f:
        f.write(SECRET)
    args = ["--part", str(64 * KIB), "--user", "me", "--password", password]
    for what, redirect in (("a Location", 0), ("a redirect of a part", 307)):
        with Registry() as other, guarded("basic", other, redirect) as server:
            got = writer(*args, server.where, f"blob={path}")
            arrived = dict(other.blobs, **server.blobs).get("sha256:" + sha(data))
            report.check(f"{what} leads to another server: all bytes arrive",
                         got.stdout.startswith("ok ") and arrived == data,
                         got.stdout + got.stderr)
            report.check(f"{what}: the registry got the password", BASIC in server.seen_auth)
            report.check(f"{what}: the other server was asked, without it",
                         other.log and set(other.seen_auth) == {None}, other.seen_auth)
            report.check(f"{what}: nothing is told of it", SECRET not in got.stdout + got.stderr)
    with guarded("basic", None, 302) as server:
        got = writer(*args, server.where, f"blob={path}")
        report.check("a redirect that would lose the part is refused",
                     got.stdout.startswith("RAFS_E_BACKEND") and "redirect" in got.stdout and
                     not server.blobs, got.stdout)
    with guarded("token", life=3) as server:
        got = writer(*args, server.where, f"blob={path}")
        report.check("a token ends in the middle: the blob arrives with another one",
                     server.blobs.get("sha256:" + sha(data)) == data and server.tokens >= 2,
                     f"{got.stdout}{got.stderr}{server.tokens}")
        report.check("a token is asked for that allows to push",
                     server.asked and all("pull%2Cpush" in p for p, _ in server.asked),
                     server.asked)


def test_ends(folder):
    path, _ = blob_file(folder, 200 * KIB)
    for option, value, code in (("--timeout", "600", "RAFS_E_TIMEOUT"),
                                ("--cancel", "300", "RAFS_E_CANCELLED")):
        with guarded(stuck=True) as server:
            got = writer("--part", str(64 * KIB), option, value, server.where, f"blob={path}")
            server.freed.set()
            report.check(f"a registry that says nothing: {option[2:]} ends it",
                         got.stdout.startswith(code) and not server.blobs, got.stdout)


def small_files():
    """No file may be longer than 100 KiB; who writes on is told so."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * KIB, 100 * KIB))


def files_in(folder):
    return [os.path.relpath(os.path.join(at, name), folder)
            for at, _, names in os.walk(folder) for name in names]


def test_no_room(folder):
    path, _ = blob_file(folder, 200 * KIB)
    for kind in ("oci:", "oci-archive:"):
        place = os.path.join(folder, kind.replace(":", "-full"))
        got = subprocess.run([PROGRAMS["writer"], "--part", str(64 * KIB), f"{kind}{place}",
                              f"blob={path}"], capture_output=True, text=True, timeout=60,
                             env=ENV, check=False, preexec_fn=small_files)
        report.check(f"{kind} a file that cannot be written is an error",
                     got.stdout.startswith("RAFS_E_BACKEND 27 "), got.stdout + got.stderr)
        left = [n for n in files_in(folder) if "-full" in n and not n.endswith("oci-layout")]
        report.check(f"{kind} and leaves nothing", not left, left)


def manifest(folder, name, **more):
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": {"mediaType": "a/b", "digest": "sha256:" + sha(b"{}"), "size": 2}}
    document.update(more)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)
    with open(path, "rb") as f:
        return path, sha(f.read())


def test_referrers(folder):
    _, subject = manifest(folder, "subject")
    of = {"mediaType": MANIFEST, "digest": "sha256:" + subject, "size": 1}
    made = [manifest(folder, f"ref{i}", subject=of, annotations={"i": str(i)})
            for i in range(3)]
    theirs = {"mediaType": MANIFEST, "digest": "sha256:" + "1" * 64, "size": 7, "x-own": [1]}
    with Registry() as server:
        server.manifests["sha256-" + subject] = json.dumps(
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}).encode()
        got = writer(server.where, *[f"manifest={p}" for p, _ in made + made[:1]])
        found = json.loads(server.manifests["sha256-" + subject])["manifests"]
        report.check("referrers are listed once, beside what was there as it was",
                     got.stdout.count("ok ") == 4 and found[0] == theirs and
                     [e["digest"][7:] for e in found[1:]] == [d for _, d in made],
                     f"{got.stdout} {found}")
        server.manifests["sha256-" + subject] = b"no list"
        got = writer(server.where, f"manifest={made[0][0]}")
        report.check("what is no list is not replaced", got.stdout.startswith("RAFS_E_") and
                     server.manifests["sha256-" + subject] == b"no list", got.stdout)


def test_copies(folder):
    image = os.path.join(GOLDEN, "v6-zstd")
    layout, out = os.path.join(folder, "lay"), os.path.join(folder, "out")
    digests = []
    for arch in ("amd64", "arm64"):
        got = rafs("push", "--json", "--platform", "linux/" + arch, image, f"oci:{layout}:{arch}")
        digests.append(json.loads(got.stdout)["digest"])
    entries = [{"mediaType": MANIFEST, "digest": d, "size": os.path.getsize(
        os.path.join(layout, "blobs", "sha256", d[7:])), "platform": {
            "os": "linux", "architecture": a}} for d, a in zip(digests, ("amd64", "arm64"))]
    index = os.path.join(folder, "index")
    with open(index, "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, f)
    name = writer(f"oci:{layout}", f"manifest={index},multi").stdout.split()[1]
    got = rafs("copy", "--json", "--platform", "linux/arm64", f"oci:{layout}:multi",
               f"oci:{out}:one")
    report.check("of an index the platform's image is copied",
                 got.returncode == 0 and json.loads(got.stdout)["digest"] == digests[1],
                 got.stdout + got.stderr)
    got = rafs("copy", "--json", "--all", f"oci:{layout}:multi", f"oci:{out}:all")
    have = files_in(os.path.join(out, "blobs", "sha256"))
    report.check("with --all the index and all that it names",
                 got.returncode == 0 and json.loads(got.stdout)["digest"] == "sha256:" + name and
                 {name, digests[0][7:], digests[1][7:]} <= set(have), got.stdout + got.stderr)
    blob = os.listdir(os.path.join(image, "blobs"))[0]
    with open(os.path.join(layout, "blobs", "sha256", blob), "r+b") as f:
        f.seek(5000)
        byte = f.read(1)
        f.seek(5000)
        f.write(bytes([byte[0] ^ 1]))
    bad = os.path.join(folder, "bad")
    got = rafs("copy", "--all", f"oci:{layout}:multi", f"oci:{bad}:v1")
    left = files_in(bad)
    report.check("a blob with a flipped bit is not copied, nor is what names it",
                 got.returncode == 1 and "digest mismatch" in got.stderr and
                 "index.json" not in left and not [n for n in left if blob in n or ".rafs" in n],
                 f"{got.returncode} {got.stderr} {left}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rafs", required=True)
    args = parser.parse_args()
    PROGRAMS["rafs"] = os.path.abspath(args.rafs)
    PROGRAMS["writer"] = os.path.join(os.path.dirname(PROGRAMS["rafs"]), "remote_writer")
    for test in (test_secrets, test_ends, test_no_room, test_referrers, test_copies):
        with tempfile.TemporaryDirectory() as folder:
            test(folder)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
