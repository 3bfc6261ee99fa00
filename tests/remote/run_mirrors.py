#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mirrors of a registry and a peer-to-peer proxy, through the rafs command: what comes out
is what comes out of the image on disk whoever fails, lies or stalls, nobody is asked for
what he may not say, and nobody sees another's password.

All servers are in this process, on loopback. Usage: run_mirrors.py --rafs PATH
"""
import argparse
import base64
import contextlib
import http.client
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "support"), HERE]
import run_pull  # noqa: E402
from registry import free_port  # noqa: E402
from report import Report  # noqa: E402

KIND = "v6-zstd"
report = Report()


class Place(http.server.ThreadingHTTPServer):
    """A registry with one image, under /v2/ or another path."""
    daemon_threads = True

    def __init__(self, kind=KIND, top="/v2", tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs, self.manifest, self.layer = run_pull.make_image(kind)
        self.data = [d for d in self.blobs if len(self.blobs[d]) > 4096 and d != self.layer]
        self.top = top
        self.log = []       # (path, query, headers)
        self.behave = None  # (handler, name) -> True if it answered
        self.password = None
        self.done = threading.Event()
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.host = f"127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that goes away is what some of the tests are about."""

    def stop(self):
        self.done.set()
        self.shutdown()
        self.server_close()
        self.thread.join()

    def asked(self, what):
        return [entry for entry in self.log if f"/{what}/" in entry[0]]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def give(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give_body(self, body):
        asked = self.headers.get("Range")
        if not asked:
            self.give(200, body)
            return
        first, last = asked[6:].split("-")
        first, last = int(first), min(int(last or len(body)), len(body) - 1)
        self.give(206, body[first:last + 1],
                  Content_Range=f"bytes {first}-{last}/{len(body)}")

    def do_GET(self):
        place = self.server
        path, _, query = self.path.partition("?")
        place.log.append((path, query, dict(self.headers.items())))
        name = path.split("/")[-1]
        if place.behave and place.behave(self, name):
            return
        if place.password:
            word = base64.b64encode(place.password.encode()).decode()
            if self.headers.get("Authorization") != f"Basic {word}":
                self.give(401, b"", WWW_Authenticate='Basic realm="x"')
                return
        manifest = place.manifest if name in ("1", run_pull.sha(place.manifest)) else None
        if path == f"{place.top}/lib/app/manifests/{name}" and manifest:
            self.give(200, manifest)
        elif path == f"{place.top}/lib/app/blobs/{name}" and name in place.blobs:
            self.give_body(place.blobs[name])
        else:
            self.give(404)


@contextlib.contextmanager
def places(count, **options):
    made = [Place(**options) for _ in range(count)]
    try:
        yield made
    finally:
        for place in made:
            place.stop()


def status(code, **headers):
    return lambda handler, name: handler.give(code, b"no", **headers) or True


def hang(handler, name):
    handler.server.done.wait(60)
    handler.close_connection = True
    return True


def lie(handler, name):
    body = handler.server.blobs.get(name, handler.server.manifest)
    spoiled = bytearray(body)
    spoiled[::16] = bytes(b ^ 1 for b in spoiled[::16])
    handler.give_body(bytes(spoiled))
    return True


def run(image, *options, env=None, command="tar"):
    return run_pull.rafs(command, "--no-cache", *options, image, env=env)


def one(image, *options):
    """Where all fail one file will do: each would wait for its deadline."""
    return run_pull.rafs("cat", "--no-cache", "--timeout", "1", *options, image,
                         "/data/large")


def right(name, mine, *also):
    disk = run_pull.local(KIND, "tar")
    report.check(name, mine.returncode == 0 and mine.stdout == disk.stdout and all(also),
                 run_pull.shown(mine) + f" {also}")


def by_tag(origin):
    return f"docker://{origin.host}/lib/app:1"


def by_digest(origin):
    return f"docker://{origin.host}/lib/app@{run_pull.sha(origin.manifest)}"


def mirror_of(place):
    return ("--mirror", f"http://{place.host}")


# --- who is asked -----------------------------------------------------------------------

def plain_mirrors():
    with places(2) as (origin, mirror):
        mine = run(by_tag(origin), *mirror_of(mirror))
        told = {q for _, q, _ in mirror.log}
        right("a mirror serves all", mine, origin.log == [],
              told == {"ns=" + urllib.parse.quote(origin.host, safe="")})
    with places(2) as (origin, mirror):
        mirror.blobs, mirror.manifest = {}, b""
        mine = run(by_tag(origin), *mirror_of(mirror))
        right("what a mirror lacks comes from the registry", mine)
        asked = [p for p, _, _ in mirror.log if any(d in p for d in origin.data)]
        report.check("and is asked for once", len(asked) <= len(origin.data),
                     asked)
    with places(1) as (origin,):
        gone = free_port()
        right("a dead mirror is passed", run(by_tag(origin), "--mirror",
                                             f"http://127.0.0.1:{gone}"))
    with places(2) as (origin, mirror):
        mirror.behave = hang
        mine = run(by_tag(origin), *mirror_of(mirror), "--timeout", "40")
        right("a mirror that never answers is passed", mine)
    for code in (503, 403, 401, 429):
        with places(2) as (origin, mirror):
            mirror.behave = status(code)
            right(f"a mirror that answers {code} is passed",
                  run(by_tag(origin), *mirror_of(mirror)))
    with places(3) as (origin, one, two):
        one.behave = status(404)
        mine = run(by_tag(origin), *mirror_of(one), *mirror_of(two))
        right("the second mirror is asked before the registry", mine, origin.log == [])
    with places(2) as (origin, mirror):
        origin.behave = status(503)
        right("a mirror is enough", run(by_digest(origin), *mirror_of(mirror)))
    with places(2) as (origin, mirror):
        origin.manifest, mirror.manifest = b"", b""
        mine = run(f"docker://{origin.host}/lib/app:1", *mirror_of(mirror), command="ls")
        report.check("what nobody has is 3", mine.returncode == 3 and b"404" in mine.stderr,
                     run_pull.shown(mine))
    with places(1) as (origin,):
        origin.manifest = b""
        mine = run(f"docker://{origin.host}/lib/app:1", "--mirror",
                   f"http://127.0.0.1:{free_port()}", "--timeout", "50",
                   command="ls")
        report.check("what the registry lacks is 3, though a mirror is dead",
                     mine.returncode == 3 and b"404" in mine.stderr, run_pull.shown(mine))
    mine = run("docker://127.0.0.1:1/lib/app:1", "--mirror", "ftp://x", command="ls")
    report.check("a mirror that is no URL is 2", mine.returncode == 2, run_pull.shown(mine))


def changes_on_the_way():
    with places(2) as (origin, mirror):
        left = [3]

        def dies(handler, name):
            if name in mirror.data:
                left[0] -= 1
            if left[0] < 0:
                handler.close_connection = True
                return True
            return False
        mirror.behave = dies
        right("a mirror that dies on the way", run(by_tag(origin), *mirror_of(mirror)))
    with places(2) as (origin, mirror):
        turn = [0]

        def flaps(handler, name):
            turn[0] += 1
            return turn[0] % 2 == 0 and status(503)(handler, name)
        origin.behave = mirror.behave = flaps
        right("both flap", run(by_tag(origin), *mirror_of(mirror)))


def liars():
    with places(2) as (origin, mirror):
        mirror.behave = lambda h, name: name in mirror.data and lie(h, name)
        right("a mirror that alters data", run(by_tag(origin), *mirror_of(mirror)),
              bool(origin.asked("blobs")))
    with places(2) as (origin, mirror):
        mirror.behave = lie
        right("a mirror that alters everything", run(by_digest(origin), *mirror_of(mirror)),
              bool(origin.asked("manifests")))
    with places(2) as (origin, mirror):
        origin.behave = mirror.behave = lambda h, name: name in h.server.data and lie(h, name)
        mine = run(by_tag(origin), *mirror_of(mirror), command="tar")
        report.check("where all lie nothing comes out", mine.returncode == 1 and
                     b"digest mismatch" in mine.stderr or b"corrupt" in mine.stderr,
                     run_pull.shown(mine))


# --- passwords --------------------------------------------------------------------------

def auth_file(folder, words):
    path = os.path.join(folder, "auth.json")
    auths = {host: {"auth": base64.b64encode(word.encode()).decode()}
             for host, word in words.items()}
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"auths": auths}, f)
    return {"REGISTRY_AUTH_FILE": path}


def passwords(folder):
    def sent(place):
        return {h.get("Authorization") for _, _, h in place.log} - {None}

    def line(word):
        return "Basic " + base64.b64encode(word.encode()).decode()

    with places(2) as (origin, mirror):
        origin.password = "bob:for-the-origin"
        mirror.blobs = {d: b for d, b in mirror.blobs.items() if d not in mirror.data}
        env = auth_file(folder, {origin.host: origin.password})
        right("the registry's password is not for mirrors",
              run(by_tag(origin), *mirror_of(mirror), env=env), sent(mirror) == set(),
              sent(origin) == {line(origin.password)})
    with places(2) as (origin, mirror):
        origin.password, mirror.password = "bob:for-the-origin", "eve:for-the-mirror"
        mirror.blobs = {d: b for d, b in mirror.blobs.items() if d not in mirror.data}
        env = auth_file(folder, {origin.host: origin.password,
                                 mirror.host: mirror.password})
        right("each has its own", run(by_tag(origin), *mirror_of(mirror), env=env),
              sent(mirror) == {line(mirror.password)},
              sent(origin) == {line(origin.password)})
    with places(2) as (origin, mirror):
        mirror.password = "eve:for-the-mirror"
        env = auth_file(folder, {origin.host: "bob:for-the-origin"})
        mine = run(by_tag(origin), *mirror_of(mirror), env=env)
        right("a mirror that wants one we do not have is passed", mine,
              sent(mirror) == set(), b"for-the" not in mine.stderr)


# --- hosts.toml -------------------------------------------------------------------------

def hosts_dir(folder, host, text):
    top = tempfile.mkdtemp(dir=folder)
    os.mkdir(os.path.join(top, host))
    with open(os.path.join(top, host, "hosts.toml"), "w", encoding="utf-8") as f:
        f.write(text)
    return top


def certificate(folder):
    if not shutil.which("openssl"):
        return None
    pem = os.path.join(folder, "mirror.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", pem + ".key", "-out", pem], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pem


def hosts_files(folder):
    probe = hosts_dir(folder, "_default", "")
    mine = run("docker://127.0.0.1:1/lib/app:1", "--hosts-dir", probe, "--timeout", "1",
               command="ls")
    if b"without a TOML library" in mine.stderr:
        report.skip("hosts.toml", "the command was built without a TOML library")
        return

    def with_file(place, text, host=None):
        top = hosts_dir(folder, host or place.host.replace(":", "_") + "_", text)
        return "--hosts-dir", top

    with places(2) as (origin, mirror):
        text = f'[host."http://{mirror.host}"]\n  capabilities = ["pull", "resolve"]\n'
        for name in (origin.host, origin.host.replace(":", "_") + "_", "_default"):
            origin.log.clear()
            right(f"hosts.toml in {'_default' if name[0] == '_' else name.count('_')}",
                  run(by_tag(origin), *with_file(origin, text, name)), origin.log == [])
        right("no file for the host", run(by_tag(origin), "--hosts-dir",
                                          hosts_dir(folder, "other.example", text)),
              bool(origin.asked("blobs")))
    with places(2) as (origin, mirror):
        text = f'[host."http://{mirror.host}"]\n  capabilities = ["pull"]\n'
        right("who may only pull is not asked for a tag",
              run(by_tag(origin), *with_file(origin, text)),
              mirror.asked("manifests") == [], bool(mirror.asked("blobs")),
              origin.asked("blobs") == [])
        origin.log.clear()
        right("but for a digest", run(by_digest(origin), *with_file(origin, text)),
              bool(mirror.asked("manifests")), origin.log == [])
    with places(2) as (origin, mirror):
        text = f'[host."http://{mirror.host}"]\n  capabilities = ["resolve"]\n'
        right("who may only resolve gives no bytes",
              run(by_tag(origin), *with_file(origin, text)), mirror.asked("blobs") == [],
              bool(mirror.asked("manifests")))
    with places(3) as (origin, one, two):
        for first, second in ((one, two), (two, one)):
            first.log.clear()
            text = "".join(f'[host."http://{p.host}"]\n' for p in (first, second))
            right("hosts are asked in the order of the file",
                  run(by_tag(origin), *with_file(origin, text)), bool(first.log),
                  second.log == [], origin.log == [])
            first.log.clear()
    with places(1) as (origin,), places(1, top="/mirror/of/it") as (mirror,):
        text = f'[host."http://{mirror.host}/mirror/of/it"]\n  override_path = true\n' \
               '[host."http://%s/mirror/of/it".header]\n  x-key = ["a", "b"]\n' % mirror.host
        right("a path and headers", run(by_tag(origin), *with_file(origin, text)),
              origin.log == [], all(h.get("x-key") for _, _, h in mirror.log))
    with places(1) as (origin,), places(1, top="/some/v2") as (mirror,):
        text = f'[host."http://{mirror.host}/some"]\n'
        right("/v2 is added to a path", run(by_tag(origin), *with_file(origin, text)),
              origin.log == [])
    with places(2) as (origin, server):
        text = f'server = "http://{server.host}"\n'
        right("a server stands for the registry",
              run(by_tag(origin), *with_file(origin, text)), origin.log == [])
    pem = certificate(folder)
    if not pem:
        report.skip("certificates in hosts.toml", "openssl is not installed")
    else:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem, pem + ".key")
        with places(1) as (origin,), places(1, tls=tls) as (mirror,):
            top = f'[host."https://{mirror.host}"]\n'
            right("a ca of the mirror's own",
                  run(by_tag(origin), *with_file(origin, top + f'  ca = "{pem}"\n')),
                  origin.log == [])
            right("skip_verify",
                  run(by_tag(origin), *with_file(origin, top + "  skip_verify = true\n")),
                  origin.log == [])
            mirror.log.clear()
            right("without either the mirror is not believed",
                  run(by_tag(origin), *with_file(origin, top)), mirror.log == [],
                  bool(origin.log))
    for text in ("[host", 'server = 1\n', '[host."http://x"]\ncapabilities = "pull"\n',
                 '[host."http://x"]\nskip_verify = "yes"\n'):
        mine = run("docker://127.0.0.1:1/lib/app:1", "--hosts-dir",
                   hosts_dir(folder, "_default", text), command="ls")
        report.check(f"{text!r} is 2, with the line", mine.returncode == 2 and
                     b"line " in mine.stderr, run_pull.shown(mine))


# --- a peer-to-peer proxy ---------------------------------------------------------------

class Proxy(http.server.ThreadingHTTPServer):
    """In the place of a Dragonfly daemon: a proxy that logs what it is asked."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.log = []
        self.behave = None
        self.healthy = True
        self.pings = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """As above."""

    stop = Place.stop
    done = threading.Event()


class ProxyHandler(Handler):
    def do_GET(self):
        proxy = self.server
        if self.path.startswith("/"):
            proxy.pings.append(dict(self.headers.items()))
            self.give(200 if proxy.healthy else 503)
            return
        proxy.log.append((self.path, dict(self.headers.items())))
        if proxy.behave and proxy.behave(self, self.path.split("/")[-1]):
            return
        url = urllib.parse.urlsplit(self.path)
        link = http.client.HTTPConnection(url.netloc)
        link.request("GET", url.path, headers={
            k: v for k, v in self.headers.items() if k.lower() != "host"})
        answer = link.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        link.close()


def dragonfly():
    @contextlib.contextmanager
    def scene():
        with places(1) as (origin,):
            proxy = Proxy()
            try:
                yield origin, proxy, ("--p2p-proxy", proxy.url)
            finally:
                proxy.stop()

    def marked(place):
        return [h for _, _, h in place.log if any(k.lower().startswith("x-dragonfly") for k in h)]

    with scene() as (origin, proxy, option):
        mine = run(by_tag(origin), *option)
        sent = [{k.lower(): v for k, v in h.items()} for _, h in proxy.log]
        right("data comes through the proxy", mine, bool(sent),
              all("/blobs/" in p and any(d in p for d in origin.data)
                  for p, _ in proxy.log),
              all(h.get("x-dragonfly-prefetch") == "true" and
                  h.get("x-dragonfly-use-p2p") == "true" and
                  h.get("x-dragonfly-priority") in ("3", "6") for h in sent),
              any(h["x-dragonfly-priority"] == "6" for h in sent))
        report.check("and nothing else does", bool(origin.asked("manifests")),
                     origin.log)
    with scene() as (origin, proxy, option):
        right("without a proxy no such header is sent", run(by_tag(origin)),
              marked(origin) == [], proxy.log == [])
    for code in (500, 403, 404, 429):
        with scene() as (origin, proxy, option):
            proxy.behave = status(code)
            right(f"{code} of the proxy leads to the registry", run(by_tag(origin), *option),
                  bool(proxy.log), bool(origin.asked("blobs")))
    for code in (403, 429):
        with scene() as (origin, proxy, option):
            proxy.behave = status(code, X_Dragonfly_Error_Type="proxy")
            right(f"{code} by the proxy itself leads to the registry",
                  run(by_tag(origin), *option), bool(proxy.log))
            mine = one(by_tag(origin), *option, "--p2p-strict")
            report.check(f"{code} by the proxy itself, strictly, is 3", mine.returncode == 3 and
                         b"proxy" in mine.stderr, run_pull.shown(mine))
    with scene() as (origin, proxy, option):
        def lies(handler, name):
            handler.server.blobs, handler.server.manifest = origin.blobs, b""
            return lie(handler, name)
        proxy.behave = lies
        right("a proxy that alters data leads to the registry",
              run(by_tag(origin), *option), bool(proxy.log), bool(origin.asked("blobs")))
        mine = one(by_tag(origin), *option, "--p2p-strict")
        report.check("a proxy that alters data, strictly, is 1", mine.returncode == 1,
                     run_pull.shown(mine))
    with scene() as (origin, proxy, option):
        proxy.behave = hang
        proxy.done.clear()
        right("a proxy that never answers", run(by_tag(origin), *option, "--timeout", "60"))
    with places(1) as (origin,):
        dead = ("--p2p-proxy", f"http://127.0.0.1:{free_port()}")
        right("a dead proxy", run(by_tag(origin), *dead))
        mine = one(by_tag(origin), *dead, "--p2p-strict")
        report.check("a dead proxy, strictly, is 3", mine.returncode == 3 and
                     b"peer-to-peer proxy" in mine.stderr, run_pull.shown(mine))
    with scene() as (origin, proxy, option):
        ping = (*option, "--p2p-ping", proxy.url + "/healthy")
        mine = run(by_tag(origin), *ping)
        right("a healthy proxy is used", mine, bool(proxy.log), bool(proxy.pings),
              not any(k.lower().startswith("x-") for h in proxy.pings for k in h))
        proxy.healthy = False
        proxy.log.clear()
        right("an unhealthy one is not", run(by_tag(origin), *ping), proxy.log == [])
        mine = one(by_tag(origin), *ping, "--p2p-strict")
        report.check("an unhealthy one, strictly, is 3", mine.returncode == 3 and
                     b"not healthy" in mine.stderr and proxy.log == [],
                     run_pull.shown(mine))
    mine = run("docker://127.0.0.1:1/a:1", "--p2p-ping", "http://x", command="ls")
    report.check("a ping without a proxy is 2", mine.returncode == 2, run_pull.shown(mine))
    with scene() as (origin, proxy, option):
        origin.password = "bob:pa55"
        with tempfile.TemporaryDirectory() as folder:
            env = auth_file(folder, {origin.host: origin.password})
            right("with a password", run(by_tag(origin), *option, env=env), bool(proxy.log))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    run_pull.RAFS = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as folder:
        run_pull.ENV["HOME"] = folder
        plain_mirrors()
        changes_on_the_way()
        liars()
        passwords(folder)
        hosts_files(folder)
        dragonfly()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
