#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is pushed arrives, whatever happens on the way, or an error says why not.

Usage: run_push.py --rafs PATH

A scripted registry does to uploads what registries and networks do; Debian's
docker-registry, with and without passwords, and skopeo say whether the rest of the world
agrees.
"""
import argparse
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402

report = Report()
PROGRAMS = {}
SECRET = "pass-word-4711"
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
KIB = 1024


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Registry(http.server.ThreadingHTTPServer):
    """Uploads of one repository. fault: a name that the handler knows; it happens `left`
    times."""
    daemon_threads = True

    def __init__(self, fault="", left=1):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault, self.left = fault, left
        self.sessions, self.blobs, self.manifests = {}, {}, {}
        self.log, self.seen_auth = [], []
        self.serial = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def due(self, name):
        with self.lock:
            if self.fault != name or self.left == 0:
                return False
            self.left -= 1
            return True

    def handle_error(self, request, client_address):
        pass

    @property
    def where(self):
        return f"docker://127.0.0.1:{self.server_port}/lib/app"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return out
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def place(self, session):
        where = f"/v2/lib/app/blobs/uploads/{session}?state=s{len(self.server.sessions)}"
        if self.server.fault == "relative":
            return where
        return f"http://{self.headers['Host']}{where}"

    def range_of(self, session):
        have = len(self.server.sessions[session])
        return ("Range", f"0-{have - 1 if have else 0}")

    def handle_any(self):
        server = self.server
        server.log.append((self.command, self.path))
        server.seen_auth.append(self.headers.get("Authorization"))
        path = urllib.parse.urlparse(self.path)
        match = re.fullmatch(r"/v2/lib/app/(blobs/uploads|blobs|manifests)/(.*)", path.path)
        if not match:
            return self.answer(404)
        if match[1] == "blobs/uploads":
            return self.upload(match[2], urllib.parse.parse_qs(path.query))
        store = server.blobs if match[1] == "blobs" else server.manifests
        if self.command == "PUT":
            data = self.body()
            server.manifests[match[2]] = data
            server.manifests["sha256:" + sha(data)] = data
            return self.answer(201, [("Docker-Content-Digest", "sha256:" + sha(data))])
        if match[2] not in store:
            return self.answer(404)
        return self.answer(200, [("Docker-Content-Digest", match[2])], store[match[2]])

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def upload(self, session, query):
        server = self.server
        if self.command == "POST":
            return self.begin(query)
        if session not in server.sessions:
            self.body()
            return self.answer(404)
        if self.command == "GET":
            return self.answer(204, [self.range_of(session), ("Location", self.place(session))])
        if self.command == "DELETE":
            del server.sessions[session]
            return self.answer(204)
        if self.command == "PATCH":
            return self.part(session)
        return self.end(session, query["digest"][0])

    def begin(self, query):
        server = self.server
        self.body()
        if server.due("no location"):
            return self.answer(202)
        if server.due("other scheme"):
            return self.answer(202, [("Location", "file:///etc/passwd")])
        if server.due("busy"):
            return self.answer(503, [("Retry-After", "0")])
        if server.due("forbidden"):
            return self.answer(403, body=b'{"errors":[{"code":"DENIED","message":"not yours"}]}')
        server.serial += 1
        session = f"u{server.serial}"
        server.sessions[session] = b""
        headers = [("Location", self.place(session))]
        if server.fault == "large parts":
            headers.append(("OCI-Chunk-Min-Length", str(100 * KIB)))
        return self.answer(202, headers)

    def part(self, session):
        server = self.server
        first = self.headers.get("Content-Range", "").split("-")[0]
        have = server.sessions[session]
        if first and int(first) != len(have):
            self.body()
            return self.answer(416, [self.range_of(session), ("Location", self.place(session))])
        if server.due("cut"):
            got = self.rfile.read(int(self.headers["Content-Length"]) // 2)
            server.sessions[session] += got
            self.close_connection = True
            return self.connection.close()
        data = self.body()
        if server.due("lost"):                      # was kept, but nobody says so
            server.sessions[session] += data
            self.close_connection = True
            return self.connection.close()
        if server.due("gone"):
            del server.sessions[session]
            return self.answer(404)
        if server.due("error"):
            return self.answer(500)
        server.sessions[session] += data
        return self.answer(202, [("Location", self.place(session)), self.range_of(session)])

    def end(self, session, digest):
        server = self.server
        data = server.sessions.get(session, b"") + self.body()
        if server.due("lying"):
            return self.answer(201, [("Docker-Content-Digest", "sha256:" + "0" * 64)])
        if server.due("end error"):
            return self.answer(500)
        if "sha256:" + sha(data) != digest:
            return self.answer(400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        server.blobs[digest] = data
        server.sessions.pop(session, None)
        return self.answer(201, [("Docker-Content-Digest", digest)])


def writer(*args, timeout=60):
    return subprocess.run([PROGRAMS["writer"], *args], capture_output=True, text=True,
                          timeout=timeout, env=ENV, check=False)


def rafs(*args, env=None):
    return subprocess.run([PROGRAMS["rafs"], *args], capture_output=True, text=True,
                          timeout=120, env={**ENV, **(env or {})}, check=False)


def blob_file(folder, size):
    data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32 + 1))[:size]
    path = os.path.join(folder, f"blob{size}")
    with open(path, "wb") as f:
        f.write(data)
    return path, data


def test_faults(folder):
    """An upload in parts of 64 KiB of 300 KiB survives what happens once or twice."""
    path, data = blob_file(folder, 300 * KIB)
    digest = "sha256:" + sha(data)
    for fault, left in (("", 1), ("relative", 99), ("cut", 2), ("lost", 2), ("error", 2),
                        ("busy", 2), ("gone", 1), ("end error", 1), ("large parts", 99)):
        with Registry(fault, left) as server:
            got = writer("--part", str(64 * KIB), "--piece", "5000", "--retry", "1",
                         server.where, f"blob={path}")
            report.check(f"upload: {fault or 'nothing'} happens: it arrives",
                         got.stdout.startswith(f"ok {sha(data)} {len(data)}") and
                         server.blobs.get(digest) == data,
                         got.stdout + got.stderr + str(server.log)[-600:])
            if fault == "large parts":
                sizes = [p for m, p in server.log if m == "PATCH"]
                report.check("upload: parts are as large as the registry wants",
                             len(sizes) <= 3, server.log)


def test_refused(folder):
    path, data = blob_file(folder, 300 * KIB)
    for fault, code, said in (("no location", "RAFS_E_BACKEND", "Location"),
                              ("other scheme", "RAFS_E_", ""),
                              ("forbidden", "RAFS_E_BACKEND", ""),
                              ("lying", "RAFS_E_", "")):
        with Registry(fault, 99) as server:
            got = writer("--part", str(64 * KIB), "--retry", "1", "--timeout", "3000",
                         server.where, f"blob={path}")
            report.check(f"upload: {fault}: an error says so",
                         got.stdout.startswith(code) and said in got.stdout and
                         "sha256:" + sha(data) not in server.blobs, got.stdout + got.stderr)
    with Registry("error", 10**6) as server:
        got = writer("--part", str(64 * KIB), "--retry", "1", "--timeout", "1500",
                     server.where, f"blob={path}")
        report.check("upload: errors without end: the deadline ends it",
                     got.stdout.startswith("RAFS_E_"), got.stdout)
    with Registry() as server:
        got = writer("--part", str(64 * KIB), server.where, f"blob={path},{'1' * 64}")
        report.check("upload: another digest was expected: nothing arrives",
                     got.stdout.startswith("RAFS_E_") and not server.blobs, got.stdout)
        got = writer("--part", str(64 * KIB), server.where, f"abandon={path}")
        report.check("upload: abandoned: the registry is told",
                     got.stdout.startswith("ok abandoned") and not server.blobs and
                     not server.sessions, f"{got.stdout} {server.sessions}")


class Away(Registry):
    """Sends parts to another server: it gets the bytes and no credentials."""

    def __init__(self, other):
        super().__init__("away", 10**6)
        self.other = other


def test_away(folder):
    path, data = blob_file(folder, 200 * KIB)
    secret = os.path.join(folder, "secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write(SECRET)
    with Registry() as other, Registry("away", 10**6) as first:
        def sent_away(handler, session):
            other.sessions.setdefault(session, b"")
            return f"http://localhost:{other.server_port}/v2/lib/app/blobs/uploads/{session}"
        original = Handler.place
        Handler.place = lambda self, session: sent_away(self, session) \
            if self.server is first else original(self, session)
        try:
            got = writer("--part", str(64 * KIB), "--user", "me", "--password", secret,
                         first.where, f"blob={path}")
        finally:
            Handler.place = original
        report.check("upload: sent to another server: the bytes go there",
                     got.stdout.startswith("ok ") and
                     other.blobs.get("sha256:" + sha(data)) == data, got.stdout + got.stderr)
        report.check("upload: sent to another server: credentials do not",
                     other.log and not any(other.seen_auth), other.seen_auth)


def build(folder):
    tree = os.path.join(folder, "tree")
    os.makedirs(os.path.join(tree, "sub"))
    for i in range(40):
        with open(os.path.join(tree, "sub", f"f{i}"), "w", encoding="ascii") as f:
            f.write(f"line {i}\n" * (i * 50))
    out = os.path.join(folder, "out")
    got = rafs("build", "--no-sync", "-o", out, tree)
    report.check("an image is built", got.returncode == 0, got.stderr)
    return tree, out


def pushed(name, out, where, *options, env=None):
    got = rafs("push", "--json", "--progress", "none", *options, out, where, env=env)
    if not report.check(f"{name}: pushed", got.returncode == 0, got.stderr):
        return None
    return json.loads(got.stdout)["digest"]


def test_registry(folder, tree, out):
    if not shutil.which("docker-registry"):
        report.skip("docker-registry", "there is no docker-registry in PATH")
        return
    data = os.path.join(folder, "registry")
    os.mkdir(data)
    child, host = start_registry(data)
    try:
        image = f"docker://{host}/lib/app"
        digest = pushed("registry", out, f"{image}:v1")
        again = pushed("registry, again", out, f"{image}:v2")
        report.check("the same image has the same digest", digest == again, (digest, again))
        got = rafs("diff", "--no-cache", f"{image}@{digest}", tree)
        report.check("read back on demand by its digest: no difference",
                     got.returncode == 0 and got.stdout == "", got.stdout + got.stderr)
        got = rafs("copy", "--json", "--progress", "none", f"{image}:v1",
                   f"docker://{host}/other/app:v1")
        report.check("copied to another repository: blobs are mounted, not sent",
                     got.returncode == 0 and json.loads(got.stdout)["blobs_mounted"] >= 2,
                     got.stdout + got.stderr)
        if shutil.which("skopeo"):
            got = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"{image}:v1"],
                                 capture_output=True, text=True, check=False)
            report.check("skopeo inspects it", got.returncode == 0 and
                         json.loads(got.stdout)["Digest"] == digest, got.stderr)
            layout = os.path.join(folder, "by-skopeo")
            got = subprocess.run(["skopeo", "copy", "--src-tls-verify=false", f"{image}:v1",
                                  f"oci:{layout}:v1"], capture_output=True, text=True,
                                 check=False)
            report.check("skopeo copies it", got.returncode == 0, got.stderr)
            got = rafs("diff", f"oci:{layout}:v1", tree)
            report.check("and what it copied is the image", got.returncode == 0,
                         got.stdout + got.stderr)
        else:
            report.skip("skopeo", "there is no skopeo in PATH")
    finally:
        child.kill()
        child.wait()


def test_passwords(folder, out):
    if not shutil.which("docker-registry") or not shutil.which("htpasswd"):
        report.skip("a registry with passwords", "docker-registry or htpasswd is absent")
        return
    data = os.path.join(folder, "private")
    os.mkdir(data)
    line = subprocess.run(["htpasswd", "-nbB", "me", SECRET], capture_output=True, text=True,
                          check=True).stdout.strip()
    passwords = os.path.join(data, "passwords")
    with open(passwords, "w", encoding="ascii") as f:
        f.write(line + "\n")
    child, host = start_registry(
        data, f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n")
    try:
        got = rafs("push", "--progress", "none", out, f"docker://{host}/lib/app:v1",
                   env={"HOME": folder})
        report.check("without a password: refused, and said so",
                     got.returncode == 3 and "401" in got.stderr or
                     "credential" in got.stderr, f"{got.returncode} {got.stderr}")
        auth = os.path.join(folder, "auth.json")
        import base64
        with open(auth, "w", encoding="ascii") as f:
            json.dump({"auths": {host: {"auth": base64.b64encode(
                f"me:{SECRET}".encode()).decode()}}}, f)
        digest = pushed("with a password", out, f"docker://{host}/lib/app:v1",
                        env={"REGISTRY_AUTH_FILE": auth})
        got = rafs("check", "--no-cache", f"docker://{host}/lib/app@{digest}",
                   env={"REGISTRY_AUTH_FILE": auth})
        report.check("with a password: read back", got.returncode == 0, got.stderr)
        report.check("no secret is told", SECRET not in got.stdout + got.stderr)
    finally:
        child.kill()
        child.wait()


def test_layouts(folder, tree, out):
    layout = os.path.join(folder, "layout")
    archive = os.path.join(folder, "image.tar")
    first = pushed("layout", out, f"oci:{layout}:one")
    second = pushed("layout, another name", out, f"oci:{layout}:two")
    report.check("a layout keeps what it has", first == second and
                 rafs("check", f"oci:{layout}:one").returncode == 0 and
                 rafs("check", f"oci:{layout}:two").returncode == 0)
    pushed("archive", out, f"oci-archive:{archive}:v1")
    got = rafs("diff", f"oci-archive:{archive}:v1", tree)
    report.check("an archive is read back", got.returncode == 0, got.stdout + got.stderr)
    got = rafs("push", "--progress", "none", out, f"oci-archive:{archive}:v1")
    report.check("an archive that is there is not replaced", got.returncode != 0 and
                 "--force" in got.stderr, f"{got.returncode} {got.stderr}")
    left = [name for name in os.listdir(folder) if name.startswith(".")]
    report.check("nothing temporary is left", not left, left)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    PROGRAMS["rafs"] = os.path.abspath(parser.parse_args().rafs)
    PROGRAMS["writer"] = os.path.join(os.path.dirname(PROGRAMS["rafs"]), "remote_writer")
    with tempfile.TemporaryDirectory() as folder:
        ENV["HOME"] = folder
        test_faults(folder)
        test_refused(folder)
        test_away(folder)
        tree, out = build(folder)
        test_registry(folder, tree, out)
        test_passwords(folder, out)
        test_layouts(folder, tree, out)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
