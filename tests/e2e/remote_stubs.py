"""Web servers on loopback that models are read from: one with plain files, one that answers as the
Hugging Face hub does, and the server that the hub sends readers to."""

import hashlib
import http.server
import json
import os
import ssl
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """A server whose `answer(request)` is told of every request. A context manager."""

    def __init__(self, certificate=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Or every answer waits for an acknowledgement.
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self):
                outer.take(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        self.requests, self._lock = [], threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake is the connection's own thread's.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
            scheme = "https"
        self.url = "%s://127.0.0.1:%d" % (scheme, self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request):
        with self._lock:
            self.requests.append((request.command, request.path, dict(request.headers)))
        self.answer(request)

    def answer(self, request):
        raise NotImplementedError

    @staticmethod
    def send(request, code, headers=(), body=b""):
        request.send_response(code)
        for name, value in dict(headers).items():
            request.send_header(name, value)
        if "Content-Length" not in dict(headers):
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def send_file(self, request, body, headers=()):
        """All of it, or the range that was asked for."""
        headers = dict(headers)
        wanted = request.headers.get("Range")
        if not wanted:
            return self.send(request, 200, headers, body)
        first, last = wanted[len("bytes="):].split("-")
        begin, end = int(first), min(int(last) + 1, len(body))
        headers["Content-Range"] = "bytes %d-%d/%d" % (begin, end - 1, len(body))
        return self.send(request, 206, headers, body[begin:end])


def read(path):
    with open(path, "rb") as f:
        return f.read()


def of_folder(folder):
    return {name: read(os.path.join(folder, name)) for name in os.listdir(folder)
            if os.path.isfile(os.path.join(folder, name))}


class Site(Server):
    """Folders by name, with what a web server tells of files. Attributes are its moods."""

    def __init__(self, folders, **kw):
        super().__init__(**kw)
        self.files = {"/%s/%s" % (os.path.basename(folder), name): body
                      for folder in folders for name, body in of_folder(folder).items()}
        self.etag = '"%s"'  # of a file's hash; None: none
        self.modified = "Fri, 24 May 2013 00:00:00 GMT"
        self.ranges = True
        self.token = None
        self.redirects = {}
        self.before = lambda path: None  # called before a file is sent

    def answer(self, request):
        path = request.path
        if path in self.redirects:
            return self.send(request, 302, {"Location": self.redirects[path]})
        if self.token and request.headers.get("Authorization") != "Bearer " + self.token:
            return self.send(request, 401)
        if request.headers.get("Range"):
            self.before(path)
        if path not in self.files:
            return self.send(request, 404)
        body, headers = self.files[path], {}
        if self.etag:
            headers["ETag"] = self.etag % hashlib.sha256(body).hexdigest()[:20]
        if self.modified:
            headers["Last-Modified"] = self.modified
        if request.headers.get("If-Match", headers.get("ETag")) != headers.get("ETag"):
            return self.send(request, 412)
        if not self.ranges:
            return self.send(request, 200, headers, body)
        return self.send_file(request, body, headers)


class Hub(Server):
    """Models by name; large files are at `elsewhere`, at addresses with a signature."""

    def __init__(self, models, elsewhere, **kw):
        super().__init__(**kw)
        self.models = {name: of_folder(folder) for name, folder in models.items()}
        self.elsewhere = elsewhere
        self.token = None
        self.gated = {}  # by name: the code
        self.busy = 0    # so many answers are 429
        self.etags = {}  # by name and path: another than that of the content

    def etag(self, name, path):
        return self.etags.get((name, path)) or hashlib.sha256(self.models[name][path]).hexdigest()

    def answer(self, request):
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        if self.busy > 0:
            self.busy -= 1
            return self.send(request, 429)
        parts = path.lstrip("/").split("/")
        api = parts[:2] == ["api", "models"]
        if api:
            parts = parts[2:]
        name, action, revision, rest = "/".join(parts[:2]), parts[2], parts[3], "/".join(parts[4:])
        if name in self.gated:
            return self.send(request, self.gated[name], {"X-Error-Code": "GatedRepo"})
        if self.token and request.headers.get("Authorization") != "Bearer " + self.token:
            return self.send(request, 401, {"X-Error-Code": "RepoNotFound"})
        if name not in self.models:
            return self.send(request, 404, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self.send(request, 404, {"X-Error-Code": "RevisionNotFound"})
        files = self.models[name]
        if api:
            body = json.dumps({"id": name, "sha": COMMIT, "siblings": [
                {"rfilename": f, "size": len(body), "blobId": self.etag(name, f)}
                for f, body in sorted(files.items())]}).encode()
            return self.send(request, 200, {"Content-Type": "application/json"}, body)
        assert action == "resolve", path
        if rest not in files:
            return self.send(request, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": COMMIT, "ETag": '"%s"' % self.etag(name, rest)}
        if not rest.endswith(".safetensors"):
            return self.send_file(request, files[rest], headers)
        headers.update({"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(files[rest])),
                        "ETag": '"of-the-redirect"',
                        "Location": self.elsewhere.signed(name, rest)})
        return self.send(request, 302, headers)


class Elsewhere(Server):
    """Where the hub keeps large files: whoever has the signature of the moment may read."""

    def __init__(self, models, **kw):
        super().__init__(**kw)
        self.models = {name: of_folder(folder) for name, folder in models.items()}
        self.signature = "first-secret"
        self.before = lambda path: None  # called of every request
        self.after = lambda path: None   # of one that is answered

    def signed(self, name, path):
        return "%s/%s/%s?X-Signature=%s" % (self.url, name, path, self.signature)

    def answer(self, request):
        url = urllib.parse.urlsplit(request.path)
        self.before(url.path)
        if urllib.parse.parse_qs(url.query).get("X-Signature") != [self.signature]:
            return self.send(request, 403, body=b"Request has expired")
        self.after(url.path)
        org, name, path = url.path.lstrip("/").split("/", 2)
        return self.send_file(request, self.models[org + "/" + name][path],
                              {"ETag": '"of-another-kind"'})
