#!/usr/bin/python3
"""A coordinator's web side without a coordinator: the dashboard's pages from the source tree, over a
feed of made-up jobs (dashboard_feed.py).

usage: dashboard_server.py [--port N] [--jobs N] [--workers N] [--layers N]

Serves pages, JSON and events as the coordinator does, with its content security policy. By hand it
plays a running merge whose picture fills in, until it is interrupted.
"""

import argparse
import contextlib
import functools
import http.server
import json
import os
import queue
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import dashboard_data as made
from dashboard_feed import Feed, Refused
from dashboard_pictures import Picture, report_page
from harness import SOURCE

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
SHELL = re.compile(r"/(|jobs(/[^/]+)?|compare|submit|workers|login)")


@functools.lru_cache(maxsize=None)
def join_pages():
    """What the coordinator has embedded (coordinator/web/join_live.cmake)."""
    web = os.path.join(SOURCE, "coordinator", "web")
    with tempfile.TemporaryDirectory(prefix="pages-") as folder:
        folder = os.path.join(folder, "static")
        subprocess.run(
            [
                "cmake",
                "-DPAGES=" + os.path.join(web, "pages"),
                "-DOUT_DIR=" + folder,
                "-P",
                os.path.join(web, "join_live.cmake"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as f:
                found[name] = f.read()
        return found


class Stream(queue.Queue):
    def __init__(self, view):
        super().__init__()
        self.view = view


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused):
        pass

    def reply(self, code, content, type_, **headers):
        self.send_response(code)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def json(self, code, value, **headers):
        self.reply(
            code,
            json.dumps(value).encode(),
            "application/json",
            Cache_Control="no-store",
            **headers
        )

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def do_DELETE(self):
        self.serve("DELETE")

    def serve(self, method):
        feed = self.server.feed
        address = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with feed.lock:
            feed.requests.append((method, self.path))
        if address.path.startswith("/static/"):
            return self.static(address.path[len("/static/") :])
        if SHELL.fullmatch(address.path):
            return self.reply(
                200,
                self.server.pages["index.html"],
                TYPES["html"],
                Cache_Control="no-cache",
                Content_Security_Policy=POLICY,
                Referrer_Policy="same-origin",
            )
        if not address.path.startswith("/api/v1/"):
            return self.reply(404, b"no such page\n", "text/plain; charset=utf-8")
        path = address.path[len("/api/v1") :]
        try:
            if feed.refusing:
                raise Refused(feed.refusing, "UNAVAILABLE", "refused by the test")
            if method != "GET" and self.headers.get("X-Merganser") != "1":
                raise Refused(403, "PERMISSION_DENIED", "a change needs the header X-Merganser")
            return self.api(
                method, path, dict(urllib.parse.parse_qsl(address.query)), json.loads(body or b"{}")
            )
        except Refused as refused:
            return self.json(refused.code, refused.body)
        except (BrokenPipeError, ConnectionResetError):
            # The page went on meanwhile.
            self.close_connection = True
            return None

    def static(self, name):
        content = self.server.pages.get(name)
        if content is None or name == "index.html":
            return self.reply(404, b"no such file\n", "text/plain; charset=utf-8")
        return self.reply(
            200,
            content,
            TYPES[name.rsplit(".", 1)[1]],
            Content_Security_Policy=POLICY,
            Cache_Control="public, max-age=31536000, immutable",
        )

    def api(self, method, path, ask, body):
        feed = self.server.feed
        if path == "/session" and method == "POST":
            if body.get("token") != feed.token:
                raise Refused(401, "UNAUTHENTICATED", "unknown token", "TOKEN_UNKNOWN")
            feed.sessions.add("s1")
            return self.json(
                200, {}, Set_Cookie="merganser-a1b2=s1; Path=/; HttpOnly; SameSite=Lax"
            )
        if path == "/session" and method == "DELETE":
            feed.sessions.clear()
            return self.json(200, {}, Set_Cookie="merganser-a1b2=; Path=/; Max-Age=0")
        if feed.token and not (
            "s1" in feed.sessions and "merganser-a1b2=s1" in (self.headers.get("Cookie") or "")
        ):
            raise Refused(401, "UNAUTHENTICATED", "sign in", "TOKEN_MISSING")
        if path == "/events":
            return self.events(ask)
        if path == "/plan" and feed.plan_delay:
            time.sleep(feed.plan_delay)
        with feed.lock:
            answer = feed.answer(method, path, ask, body)
            content = json.dumps(answer).encode()
        return self.reply(200, content, "application/json", Cache_Control="no-store")

    def events(self, ask):
        feed = self.server.feed
        if feed.events_status != 200:
            raise Refused(feed.events_status, "UNAVAILABLE", "64 dashboards are open")
        view = ask["name"] if ask["view"] == "job" else ask["view"]
        stream = Stream(view)
        with feed.lock:
            last = self.headers.get("Last-Event-ID")
            missed = self.missed(feed, view, last)
            feed.streams.append(stream)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for entry in missed:
                self.event(entry)
            if not missed and not feed.silent:
                self.wfile.write(b": here\n\n")
            while True:
                try:
                    entry = stream.get(timeout=feed.heartbeat)
                except queue.Empty:
                    if not feed.silent:
                        self.wfile.write(b": still here\n\n")
                    continue
                if entry is None:
                    return
                if not feed.silent:
                    self.event(entry)
        except (OSError, ValueError):
            pass
        finally:
            with feed.lock:
                feed.streams.remove(stream)

    @staticmethod
    def missed(feed, view, last):
        if not last:
            return []
        epoch, sequence = last.split(".")
        oldest = feed.sent[0][0] if feed.sent else feed.sequence + 1
        if int(epoch) != feed.epoch or int(sequence) + 1 < oldest:
            return [(feed.sequence, None, "reset", {})]
        return [
            entry for entry in feed.sent if entry[0] > int(sequence) and entry[1] in (None, view)
        ]

    def event(self, entry):
        sequence, _, name, data = entry
        self.wfile.write(
            b"id: %d.%d\nevent: %s\ndata: %s\n\n"
            % (self.server.feed.epoch, sequence, name.encode(), json.dumps(data).encode())
        )


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # Browsers break off connections as they please.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(feed, port=0):
    """Yields the address of the pages."""
    pages = join_pages()
    server = Server(("127.0.0.1", port), Handler)
    server.feed, server.pages = feed, pages
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_address[1]
    finally:
        feed.break_streams()
        server.shutdown()
        server.server_close()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--port", type=int, default=8470)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--layers", type=int, default=28)
    arguments = parser.parse_args()
    now = time.time()
    with tempfile.TemporaryDirectory() as folder:
        picture = Picture(report_page(folder, arguments.layers))
    feed = Feed(
        made.some_jobs(now, arguments.jobs), made.some_workers(now, arguments.workers), picture
    )
    with serving(feed, arguments.port) as url:
        print(url, flush=True)
        while True:
            time.sleep(1)
            feed.measure("jobs/00000001", (feed.measured + 2) % len(picture.gates))
            feed.send("activity", {"version": int(time.time())}, "jobs/00000001")
            feed.send("cluster", feed.cluster())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
