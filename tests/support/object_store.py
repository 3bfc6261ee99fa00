# SPDX-License-Identifier: Apache-2.0
"""A stand-in for S3 and OSS that computes every signature anew, from the documents of the
services and not from our code, and fails as it is told."""
import base64
import datetime
import email.utils
import hashlib
import hmac
import http.server
import threading
import urllib.parse

EMPTY = hashlib.sha256(b"").hexdigest()


def mac(key, text, kind=hashlib.sha256):
    return hmac.new(key, text.encode(), kind).digest()


def sign_v4(method, path, headers, names, secret, scope, payload):
    """The signature in hex. headers: by lower-case name; scope: DAY/REGION/SERVICE/…"""
    day, region, service, _ = scope.split("/")
    canonical = "\n".join([method, path, ""] +
                          [f"{n}:{headers[n].strip()}" for n in names] +
                          ["", ";".join(names), payload])
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = mac(key, part)
    return mac(key, text).hex()


class Store:
    """What the server below has and does."""

    def __init__(self, objects, key=None, region="us-east-1"):
        self.objects = objects  # "bucket/name" -> bytes
        self.key = key          # (id, secret, token or None); None: everybody may read
        self.region = region
        self.behave = None      # called with (handler, name, body, first, last)
        self.refuse = None      # (status, XML) for whatever is asked
        self.log = []           # (host, path, Range, Authorization)
        self.lock = threading.Lock()

    def start(self):
        self.server = Server(self)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store):
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store

    def handle_error(self, request, client_address):
        """A client that goes away is what some tests are about."""


def error(code, message="", **more):
    extra = "".join(f"<{k}>{v}</{k}>" for k, v in more.items())
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
            f"<Message>{message}</Message>{extra}<RequestId>1</RequestId></Error>").encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart

    def log_message(self, *args):
        pass

    def give(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def place(self):
        """Bucket and name, whichever style the request has."""
        name = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/")
        host = self.headers["Host"].split(":")[0]
        if host.endswith(".localhost"):
            return host[:-len(".localhost")] + "/" + name
        return name

    def check_v4(self, authorization):
        """None, or what is wrong."""
        key_id, secret, token = self.server.store.key
        fields = dict(part.strip().split("=", 1)
                      for part in authorization.split(" ", 1)[1].split(","))
        names = fields["SignedHeaders"].split(";")
        headers = {n.lower(): v for n, v in self.headers.items()}
        used, scope = fields["Credential"].split("/", 1)
        if used != key_id:
            return error("InvalidAccessKeyId", "The key does not exist in our records.")
        must = {"host"} | {n for n in headers if n.startswith("x-amz-")}
        if not must <= set(names) or names != sorted(names):
            return error("AccessDenied", "not all headers are signed")
        if scope.split("/")[1] != self.server.store.region:
            return error("AuthorizationHeaderMalformed", "the region is wrong",
                         Region=self.server.store.region)
        if headers.get("x-amz-security-token") != token:
            return error("InvalidToken", "The provided token is malformed.")
        now = datetime.datetime.now(datetime.timezone.utc)
        date = datetime.datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        if abs((now - date).total_seconds()) > 900 or scope[:8] != headers["x-amz-date"][:8]:
            return error("RequestTimeTooSkewed", "the clock is wrong")
        payload = headers["x-amz-content-sha256"]
        if payload != EMPTY or fields["Signature"] != sign_v4(
                self.command, self.path.split("?")[0], headers, names, secret, scope, payload):
            return error("SignatureDoesNotMatch", "The signature does not match.")
        return None

    def check_oss(self, authorization):
        key_id, secret, token = self.server.store.key
        used, signature = authorization[4:].split(":")
        if used != key_id:
            return error("InvalidAccessKeyId", "The key does not exist in our records.")
        if self.headers.get("x-oss-security-token") != token:
            return error("InvalidSecurityToken", "the token is wrong")
        date = email.utils.parsedate_to_datetime(self.headers["Date"])
        now = datetime.datetime.now(datetime.timezone.utc)
        if abs((now - date).total_seconds()) > 900:
            return error("RequestTimeTooSkewed", "the clock is wrong")
        more = "".join(f"{n.lower()}:{v}\n" for n, v in sorted(self.headers.items())
                       if n.lower().startswith("x-oss-"))
        text = f"{self.command}\n\n\n{self.headers['Date']}\n{more}/{self.place()}"
        wanted = base64.b64encode(mac(secret.encode(), text, hashlib.sha1)).decode()
        return None if wanted == signature else error("SignatureDoesNotMatch", "wrong")

    def complaint(self):
        authorization = self.headers.get("Authorization", "")
        if self.server.store.key is None:
            return None
        if authorization.startswith("AWS4-HMAC-SHA256 "):
            return self.check_v4(authorization)
        if authorization.startswith("OSS "):
            return self.check_oss(authorization)
        return error("AccessDenied", "Access Denied")

    def do_GET(self):
        store = self.server.store
        with store.lock:
            store.log.append((self.headers["Host"], self.path, self.headers.get("Range"),
                              self.headers.get("Authorization")))
        if store.refuse:
            self.give(*store.refuse)
            return
        wrong = self.complaint()
        if wrong:
            self.give(403, wrong)
            return
        name = self.place()
        body = store.objects.get(name)
        if body is None:
            code = "NoSuchKey" if any(o.startswith(name.split("/")[0] + "/")
                                      for o in store.objects) else "NoSuchBucket"
            self.give(404, error(code, "it does not exist", Region=store.region))
            return
        first, last = 0, len(body) - 1
        asked = self.headers.get("Range")
        if asked:
            first, last = asked[6:].split("-")
            first, last = int(first), min(int(last or len(body)), len(body) - 1)
        if store.behave and store.behave(self, name, body, first, last):
            return
        if asked:
            self.give(206, body[first:last + 1],
                      Content_Range=f"bytes {first}-{last}/{len(body)}")
        else:
            self.give(200, body)
