"""Who floods a coordinator stops neither it nor its users: raw HTTP/2 frames, without a token or
with one, by clients of the same machine and user as those that are served meanwhile."""

import os
import re
import socket
import time

import harness
import raw_http2
from flood_case import Victim
from harness import main, run


class FloodTest(Victim):
    def test_streams_opened_and_reset(self):
        self.flood("reset")

    def test_streams_opened_and_left(self):
        self.flood("leave")

    def test_calls_without_a_token(self):
        self.flood("calls")

    def test_watches_of_health(self):
        self.flood("health")

    def test_messages(self):
        self.flood("messages")

    def test_messages_of_a_user(self):
        self.flood("messages", token=True)

    def test_streams_opened_and_reset_by_a_user(self):
        self.flood("reset", token=True)

    def test_streams_opened_and_left_by_a_user(self):
        self.flood("leave", token=True)

    def test_settings(self):
        self.flood("settings")

    def test_pings(self):
        self.flood("ping")

    def test_empty_frames(self):
        self.flood("empty")

    def test_headers_without_an_end(self):
        self.flood("continuation")


class TlsTest(Victim):
    """The same where a token is all that strangers lack, over TLS."""

    def setUp(self):
        super().setUp()
        self.flags = self.certify()

    def test_streams_opened_and_reset(self):
        self.flood("reset", ca=self.tls[1], args=self.flags)

    def test_streams_opened_and_left(self):
        self.flood("leave", ca=self.tls[1], args=self.flags)

    def test_messages(self):
        self.flood("messages", ca=self.tls[1], args=self.flags)

    def test_streams_of_who_lacks_a_certificate(self):
        cert, key = self.flags[1], self.flags[3]
        self.tls += ("--tls-cert", cert, "--tls-key", key)
        self.flood("reset", ca=cert, args=(*self.flags, "--tls-client-ca", cert))

    def test_handshakes_without_an_end(self):
        self.storm(b"\x16\x03\x01\x02\x00\x01", *self.flags)


class DeafTest(Victim):
    def test_silent_connections(self):
        self.storm(b"")

    def test_connections_that_greet_and_are_silent(self):
        self.storm(raw_http2.GREETING)

    def test_an_answer_says_why(self):
        self.coordinator()
        with socket.create_connection((self.host, self.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            frames = raw_http2.read_frames(client, lambda f: len(f) == 2)
        self.assertEqual([f[0] for f in frames], [raw_http2.SETTINGS, raw_http2.GOAWAY])
        self.assertIn(b"HTTP/2", frames[1][3])


class CallTest(Victim):
    """What calls are told before they cost anything."""

    def call(self, path, token=None, size=0, body=b""):
        """The answer's header block: literals, as the front writes them."""
        with socket.create_connection((self.host, self.port), 5) as client:
            client.sendall(raw_http2.GREETING + raw_http2.frame(
                raw_http2.HEADERS, raw_http2.END_HEADERS, 1, raw_http2.headers(path, token)))
            client.sendall(raw_http2.frame(raw_http2.DATA, 0, 1, b"\0" + size.to_bytes(4, "big") +
                                           body))
            frames = raw_http2.read_frames(
                client, lambda f: any(x[0] == raw_http2.HEADERS for x in f), 30)
        return [f[3] for f in frames if f[0] == raw_http2.HEADERS][0]

    def assertStatus(self, block, status, *words):
        self.assertIn(b"\x0bgrpc-status" + bytes([len(str(status))]) + str(status).encode(), block)
        for word in words:
            self.assertIn(word.encode(), block)

    def test_messages_are_limited_by_who_sends_them(self):
        self.coordinator()
        token = self.token()
        # Without a token at once, however much is to come.
        self.assertStatus(self.call(raw_http2.CREATE, size=60 << 20), 16, "found no token")
        self.assertStatus(self.call(raw_http2.CREATE, token + "x", 60 << 20), 16,
                          "none of this coordinator's")
        self.assertStatus(self.call(raw_http2.CREATE, token, 3 << 20), 8,
                          "found a message of 3145728 bytes, expected at most 2359296")
        self.assertStatus(self.call("/merganser.v1.WorkerService/Sync", token, 65 << 20), 8,
                          "expected at most 67108864")
        self.assertStatus(self.call("/grpc.health.v1.Health/Check", None, 20 << 10), 8,
                          "expected at most 16384")


class PlaceTest(Victim):
    """Calls whose answers nobody takes hold threads. No owner holds so many that others are not
    served, and neither do workers."""

    def coordinator_with_tokens(self):
        lines = {name: "the-token-of-%s" % name for name in ("alice", "bob", "wanda")}
        self.write_private("tokens", "%s submit alice\n%s read bob\n%s work wanda\n" % tuple(
            lines.values()))
        for name, token in lines.items():
            self.write_private(name, token + "\n")
        return self.coordinator("--token-file", self.path("tokens")), lines

    def write_private(self, name, text):
        with open(os.open(self.path(name), os.O_CREAT | os.O_WRONLY, 0o600), "w",
                  encoding="ascii") as f:
            f.write(text)

    def list_as(self, name):
        return run("list", "--coordinator", self.address, "--token-file", self.path(name),
                   timeout=60)

    def hold(self, path, token, body=lambda stream: b""):
        """400 calls on two connections, whose answers are never taken."""
        clients = []
        for _ in range(2):
            client = socket.create_connection((self.host, self.port), 5)
            self.addCleanup(client.close)
            client.sendall(raw_http2.GREETING_SHUT)
            for first in range(1, 400, 40):
                client.sendall(raw_http2.whole_calls(path, token, range(first, first + 40, 2),
                                                     body))
                time.sleep(0.05)
            clients.append(client)
        return clients

    def eventually(self, what, seconds=30):
        end = time.monotonic() + seconds
        while not what() and time.monotonic() < end:
            time.sleep(0.1)
        self.assertTrue(what())

    def serving(self):
        return run("health", "--coordinator", self.address, timeout=60).code == 0

    def test_an_owner_leaves_places_for_others(self):
        _, tokens = self.coordinator_with_tokens()
        held = self.hold(raw_http2.LIST, tokens["alice"])
        for _ in range(5):
            result = self.list_as("bob")
            self.assertEqual(result.code, 0, str(result))
        result = self.list_as("alice")
        self.assertOneError(result, 4, "too many calls of alice in progress")
        self.assertTrue(self.serving())
        for client in held:
            client.close()
        self.eventually(lambda: self.list_as("alice").code == 0)

    def test_health_tells_when_workers_have_no_place(self):
        _, tokens = self.coordinator_with_tokens()
        # A worker of other numerics would be told so at once, and hold no place.
        self.numerics = int(re.search(r"numerics (\d+)", run("--version").out).group(1))
        with open(os.path.join(harness.SOURCE, "proto/convert/wire_version.h"), encoding="utf-8") as f:
            self.wire = int(re.search(r"kWireVersion = (\d+)", f.read()).group(1))
        held = self.hold(raw_http2.SYNC, tokens["wanda"], self.sync)
        self.eventually(lambda: not self.serving())
        for name in ("alice", "bob"):
            result = self.list_as(name)
            self.assertEqual(result.code, 0, str(result))
        for client in held:
            client.close()
        self.eventually(self.serving)

    def sync(self, stream):
        """A SyncRequest of a worker of that number: worker, sequence, numerics_version,
        wire_version."""
        return b"\x0a\x05%05d\x10\x01\x20%c\x80\x01%c" % (stream, self.numerics, self.wire)


class ListenTest(harness.Case):
    def test_what_is_no_address_is_refused(self):
        for listen, words in [("127.0.0.1:99999", "a port above 65535"),
                              ("unix:/tmp/x", "a path"), ("127.0.0.1", "no port")]:
            with self.subTest(listen=listen):
                result = run("coordinator", "--listen", listen, timeout=30)
                self.assertOneError(result, 2, "--listen " + listen, words)


if __name__ == "__main__":
    main()
