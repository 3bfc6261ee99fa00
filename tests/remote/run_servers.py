#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images through programs that serve the world: docker-registry with tokens, nginx with
ranges, signed URLs, TLS, client certificates and HTTP/2, toxiproxy in between, and a proxy
of our own. What comes out is what comes out of the same image on disk.

A program that is absent is skipped by name. toxiproxy is $TOXIPROXY or found in PATH.
Usage: run_servers.py --rafs PATH
"""
import argparse
import base64
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reading import (GOLDEN, boot_of, digest_of, full, rafs, reader, report,  # noqa: E402
                     set_programs, shown)
from registry import free_port, start_registry  # noqa: E402
from run_pull import auth_file, make_image, push  # noqa: E402
from server import Server, blob_of, sha  # noqa: E402

KINDS = ["v6-zstd", "v5-zstd", "v6-none", "v5-lz4"]


def same(name, kind, image, *options, env=None):
    """Listing, and all bytes and attributes as a tar, are those of the image on disk."""
    good = True
    for command in (["ls", "-lR"], ["tar"]):
        mine = rafs(*command, *options, image, env=env)
        disk = rafs(*command, boot_of(kind))
        good = report.check(f"{name}: {command[0]}", disk.returncode == 0 and
                            mine.returncode == 0 and mine.stdout == disk.stdout,
                            shown(mine)) and good
    return good


def stop(child):
    child.terminate()
    child.wait()


def openssl(folder, *args, data=None):
    return subprocess.run(["openssl"] + list(args), cwd=folder, check=True, input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


# --- docker-registry with tokens -----------------------------------------------------------

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TokenServer:
    """Signs what docker-registry believes: RS256, its certificate in the token."""

    def __init__(self, folder, life):
        self.folder, self.life = folder, life
        self.asked = []
        self.cert = base64.b64encode(
            openssl(folder, "x509", "-in", "token.pem", "-outform", "DER")).decode()

    def token(self, service, scope):
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {"iss": "tests", "sub": "bob", "aud": service, "iat": now, "nbf": now - 10,
                  "exp": now + self.life, "jti": str(len(self.asked)),
                  "access": [{"type": kind, "name": name, "actions": actions.split(",")}]}
        text = b64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [self.cert]}).encode()) + \
            b"." + b64(json.dumps(claims).encode())
        return (text + b"." + b64(openssl(self.folder, "dgst", "-sha256", "-sign",
                                          "token.key", data=text))).decode()

    def act(self, request, client):
        from urllib.parse import parse_qs, urlsplit
        query = parse_qs(urlsplit(request.path).query)
        self.asked.append((request.authorization, query))
        if request.authorization != "Basic " + base64.b64encode(b"bob:pa55-word").decode():
            client.answer(401)
            return
        token = self.token(query["service"][0], query["scope"][0])
        client.answer(200, json.dumps({"token": token, "expires_in": self.life}).encode())


def token_registry(folder):
    if not shutil.which("docker-registry") or not shutil.which("openssl"):
        report.skip("docker-registry with tokens", "docker-registry or openssl is absent")
        return
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "token.key",
            "-out", "token.pem", "-days", "2", "-subj", "/CN=tokens")
    child, host = start_registry(folder)
    manifests = {}
    for kind in KINDS:
        blobs, manifest, _ = make_image(kind)
        push(host, "lib/app", kind, blobs, manifest)
        manifests[kind] = sha(manifest)
    stop(child)
    signer = TokenServer(folder, 100)
    with Server(signer.act) as tokens:
        child, host = start_registry(
            folder, f"auth: {{token: {{realm: '{tokens.url}/token', service: reg.example, "
            f"issuer: tests, rootcertbundle: {folder}/token.pem}}}}\n")
        try:
            good = auth_file(folder, "good", host, "pa55-word")
            for kind in KINDS:
                signer.asked.clear()
                image = f"docker://{host}/lib/app@{manifests[kind]}"
                same(f"registry with tokens, {kind}", kind, image, env=good)
                # A token for the listing, one for the tar; not one for each request.
                report.check(f"registry with tokens, {kind}: one a run",
                             len(signer.asked) == 2, signer.asked)
            scopes = {q["scope"][0] for _, q in signer.asked}
            report.check("the scope is that of the repository",
                         scopes == {"repository:lib/app:pull"}, scopes)
            run = rafs("ls", f"docker://{host}/lib/app:v6-zstd",
                       env=auth_file(folder, "bad", host, "wr0ng-word"))
            report.check("a wrong password is 3, and not shown", run.returncode == 3 and
                         b"refuses the credentials" in run.stderr and
                         b"wr0ng" not in run.stderr, shown(run))
            outcome = reader("--boot", boot_of("v6-none"), "--read", "/data/twin",
                             "--threads", 16, "--source", f"docker://{host}/lib/app",
                             "--user", "bob", "--password", write(folder, "pw", "pa55-word"),
                             jobs=["-"] * 64)
            report.check("registry with tokens: 16 readers", outcome.good(
                digest_of("v6-none", "/data/twin")) == 64 and outcome.asked == 1, outcome)
        finally:
            stop(child)


def stripped(folder):
    """Row 5: docker-registry behind something that takes the Range away."""
    if not shutil.which("docker-registry"):
        report.skip("docker-registry without ranges", "docker-registry is absent")
        return
    child, host = start_registry(folder)

    def forward(request, client):
        link = http.client.HTTPConnection(host)
        link.request("GET", request.path, headers={
            n: v for n, v in request.headers.items() if n in ("accept", "authorization")})
        answer = link.getresponse()
        body = answer.read()
        client.server.sent += len(body)
        client.answer(answer.status, body, [("Content-Type", answer.getheader("Content-Type"))])
        link.close()

    try:
        for kind in KINDS:
            blobs, manifest, _ = make_image(kind)
            push(host, "lib/app", kind, blobs, manifest)
            with Server(forward) as front:
                front.sent = 0
                same(f"row 5: registry without ranges, {kind}", kind,
                     f"docker://{front.host}/lib/app@{sha(manifest)}")
                total = len(manifest) + sum(len(b) for b in blobs.values())
                # Twice the image (listing and tar), once more to learn, and what was on
                # its way when it was learnt.
                report.check(f"row 5: registry without ranges, {kind}: no blob for each chunk",
                             front.sent <= 8 * total, f"{front.sent} of {total} bytes")
    finally:
        stop(child)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


# --- nginx ------------------------------------------------------------------------------

class Nginx:
    """A configuration of server blocks, below a folder of its own."""

    def __init__(self, folder, blocks):
        self.folder = folder
        self.log = os.path.join(folder, "nginx-access")
        temp = "".join(f"{name}_temp_path {folder}/temp;\n" for name in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = write(folder, "nginx.conf",
                       f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
                       f"error_log {folder}/nginx-error warn;\nevents {{}}\nhttp {{\n{temp}"
                       "log_format seen '$server_protocol $status $request_uri "
                       "\"$http_authorization\" $http_range';\n"
                       f"access_log {self.log} seen;\n{blocks}\n}}\n")
        self.child = subprocess.Popen(["nginx", "-e", f"{folder}/nginx-error", "-c", config],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, port):
        """Until it answers there."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.child.poll() is None:
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                link.connect()
                link.close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def seen(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read().splitlines()


def nginx_ranges(folder):
    """Files below a URL, v5 and v6."""
    port = free_port()
    server = Nginx(folder, f"server {{ listen 127.0.0.1:{port}; root {GOLDEN}; }}")
    try:
        if not report.check("nginx starts", server.wait(port)):
            return
        for kind in KINDS:
            same(f"nginx, {kind}", kind, f"http://127.0.0.1:{port}/{kind}/image.boot")
        lines = server.seen()
        data = [x for x in lines if "/blobs/" in x]
        report.check("nginx: ranges of blobs alone, no credentials", data and all(
            x.split()[1] in ("206", "404") and "bytes=" in x and '"-"' in x for x in data),
            data[:9])
    finally:
        stop(server.child)


def nginx_signed(folder):
    """A registry that sends us to signed URLs of a second's life at nginx."""
    port = free_port()
    kind = "v6-none"
    name, _ = blob_of(kind)
    server = Nginx(folder, f"""server {{ listen 127.0.0.1:{port};
        location /{kind}/ {{
            secure_link $arg_md5,$arg_expires;
            secure_link_md5 "$secure_link_expires$uri the-secret";
            if ($secure_link = "") {{ return 403; }}
            if ($secure_link = "0") {{ return 410; }}
            root {GOLDEN};
        }} }}""")

    def sign(request, client):
        uri = f"/{kind}/blobs/{name}"
        expires = int(time.time()) + 1
        md5 = b64(hashlib.md5(f"{expires}{uri} the-secret".encode()).digest()).decode()
        client.answer(307, b"", [("Location",
                                  f"http://127.0.0.1:{port}{uri}?md5={md5}&expires={expires}")])

    try:
        if not report.check("nginx starts", server.wait(port)):
            return
        with Server(sign) as front:
            outcome = reader("--boot", boot_of(kind), "--read", "/data/twin", "--threads", 8,
                             "--seconds", full(4, 20), "--log", "--source",
                             f"docker://{front.host}/lib/app")
            count = len(front.log)
        statuses = [x.split()[1] for x in server.seen()]
        report.check("signed URLs that end: no error", outcome.good(
            digest_of(kind, "/data/twin")) == outcome.all() > 0, outcome)
        report.check("signed URLs: refused ones are replaced, good ones used",
                     "206" in statuses and count >= 2, f"{count} {set(statuses)}")
        report.check("signed URLs: no signature in a log", "md5=" not in outcome.log +
                     outcome.text, outcome.log[-500:])
    finally:
        stop(server.child)


def certificates(folder):
    """An authority, and what it signs: server, expired, other host, client."""
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    write(folder, "here.ext", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    write(folder, "there.ext", "subjectAltName=DNS:registry.example\n")
    write(folder, "client.ext", "extendedKeyUsage=clientAuth\n")
    for name, ext, days in (("good", "here", "2"), ("expired", "here", "0"),
                            ("other", "there", "2"), ("client", "client", "2")):
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
                "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", days,
                "-extfile", f"{ext}.ext")
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "self.key",
            "-out", "self.pem", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1")


def nginx_tls(folder):
    if not shutil.which("openssl"):
        report.skip("TLS", "openssl is absent")
        return
    certificates(folder)
    ports = {name: free_port() for name in ("good", "expired", "other", "self", "client")}
    blocks = ""
    for name, port in ports.items():
        pair = name if name != "client" else "good"
        blocks += (f"server {{ listen 127.0.0.1:{port} ssl http2; root {GOLDEN};\n"
                   f"ssl_certificate {folder}/{pair}.pem;\n"
                   f"ssl_certificate_key {folder}/{pair}.key;\n" +
                   (f"ssl_verify_client on; ssl_client_certificate {folder}/ca.pem;\n"
                    if name == "client" else "") + "}\n")
    server = Nginx(folder, blocks)
    ca = os.path.join(folder, "ca.pem")

    def image(name, kind="v6-zstd", host="127.0.0.1"):
        return f"https://{host}:{ports[name]}/{kind}/image.boot"

    def refused(what, name, *options, says=b"--ca-file", host="127.0.0.1"):
        run = rafs("ls", "--timeout", "30", *options, image(name, host=host))
        report.check(f"TLS: {what} is refused", run.returncode == 3 and run.stdout == b"" and
                     b"TLS" in run.stderr and says in run.stderr, shown(run))

    try:
        if not report.check("nginx starts", all(server.wait(p) for p in ports.values())):
            return
        for kind in KINDS:
            same(f"TLS and HTTP/2, {kind}", kind, image("good", kind), "--ca-file", ca)
        report.check("it was HTTP/2", all(x.startswith("HTTP/2.0 ") for x in server.seen()),
                     server.seen()[:5])
        same("TLS, CA from the environment", "v6-zstd", image("good"),
             env={"SSL_CERT_FILE": ca})
        refused("an authority that nobody named", "good")
        refused("a certificate of its own", "self", "--ca-file", ca)
        refused("one that has expired", "expired", "--ca-file", ca, says=b"expired")
        refused("one for another host", "other", "--ca-file", ca, says=b"127.0.0.1")
        for name in ("good", "self", "expired", "other"):
            same(f"TLS: {name}, --insecure", "v6-zstd", image(name), "--insecure")
        run = rafs("ls", "--timeout", "2", "--ca-file", ca, image("client"))
        report.check("TLS: without a client certificate it is 3", run.returncode == 3 and
                     run.stdout == b"", shown(run))
        same("TLS: a client certificate", "v6-zstd", image("client"), "--ca-file", ca,
             "--client-cert", f"{folder}/client.pem", "--client-key", f"{folder}/client.key")
        run = rafs("ls", "--timeout", "2", "--ca-file", f"{folder}/absent", image("good"))
        report.check("TLS: a CA file that is absent is named", run.returncode == 3 and
                     b"absent" in run.stderr, shown(run))
        through_proxy(folder, ports["good"], ca)
    finally:
        stop(server.child)


def tls_registry(folder):
    """A registry by https, on loopback written so that it does not look like it: what is
    there is asked by http without more ado."""
    if not shutil.which("docker-registry") or not shutil.which("openssl"):
        report.skip("a registry by https", "docker-registry or openssl is absent")
        return
    ports = {name: free_port() for name in ("good", "down")}
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "x.key",
            "-out", "x.pem", "-days", "2", "-subj", "/CN=x", "-addext",
            "subjectAltName=IP:::ffff:127.0.0.1")
    registry, upstream = start_registry(folder)
    tls = f"ssl_certificate {folder}/x.pem; ssl_certificate_key {folder}/x.key;"
    server = Nginx(folder, f"""
        server {{ listen 127.0.0.1:{ports["good"]} ssl http2; {tls}
                  location /v2/lib/ {{ proxy_pass http://{upstream}; }}
                  location /v2/away/ {{ return 307 http://127.0.0.1:1/x; }} }}
        server {{ listen 127.0.0.1:{ports["down"]} ssl http2; {tls}
                  location / {{ add_header WWW-Authenticate
                      'Bearer realm="http://127.0.0.1:1/token"' always; return 401; }} }}""")
    ca = ("--ca-file", f"{folder}/x.pem")

    def image(name, repo, kind):
        return f"docker://[::ffff:7f00:1]:{ports[name]}/{repo}:{kind}"

    try:
        if not report.check("nginx starts", all(server.wait(p) for p in ports.values())):
            return
        for kind in ("v6-zstd", "v5-zstd"):
            blobs, manifest, _ = make_image(kind)
            push(upstream, "lib/app", kind, blobs, manifest)
        run = rafs("ls", *ca, image("good", "lib/app", "v6-zstd"))
        if b"nreachable" in run.stderr or b"Couldn't connect" in run.stderr:
            report.skip("a registry by https", "there is no IPv6 here")
            return
        for kind in ("v6-zstd", "v5-zstd"):
            same(f"registry by https, {kind}", kind, image("good", "lib/app", kind), *ca)
        run = rafs("ls", "--timeout", "20", *ca, image("good", "away/app", "x"))
        report.check("row 8: from https to http is refused", run.returncode == 3 and
                     b"from https to http" in run.stderr, shown(run))
        run = rafs("ls", "--timeout", "20", *ca, image("down", "lib/app", "x"))
        report.check("a token server without https is refused", run.returncode == 3 and
                     b"without https" in run.stderr, shown(run))
    finally:
        stop(server.child)
        stop(registry)


def through_proxy(folder, port, ca):
    """CONNECT: the proxy sees a host and a port, and no credentials but its own."""
    import socket

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def connect(request, client):
        if request.method != "CONNECT" or \
                request.headers.get("proxy-authorization") != \
                "Basic " + base64.b64encode(b"me:pr0xy-word").decode():
            client.answer(407, b"", [("Proxy-Authenticate", 'Basic realm="x"')])
            return
        host, _, number = request.path.rpartition(":")
        with socket.create_connection((host, int(number))) as upstream:
            client.send(b"HTTP/1.1 200 Connected\r\nX-Secret: no header of the answer\r\n\r\n")
            there = threading.Thread(target=pump, args=(client.sock, upstream), daemon=True)
            there.start()
            pump(upstream, client.sock)
        client.close()

    url = f"https://bob:pa55-word@127.0.0.1:{port}/v6-zstd/image.boot"
    with Server(connect) as proxy:
        env = {"https_proxy": f"http://me:pr0xy-word@{proxy.host}"}
        same("CONNECT", "v6-zstd", url, "--ca-file", ca, env=env)
        heads = b"".join(r.head for r in proxy.log)
        report.check("CONNECT: no credentials of the origin", proxy.log and
                     b"\r\nauthorization" not in heads.lower() and
                     all(r.method == "CONNECT" for r in proxy.log), heads)
        env = {"https_proxy": f"http://me:wr0ng-word@{proxy.host}"}
        run = rafs("ls", "--timeout", "20", "--ca-file", ca, url, env=env)
        report.check("CONNECT: a proxy that refuses is named, its password is not",
                     run.returncode == 3 and b"proxy" in run.stderr and
                     b"407" in run.stderr and b"word" not in run.stderr, shown(run))
        same("CONNECT: not where no_proxy says so", "v6-zstd", url, "--ca-file", ca,
             env=dict(env, no_proxy="127.0.0.1"))


def with_nginx(test):
    def run(folder):
        if not shutil.which("nginx"):
            report.skip(test.__name__, "nginx is absent")
        else:
            test(folder)
    return run


# --- toxiproxy ------------------------------------------------------------------------------

def toxics(folder):
    program = os.environ.get("TOXIPROXY") or shutil.which("toxiproxy-server")
    if not program or not shutil.which("docker-registry"):
        report.skip("toxiproxy", "toxiproxy-server (or $TOXIPROXY) or docker-registry is absent")
        return
    registry, upstream = start_registry(folder)
    blobs, manifest, _ = make_image("v6-none")
    push(upstream, "lib/app", "a", blobs, manifest)
    admin, port = free_port(), free_port()
    child = subprocess.Popen([program, "-host", "127.0.0.1", "-port", str(admin)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(method, path, body=None):
        end = time.monotonic() + 60
        while True:
            try:
                link = http.client.HTTPConnection("127.0.0.1", admin, timeout=30)
                link.request(method, path, json.dumps(body) if body else None)
                answer = link.getresponse()
                answer.read()
                link.close()
                return answer.status
            except OSError:
                if time.monotonic() > end or child.poll() is not None:
                    raise
                time.sleep(0.02)

    image = f"docker://127.0.0.1:{port}/lib/app@{sha(manifest)}"
    try:
        ask("POST", "/proxies", {"name": "r", "listen": f"127.0.0.1:{port}",
                                 "upstream": upstream, "enabled": True})
        survived = [("latency", {"latency": 100, "jitter": 50}, "downstream"),
                    ("bandwidth", {"rate": 200}, "downstream"),
                    ("slicer", {"average_size": 100, "size_variation": 50, "delay": 10},
                     "downstream"),
                    ("limit_data", {"bytes": 20000}, "downstream"),
                    ("limit_data", {"bytes": 2000}, "downstream"),
                    ("slow_close", {"delay": 200}, "downstream"),
                    ("latency", {"latency": 100}, "upstream")]
        for kind, attributes, stream in survived:
            ask("POST", "/proxies/r/toxics", {"name": "t", "type": kind, "stream": stream,
                                              "attributes": attributes})
            same(f"toxiproxy: {kind} {attributes}", "v6-none", image)
            ask("DELETE", "/proxies/r/toxics/t")
        fatal = [("timeout", {"timeout": 0}), ("timeout", {"timeout": 100}),
                 ("reset_peer", {"timeout": 0}), ("limit_data", {"bytes": 0})]
        for kind, attributes in fatal:
            ask("POST", "/proxies/r/toxics", {"name": "t", "type": kind,
                                              "stream": "downstream", "attributes": attributes})
            began = time.monotonic()
            run = rafs("ls", "--timeout", "1.5", image)
            report.check(f"toxiproxy: {kind} {attributes} ends at the deadline",
                         run.returncode == 3 and run.stdout == b"" and
                         time.monotonic() - began < 60, shown(run))
            ask("DELETE", "/proxies/r/toxics/t")
            run = rafs("ls", image)
            report.check("and all is well after it", run.returncode == 0, shown(run))
        # One connection in two dies at once; the readers do not notice.
        ask("POST", "/proxies/r/toxics", {"name": "t", "type": "reset_peer", "toxicity": 0.5,
                                          "stream": "downstream", "attributes": {"timeout": 0}})
        outcome = reader("--read", "/data/twin", "--threads", 8, "--timeout", 60000,
                         jobs=[image] * full(40, 400))
        report.check("toxiproxy: every other connection is reset", outcome.good(
            digest_of("v6-none", "/data/twin")) == full(40, 400), outcome)
    finally:
        stop(child)
        stop(registry)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only", help="name of one function")
    args = parser.parse_args()
    set_programs(args.rafs)

    def apart(test):
        def run():
            with tempfile.TemporaryDirectory() as folder:
                test(folder)
        return run

    report.run({"token_registry": apart(token_registry),
                "stripped": apart(stripped), "nginx_ranges": apart(with_nginx(nginx_ranges)),
                "nginx_signed": apart(with_nginx(nginx_signed)),
                "nginx_tls": apart(with_nginx(nginx_tls)), "tls_registry": apart(with_nginx(tls_registry)), "toxics": apart(toxics)}, args.only)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
