"""A coordinator's HTTP side flooded: silence, headers and bodies without an end, streams and answers that
nobody reads, requests as fast as they go; others are answered meanwhile."""

import contextlib
import http.client
import socket
import threading
import time

import harness
import processes
from http_case import HttpCase, bearer, token


class AbuseTest(HttpCase):
    """Others are answered beside each of these, and memory stays where it was."""

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.running, self.site = stack.enter_context(self.cluster())
        self.sockets = []
        self.addCleanup(lambda: [s.close() for s in self.sockets])
        self.site.get("/metrics")
        self.before = processes.memory(self.running.coordinator.pid)

    def alive(self):
        """The best of a few: the machine may be busy."""
        best = 10
        for _ in range(8):
            begin = time.monotonic()
            self.assertEqual(self.site.get("/healthz").status, 200)
            best = min(best, time.monotonic() - begin)
        self.assertLess(best, 0.1 if not harness.SLOW else 2)
        if not harness.SLOW:
            self.assertLess(processes.memory(self.running.coordinator.pid) - self.before, 96 << 20)

    def open(self):
        client = self.site.raw()
        self.sockets.append(client)
        return client

    def pour(self, begin, block, most, pause=0):
        """Sends until it is cut off; returns how much."""
        client, sent = self.open(), 0
        with contextlib.suppress(OSError):
            client.sendall(begin)
            while sent < most:
                client.sendall(block)
                sent += len(block)
        return sent

    def test_silence_and_slowness(self):
        for i in range(1000):
            try:
                client = self.open()
                client.sendall((b"", b"GET /heal", b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\n"
                                b"Content-Length: 100\r\n\r\nx")[i % 3])
            except OSError:
                pass
            if i % 250 == 0:
                self.alive()
        self.alive()

    def test_headers_and_bodies_without_an_end(self):
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        self.assertLess(self.pour(head, b"a: b\r\n" * 1000, 64 << 20), 32 << 20)
        self.assertLess(self.pour(head + b"A: ", b"a" * 65536, 64 << 20), 32 << 20)
        self.assertLess(self.pour(b"GET /", b"a" * 65536, 64 << 20), 32 << 20)
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        for path in (b"/healthz", b"/api/v1/session", b"/api/v1/jobs"):
            begin = (b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nX-Merganser: 1\r\nSec-Fetch-Site: "
                     b"same-origin\r\nAuthorization: Bearer " + token("submit").encode() +
                     b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.assertLess(self.pour(begin, chunk, 64 << 20), 32 << 20, path)
        self.alive()

    def test_streams_that_nobody_reads(self):
        statuses = []
        for _ in range(200):
            client = self.open()
            client.sendall(b"GET /api/v1/events?view=jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
                           b"Bearer " + token("read").encode() + b"\r\n\r\n")
            statuses.append(client.recv(20).split()[1])
        self.assertIn(b"200", statuses)
        self.assertIn(b"503", statuses)  # one owner gets half
        self.alive()
        # Another one finds a place.
        other = self.site.connect()
        other.request("GET", "/api/v1/events?view=jobs", headers=bearer("submit"))
        self.assertEqual(other.getresponse().status, 200)
        other.close()
        for client in self.sockets:
            client.close()
        harness.wait_for("free places", lambda: self.stream_status() == 200, limit=30, pause=0.1)

    def stream_status(self):
        connection = self.site.connect()
        try:
            connection.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            return connection.getresponse().status
        finally:
            connection.close()

    def test_answers_that_nobody_reads(self):
        for _ in range(100):
            client = self.open()
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        self.alive()
        self.assertEqual(self.site.ask("GET", "/api/v1/jobs", headers=bearer("read")).status, 200)

    def test_many_who_ask_at_once(self):
        stop = threading.Event()

        def hammer():
            while not stop.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.site.ask("GET", "/api/v1/jobs", headers=bearer("read"))
        threads = [threading.Thread(target=hammer) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            answers = []
            for _ in range(20):
                begin = time.monotonic()
                self.assertEqual(self.site.get("/metrics").status, 200)
                answers.append(time.monotonic() - begin)
            # gRPC is another door: it is served meanwhile.
            listed = self.running.client("list", "--token-file", self.path("submit"))
            self.assertEqual(listed.code, 0, str(listed))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertLess(sorted(answers)[len(answers) // 2], 1 if not harness.SLOW else 10)


if __name__ == "__main__":
    harness.main()
