#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images in buckets of S3 and OSS, through the rafs command, and images of elsewhere whose
blobs lie in one. A stand-in that computes each signature by itself (support/object_store.py)
and a real MinIO, from $MINIO or PATH, else skipped by name. Nothing that is printed in any
of it holds a secret. Usage: run_objects.py --rafs PATH
"""
import argparse
import datetime
import hashlib
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import oci_image as oci  # noqa: E402
from object_store import EMPTY, Store, error, sign_v4  # noqa: E402
from report import Report  # noqa: E402

KINDS = ["v6-zstd", "v5-lz4"]
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
ID = "AKIAIDOFNOSECRET"
SECRET = "s3cr3t/" + secrets.token_hex(16)
TOKEN = "t0k3n+" + secrets.token_hex(200)
KEYS = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET,
        "OSS_ACCESS_KEY_ID": ID, "OSS_ACCESS_KEY_SECRET": SECRET}
TOKENS = dict(KEYS, AWS_SESSION_TOKEN=TOKEN, OSS_SESSION_TOKEN=TOKEN)
report = Report()
printed = []  # all that ever went to a terminal


def rafs(*args, env=None):
    run = subprocess.run([RAFS] + list(args), stdin=subprocess.DEVNULL, timeout=100,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(ENV, **(env or {})), check=False)
    printed.append(run.stderr)
    if args[0] != "tar":
        printed.append(run.stdout)
    return run


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-400:]!r}"


def same(name, kind, image, *options, env=None):
    """Listing, and every byte and attribute as a tar, equal those of the image on disk."""
    for command in (["ls", "-lR"], ["tar"]):
        mine = rafs(*command, *options, image, env=env)
        disk = rafs(*command, os.path.join(oci.GOLDEN, kind, "image.boot"))
        report.check(f"{name}: {command[0]}", disk.returncode == 0 and
                     mine.returncode == 0 and mine.stdout == disk.stdout, shown(mine))


def refused(name, code, says, image, *options, env=None):
    run = rafs("ls", *options, image, env=env)
    report.check(name, run.returncode == code and run.stdout == b"" and
                 says.encode() in run.stderr, shown(run))


def objects():
    """Images with their blobs in blobs/ and beside them, and bare blobs as nydusify
    pushes them."""
    all_of = {}
    for kind in KINDS:
        for folder in (f"data/{kind}/", f"data/a b+c/{kind}/"):
            all_of[folder + "image.boot"] = oci.bootstrap_of(kind)
            for name, blob in oci.blobs_of(kind).items():
                all_of[folder + ("blobs/" if folder.count("/") == 2 else "") + name] = blob
        for name, blob in oci.blobs_of(kind).items():
            all_of["data/nydus-" + name] = blob
    return all_of


def stores():
    """Signatures of both kinds, with and without a session token."""
    for scheme, option, env, key in (
            ("s3", "--s3-endpoint", KEYS, (ID, SECRET, None)),
            ("s3", "--s3-endpoint", TOKENS, (ID, SECRET, TOKEN)),
            ("s3", "--s3-endpoint", {}, None),
            ("oss", "--oss-endpoint", KEYS, (ID, SECRET, None)),
            ("oss", "--oss-endpoint", TOKENS, (ID, SECRET, TOKEN)),
            ("oss", "--oss-endpoint", {}, None)):
        store = Store(objects(), key).start()
        where = f"http://127.0.0.1:{store.port}"
        how = "anonymous" if key is None else "session" if key[2] else "key"
        for kind in KINDS:
            same(f"{scheme} {how} {kind}", kind, f"{scheme}://data/{kind}/image.boot",
                 option, where, env=env)
        same(f"{scheme} {how} in a folder that is escaped", KINDS[0],
             f"{scheme}://data/a b+c/{KINDS[0]}/image.boot", option, where, env=env)
        unsigned = [entry for entry in store.log if not entry[3]]
        report.check(f"{scheme} {how}: signed or not", bool(unsigned) == (key is None),
                     unsigned[:3])
        if key:
            wrong = dict(env, AWS_SECRET_ACCESS_KEY=SECRET[::-1],
                         OSS_ACCESS_KEY_SECRET=SECRET[::-1])
            refused(f"{scheme} {how}: wrong secret", 3, "SignatureDoesNotMatch",
                    f"{scheme}://data/{KINDS[0]}/image.boot", option, where, env=wrong)
            refused(f"{scheme} {how}: none", 3, "no key is known",
                    f"{scheme}://data/{KINDS[0]}/image.boot", option, where)
        refused(f"{scheme} {how}: no such object", 3, "NoSuchKey",
                f"{scheme}://data/none/image.boot", option, where, env=env)
        refused(f"{scheme} {how}: no such bucket", 3, "no such bucket",
                f"{scheme}://nowhere/image.boot", option, where, env=env)
        store.stop()


def settings(folder):
    """Where keys, regions and endpoints come from."""
    store = Store(objects(), (ID, SECRET, TOKEN), region="eu-north-7").start()
    image = f"s3://data/{KINDS[0]}/image.boot"
    where = f"http://127.0.0.1:{store.port}"
    same("variables", KINDS[0], image, env=dict(TOKENS, AWS_REGION="eu-north-7",
                                                AWS_ENDPOINT_URL=where))
    os.mkdir(os.path.join(folder, ".aws"))
    with open(os.path.join(folder, ".aws", "credentials"), "w", encoding="ascii") as f:
        f.write("# keys\n[default]\naws_access_key_id = OTHER\naws_secret_access_key=x\n"
                f"[ work ]\naws_access_key_id={ID}\n  aws_secret_access_key = {SECRET}\n"
                f"aws_session_token = {TOKEN}\n\n[more]\naws_access_key_id = THIRD\n")
    with open(os.path.join(folder, ".aws", "config"), "w", encoding="ascii") as f:
        f.write(f"[profile work]\nregion = eu-north-7\nendpoint_url = {where}\n")
    same("a profile", KINDS[0], image, env={"AWS_PROFILE": "work"})
    refused("the profile that goes without saying", 3, "InvalidAccessKeyId", image,
            "--s3-endpoint", where, "--s3-region", "eu-north-7")
    refused("no such profile", 3, "no profile nope", image, env={"AWS_PROFILE": "nope"})
    refused("another region", 3, "eu-north-7", image, "--s3-endpoint", where, env=TOKENS)
    same("--s3-region", KINDS[0], image, "--s3-endpoint", where, "--s3-region",
         "eu-north-7", env=dict(TOKENS, AWS_REGION="x"))
    refused("http elsewhere", 2, "--plain-http", image, "--s3-endpoint",
            "http://store.example", env=TOKENS)
    for url in ("http://store.example/a/image.boot", "http://a@store.example/x@127.0.0.1/boot",
                "http://127.0.0.1@store.example/boot", "http://127.0.0.1.store.example/boot"):
        refused("http elsewhere: " + url, 2, "--plain-http", url)
    refused("no endpoint for OSS", 2, "endpoint", f"oss://data/{KINDS[0]}/image.boot")
    refused("no object", 2, "which object", "s3://data", "--s3-endpoint", where)
    refused("half a key", 2, "go together", image, "--s3-endpoint", where,
            env={"AWS_ACCESS_KEY_ID": ID})
    store.log.clear()
    same("by virtual host", KINDS[0], image, "--s3-endpoint",
         f"http://localhost:{store.port}", "--s3-virtual-host", "--s3-region", "eu-north-7",
         env=TOKENS)
    report.check("the bucket was in the host", store.log and all(
        host.startswith("data.localhost:") for host, *_ in store.log), store.log[:2])
    store.stop()


def failing(name, behave, *, kind=KINDS[0]):
    store = Store(objects(), (ID, SECRET, TOKEN)).start()
    store.behave = behave
    same(name, kind, f"s3://data/{kind}/image.boot", "--s3-endpoint",
         f"http://127.0.0.1:{store.port}", env=TOKENS)
    store.stop()
    return store


def once_each(act):
    seen = set()

    def behave(handler, name, body, first, last):
        if (name, first) in seen:
            return False
        seen.add((name, first))
        act(handler, body, first, last)
        return True
    return behave


def cut(handler, body, first, last):
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
    handler.send_header("Content-Length", str(last - first + 1))
    handler.end_headers()
    handler.wfile.write(body[first:first + (last - first) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def faults():
    failing("what broke off goes on", once_each(cut))
    failing("503 is tried again", once_each(lambda h, b, f, l: h.give(503, error("SlowDown"))))
    failing("200 to a range", lambda h, n, b, f, l: h.give(200, b) or True)
    other = Store(objects()).start()
    failing("a redirect to another host", lambda h, n, b, f, l: h.give(
        307, b"", Location=f"http://127.0.0.1:{other.port}/{n.replace(' ', '%20')}") or True)
    report.check("gets no signature", other.log and not any(a for *_, a in other.log),
                 other.log[:2])
    other.stop()


def words():
    """What the store says, in one line, and nothing that it may have been told."""
    store = Store(objects(), (ID, SECRET, TOKEN)).start()
    image = f"s3://data/{KINDS[0]}/image.boot"
    where = ("--s3-endpoint", f"http://127.0.0.1:{store.port}")
    for name, says, answer in (
            ("a wrong clock", "2031-01-01T00:00:00Z", (403, error(
                "RequestTimeTooSkewed", "no", ServerTime="2031-01-01T00:00:00Z"))),
            ("another endpoint", "asked for at data.s3.eu.example", (301, error(
                "PermanentRedirect", "no", Endpoint="data.s3.eu.example"))),
            ("a redirect to nowhere", "301", (301, b"")),
            ("an archive", "InvalidObjectState: thaw it first",
             (403, error("InvalidObjectState", "thaw it first"))),
            ("400", "400 BadDigest", (400, error("BadDigest"))),
            ("no XML", "400", (400, b"<html>\x1b[31mno")),
            ("a token in the message", "AccessDenied)",
             (403, error("AccessDenied", "you sent " + TOKEN))),
            ("part of a token in the code", "403", (403, error(TOKEN[20:60], "x"))),
            ("an endless error", "403 A", (403, error("A", "x" * 4_000_000)))):
        store.refuse = answer
        refused(name, 3, says, image, *where, env=TOKENS)
    report.check("no escape goes to the terminal", b"\x1b" not in b"".join(printed))
    store.stop()


def registry_of(kind):
    """One that has a manifest and its bootstrap layer, and no blobs."""
    blobs, manifest, _ = oci.make_image(kind, with_blobs=False)
    files = {"v2/lib/app/blobs/" + digest: data for digest, data in blobs.items()}
    files["v2/lib/app/manifests/v1"] = manifest
    return Store(files).start()


def refused_data(name, image):
    run = rafs("cat", image, "/data/large")
    report.check(name, run.returncode == 3 and run.stdout == b"", shown(run))


def elsewhere(folder):
    """A manifest that lists the bootstrap alone, as nydusify writes it with a backend for
    blobs; a bootstrap in a file; an image whose own blobs are gone."""
    store = Store(objects(), (ID, SECRET, None)).start()
    where = f"http://127.0.0.1:{store.port}"
    bucket = ("--blob-source", "s3://data/nydus-", "--s3-endpoint", where)
    for kind in KINDS:
        files = oci.layout_files({"v1": oci.make_image(kind, with_blobs=False)})
        layout = oci.write_layout(os.path.join(folder, kind), files)
        same(f"layout and bucket {kind}", kind, f"oci:{layout}:v1", *bucket, env=KEYS)
        registry = registry_of(kind)
        image = f"docker://127.0.0.1:{registry.port}/lib/app:v1"
        refused_data(f"registry without blobs {kind}", image)
        same(f"registry and bucket {kind}", kind, image, *bucket, env=KEYS)
        registry.stop()
        boot = os.path.join(folder, kind + ".boot")
        shutil.copy(os.path.join(oci.GOLDEN, kind, "image.boot"), boot)
        same(f"file and bucket {kind}", kind, boot, *bucket, env=KEYS)
        whole = oci.layout_files({"v1": oci.make_image(kind)})
        whole = oci.write_layout(os.path.join(folder, "whole-" + kind), whole)
        same(f"file and layout {kind}", kind, boot, "--blob-source", f"oci:{whole}")
    same("OSS", KINDS[0], os.path.join(folder, KINDS[0] + ".boot"), "--blob-source",
         "oss://data/nydus-", "--oss-endpoint", where, env=KEYS)
    refused("an unknown kind of source", 2, "--blob-source",
            os.path.join(folder, KINDS[0] + ".boot"), "--blob-source", "ftp://x/")
    store.stop()
    store = Store(objects()).start()
    same("file and http", KINDS[0], os.path.join(folder, KINDS[0] + ".boot"),
         "--blob-source", f"http://127.0.0.1:{store.port}/data/{KINDS[0]}/blobs")
    store.stop()


# --- MinIO ------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def put(port, path, body):
    """A signed PUT; the path needs no escapes."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(body).hexdigest() if body else EMPTY
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": payload,
               "x-amz-date": date}
    scope = date[:8] + "/us-east-1/s3/aws4_request"
    signature = sign_v4("PUT", path, headers, sorted(headers), SECRET, scope, payload)
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ID}/{scope},SignedHeaders="
        f"{';'.join(n for n in sorted(headers))},Signature={signature}")
    link = http.client.HTTPConnection("127.0.0.1", port)
    link.request("PUT", path, body, headers)
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status


def put_until(port, path, body):
    """MinIO says 503 for a while after it said that it is ready."""
    end = time.monotonic() + 60
    status = put(port, path, body)
    while status == 503 and time.monotonic() < end:
        time.sleep(0.05)
        status = put(port, path, body)
    return status


def ready(child, port):
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        try:
            link = http.client.HTTPConnection("127.0.0.1", port)
            link.request("GET", "/minio/health/ready")
            if link.getresponse().status == 200:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def minio(folder):
    program = os.environ.get("MINIO") or shutil.which("minio")
    if not program:
        report.skip("MinIO", "there is no minio in PATH, and MINIO names none")
        return
    port = free_port()
    with open(os.path.join(folder, "log"), "wb") as log:
        child = subprocess.Popen(
            [program, "server", os.path.join(folder, "disk"), "--address", f"127.0.0.1:{port}",
             "--console-address", f"127.0.0.1:{free_port()}", "--certs-dir", folder],
            stdout=log, stderr=log,
            env=dict(ENV, HOME=folder, MINIO_ROOT_USER=ID, MINIO_ROOT_PASSWORD=SECRET,
                     MINIO_BROWSER="off", MINIO_UPDATE="off"))
    try:
        if not report.check("MinIO starts", ready(child, port)):
            return
        statuses = {put_until(port, "/data", b"")}
        statuses |= {put_until(port, "/" + name, body) for name, body in objects().items()
                     if " " not in name}
        report.check("MinIO takes objects", statuses == {200}, statuses)
        where = ("--s3-endpoint", f"http://127.0.0.1:{port}")
        for kind in KINDS:
            same(f"MinIO {kind}", kind, f"s3://data/{kind}/image.boot", *where, env=KEYS)
        boot = os.path.join(folder, "boot")
        shutil.copy(os.path.join(oci.GOLDEN, KINDS[0], "image.boot"), boot)
        same("MinIO for a file", KINDS[0], boot, "--blob-source", "s3://data/nydus-", *where,
             env=KEYS)
        image = f"s3://data/{KINDS[0]}/image.boot"
        refused("MinIO: wrong secret", 3, "SignatureDoesNotMatch", image, *where,
                env=dict(KEYS, AWS_SECRET_ACCESS_KEY=SECRET[::-1]))
        refused("MinIO: no key", 3, "AccessDenied", image, *where)
        refused("MinIO: no object", 3, "NoSuchKey", "s3://data/none/image.boot", *where,
                env=KEYS)
        refused("MinIO: no bucket", 3, "NoSuchBucket", "s3://nowhere/image.boot", *where,
                env=KEYS)
    finally:
        child.terminate()
        child.wait()


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as folder:
        ENV["HOME"] = folder
        for part, places in ((stores, 0), (settings, 1), (faults, 0), (words, 0),
                             (elsewhere, 1), (minio, 1)):
            where = os.path.join(folder, part.__name__)
            os.mkdir(where)
            ENV["HOME"] = where
            part(*[where][:places])
    told = b"".join(printed)
    for name, secret in (("secret", SECRET), ("reversed secret", SECRET[::-1]),
                         ("session token", TOKEN), ("part of it", TOKEN[20:60])):
        report.check(f"the {name} was never printed", secret.encode() not in told)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
