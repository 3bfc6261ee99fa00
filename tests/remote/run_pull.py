#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images in a registry, through the rafs command: what comes out is what comes out of the
same image on disk, and what differs from its digest does not come out at all.

Two servers: Debian's docker-registry, skipped by name where it is absent, and one of our
own (below) that misbehaves on command. Usage: run_pull.py --rafs PATH
"""
import argparse
import base64
import gzip
import http.client
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from oci_image import GOLDEN, make_image, sha  # noqa: E402
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402

KINDS = ["v6-zstd", "v5-zstd", "v6-none", "v5-none", "v6-lz4"]
# An empty RAFS_CACHE_DIR: nothing is kept where the user keeps his.
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
report = Report()


def rafs(*args, env=None):
    return subprocess.run([RAFS] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                          env=dict(ENV, **(env or {})))


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-400:]!r}"


def local(kind, *args):
    return rafs(args[0], os.path.join(GOLDEN, kind, "image.boot"), *args[1:])


def same(name, kind, image, env=None, options=()):
    """Listing, and every byte and attribute as a tar, equal those of the image on disk."""
    for command in (["ls", "-lR"], ["tar"]):
        mine = rafs(*command, *options, image, env=env)
        disk = rafs(*command, os.path.join(GOLDEN, kind, "image.boot"))
        good = disk.returncode == 0 and mine.returncode == 0 and mine.stdout == disk.stdout
        report.check(f"{name}: {command[0]}", good, shown(mine))


# --- a real registry --------------------------------------------------------------------

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def push(host, repo, tag, blobs, manifest, media_type=MANIFEST):
    link = http.client.HTTPConnection(host)

    def ask(method, path, body, headers):
        link.request(method, path, body, headers)
        answer = link.getresponse()
        answer.read()
        return answer

    for digest, data in blobs.items():
        answer = ask("POST", f"/v2/{repo}/blobs/uploads/", b"", {})
        place = answer.getheader("Location")
        place = place[place.index("/v2/"):]
        answer = ask("PUT", f"{place}&digest={digest}", data,
                     {"Content-Type": "application/octet-stream"})
        assert answer.status == 201, answer.status
    answer = ask("PUT", f"/v2/{repo}/manifests/{tag}", manifest,
                 {"Content-Type": media_type})
    assert answer.status == 201, answer.status
    link.close()


def auth_file(folder, name, host, password):
    path = os.path.join(folder, name)
    word = base64.b64encode(f"bob:{password}".encode()).decode()
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"auths": {host: {"auth": word}}}, f)
    return {"REGISTRY_AUTH_FILE": path}


def attached(host):
    """A RAFS form that hangs on an ordinary image, by the tag that stands for the list."""
    layer, config = gzip.compress(b"\0" * 1024, mtime=0), b"{}"
    plain = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": sha(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": sha(layer), "size": len(layer)}]}).encode()
    push(host, "lib/plain", "v1", {sha(layer): layer, sha(config): config}, plain)
    image = f"docker://{host}/lib/plain@{sha(plain)}"
    run = rafs("ls", "--referrers", image)
    report.check("an ordinary image with nothing attached is 4", run.returncode == 4, shown(run))
    forms = []
    for kind, subject in (("v5-zstd", sha(b"another image")), ("v6-zstd", sha(plain))):
        blobs, manifest, _ = make_image(kind)
        manifest = json.loads(manifest)
        manifest["subject"] = {"mediaType": MANIFEST, "digest": subject, "size": len(plain)}
        manifest = json.dumps(manifest).encode()
        push(host, "lib/plain", kind, blobs, manifest)
        forms.append({"mediaType": MANIFEST, "digest": sha(manifest), "size": len(manifest)})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": forms}).encode()
    push(host, "lib/plain", sha(plain).replace(":", "-"), {}, index, INDEX)
    same("the form whose subject is the image", "v6-zstd", image, options=["--referrers"])
    info = rafs("info", "--referrers", image)
    report.check("what was attached is not pinned by the image's digest",
                 info.returncode == 0 and b"matches the expected digest" not in info.stdout,
                 shown(info))
    run = rafs("ls", image)
    report.check("and is not taken unless asked for", run.returncode == 4, shown(run))


def real_registry(folder):
    if not shutil.which("docker-registry"):
        report.skip("docker-registry", "the program is not installed")
        return
    child, host = start_registry(folder)
    try:
        for kind in KINDS:
            blobs, manifest, _ = make_image(kind)
            push(host, "lib/app", kind, blobs, manifest)
            same(f"registry {kind} by tag", kind, f"docker://{host}/lib/app:{kind}")
            image = f"docker://{host}/lib/app@{sha(manifest)}"
            same(f"registry {kind} by digest", kind, image)
            info = rafs("info", image)
            report.check(f"{kind} by digest is pinned",
                         b"matches the expected digest" in info.stdout, shown(info))
        attached(host)
        run = rafs("ls", f"docker://{host}/lib/app:none")
        report.check("an unknown tag is 3", run.returncode == 3 and b"404" in run.stderr,
                     shown(run))
    finally:
        child.terminate()
        child.wait()
    if not shutil.which("htpasswd"):
        report.skip("basic auth", "htpasswd is not installed")
        return
    with open(os.path.join(folder, "users"), "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "bob", "pa55-word"], check=True,
                               stdout=subprocess.PIPE).stdout)
    child, host = start_registry(
        folder, f"auth: {{htpasswd: {{realm: x, path: {folder}/users}}}}\n")
    try:
        image = f"docker://{host}/lib/app:v6-zstd"
        same("basic auth", "v6-zstd", image, auth_file(folder, "good", host, "pa55-word"))
        run = rafs("ls", image, env=auth_file(folder, "bad", host, "wr0ng-word"))
        report.check("wrong password: 3, and not shown",
                     run.returncode == 3 and b"refuses the credentials" in run.stderr and
                     b"wr0ng" not in run.stderr, shown(run))
        run = rafs("ls", image)
        report.check("no password is 3", run.returncode == 3, shown(run))
    finally:
        child.terminate()
        child.wait()


# --- a registry that misbehaves ---------------------------------------------------------

class Fault:
    """What the server below does next; `log` is what it was asked."""

    def __init__(self, kind):
        self.blobs, self.manifest, self.layer = make_image(kind)
        self.data = [d for d in self.blobs if len(self.blobs[d]) > 4096 and d != self.layer]
        self.log = []
        self.behave = None  # called with (handler, path, body, first, last) for data
        self.token = None   # the one that lets in; None: everybody
        self.tokens = 0
        self.lock = threading.Lock()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault

    def handle_error(self, request, client_address):
        """A client that goes away is what some of the tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def give(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give_range(self, body, first, last):
        self.give(206, body[first:last + 1],
                  Content_Range=f"bytes {first}-{last}/{len(body)}")

    def cut(self, body, first, last, after):
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(body[first:min(first + after, last + 1)])
        self.wfile.flush()
        self.close_connection = True

    def do_GET(self):
        fault = self.server.fault
        with fault.lock:
            fault.log.append((self.path, self.headers.get("Range"),
                              self.headers.get("Authorization")))
        if self.path.startswith("/token"):
            with fault.lock:
                fault.tokens += 1
                fault.token = f"secret-token-{fault.tokens}"
            self.give(200, json.dumps({"token": fault.token, "expires_in": 300}).encode())
            return
        if self.path.startswith("/away/"):
            body = fault.blobs["sha256:" + self.path[6:70]]
        else:
            if fault.token is not None and \
                    self.headers.get("Authorization") != "Bearer " + fault.token:
                where = f"http://127.0.0.1:{self.server.server_port}/token"
                self.give(401, b"", WWW_Authenticate=f'Bearer realm="{where}",service="s"')
                return
            name = self.path.split("/")[-1]
            body = fault.manifest if "/manifests/" in self.path else fault.blobs.get(name)
        if body is None:
            self.give(404, b"")
            return
        first, last = 0, len(body) - 1
        if self.headers.get("Range"):
            first, last = self.headers["Range"][6:].split("-")
            first, last = int(first), min(int(last or len(body)), len(body) - 1)
        is_data = any(d[7:] in self.path for d in fault.data)
        if is_data and fault.behave and fault.behave(self, body, first, last):
            return
        if self.headers.get("Range"):
            self.give_range(body, first, last)
        else:
            self.give(200, body)


def faulty(name, behave, kind="v6-zstd", code=0, says=b"", options=(), token=None):
    fault = Fault(kind)
    fault.behave, fault.token = behave, token
    server = Server(fault)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        image = f"docker://127.0.0.1:{server.server_port}/lib/app@{sha(fault.manifest)}"
        # Where all fails, one file will do: each would wait for its deadline.
        mine = rafs("tar", *options, image) if code == 0 else \
            rafs("cat", *options, image, "/data/large")
        disk = local(kind, "tar")
        good = mine.returncode == code and says in mine.stderr
        if code == 0:
            good = good and mine.stdout == disk.stdout
        good = good and b"secret" not in mine.stderr
        report.check(name, good, shown(mine))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return fault


def once_each(act):
    """A behaviour for the first request of each range alone."""
    seen = set()

    def behave(handler, body, first, last):
        if first in seen:
            return False
        seen.add(first)
        act(handler, body, first, last)
        return True
    return behave


def answer(status, **headers):
    return lambda h, body, first, last: h.give(status, b"gone", **headers) or True


def away(handler, body, first, last):
    if handler.path.startswith("/away/"):
        return False
    handler.give(307, b"", Location="/away/" + handler.path.split(":")[-1] + "?sig=secret")
    return True


def wrong_bytes(handler, body, first, last):
    part = bytearray(body[first:last + 1])
    for i in range(0, len(part), 16):  # no chunk of the range is spared
        part[i] ^= 1
    handler.give(206, bytes(part), Content_Range=f"bytes {first}-{last}/{len(body)}")
    return True


def faults():
    faulty("a good server", None)
    faulty("bodies cut in the middle are resumed",
           once_each(lambda h, b, f, l: h.cut(b, f, l, (l - f) // 2)))
    faulty("bodies cut at once are asked again", once_each(lambda h, b, f, l: h.cut(b, f, l, 0)))
    faulty("503 is tried again", once_each(answer(503)))
    faulty("429 with Retry-After is obeyed", once_each(answer(429, Retry_After="1")),
           kind="v6-none", options=("--timeout", "90"))
    faulty("200 to a range is cut to it", lambda h, b, f, l: h.give(200, b) or True)
    faulty("another range is not believed", once_each(
        lambda h, b, f, l: h.give(206, b[f:l + 1],
                                  Content_Range=f"bytes {f + 1}-{l + 1}/{len(b) + 9}")))
    faulty("206 without a range is not believed",
           once_each(lambda h, b, f, l: h.give(206, b[f:l + 1])))
    faulty("an encoded answer is not believed", once_each(
        lambda h, b, f, l: h.give(206, b[f:l + 1], Content_Encoding="gzip",
                                  Content_Range=f"bytes {f}-{l}/{len(b)}")))
    fault = faulty("redirects are followed", away)
    asked = [p for p, _, _ in fault.log if "/blobs/" in p and fault.layer not in p]
    report.check("and remembered", len(asked) == len(fault.data), asked)
    faulty("a redirect to a file is refused", answer(307, Location="file:///etc/passwd"),
           code=3, says=b"no http or https", options=("--timeout", "5"))
    faulty("a redirect to a link-local address is refused",
           answer(307, Location="http://169.254.169.254/x"), code=3, says=b"link-local",
           options=("--timeout", "5"))
    faulty("redirects without end are refused", lambda h, b, f, l: h.give(
        307, b"", Location=h.path + "x") or True, code=3, options=("--timeout", "5"))
    faulty("wrong bytes do not come out", wrong_bytes, kind="v6-none", code=1,
           says=b"digest mismatch")
    faulty("a server that is gone for good is 3", answer(503), code=3,
           options=("--timeout", "1"))
    fault = faulty("a token is fetched when asked for", None, token="none yet")
    report.check("once", fault.tokens == 1, fault.tokens)
    sent = [a for p, _, a in fault.log if p.startswith("/token")]
    report.check("without a password that nobody gave", sent == [None], sent)


def cache_on_disk(folder):
    """The second run asks for no data; a damaged chunk is fetched anew, and kept again."""
    cache = os.path.join(folder, "cache")
    fault = Fault("v6-zstd")
    server = Server(fault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = f"docker://127.0.0.1:{server.server_port}/lib/app@{sha(fault.manifest)}"
    disk = local("v6-zstd", "tar").stdout

    def run(name, asks):
        fault.log.clear()
        mine = rafs("tar", "--cache-dir", cache, image)
        data = [p for p, _, _ in fault.log if any(d in p for d in fault.data)]
        report.check(name, mine.returncode == 0 and mine.stdout == disk and
                     bool(data) == asks, f"{len(data)} requests, {shown(mine)}")

    run("the first run fills the cache", True)
    run("the second asks for no data", False)
    for name in os.listdir(cache):
        if name.endswith(".blob.data"):
            with open(os.path.join(cache, name), "r+b") as f:
                f.seek(0)
                kept = bytearray(f.read())
                kept[::512] = bytes(b ^ 0x20 for b in kept[::512])
                f.seek(0)
                f.write(kept)
    run("damaged chunks are fetched again", True)
    run("and kept again", False)
    server.shutdown()
    server.server_close()
    run("with all in the cache no server is needed", False)
    report.check("nor asked", fault.log == [], fault.log)
    os.chmod(cache, 0o777)
    mine = rafs("ls", "--cache-dir", cache, image)
    report.check("a cache that all may write to is refused",
                 mine.returncode == 3 and mine.stdout == b"", shown(mine))


def spoiled_metadata():
    """A manifest, or a bootstrap layer, that is not the one asked for."""
    for what in ("manifest", "layer"):
        fault = Fault("v6-zstd")
        wanted = sha(fault.manifest)
        if what == "manifest":
            fault.manifest += b"\n"
        else:
            spoiled = bytearray(fault.blobs[fault.layer])
            spoiled[len(spoiled) // 2] ^= 4
            fault.blobs[fault.layer] = bytes(spoiled)
        server = Server(fault)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = rafs("ls", f"docker://127.0.0.1:{server.server_port}/lib/app@{wanted}")
        server.shutdown()
        server.server_close()
        report.check(f"another {what} is refused", run.returncode == 1 and
                     b"digest mismatch" in run.stderr and run.stdout == b"", shown(run))


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as folder:
        ENV["HOME"] = folder
        real_registry(folder)
        cache_on_disk(folder)
    faults()
    spoiled_metadata()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
