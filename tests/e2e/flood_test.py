"""Who floods a coordinator stops neither it nor its users: raw HTTP/2 frames, without a token or
with one, by clients of the same machine and user as those that are served meanwhile."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import harness
import raw_http2
from harness import SLOW, main, run

LONG = harness.LONG
SECONDS = 10 if LONG else 3
CONNECTIONS = 4
# Bars: memory at any time; a client's answer during a flood, and after it.
MEMORY = (1200 if SLOW else 400) << 20
DURING = 20 if SLOW else 2
AFTER = 20 if SLOW else 1
# Where tests run side by side, a client is given this much longer.
PATIENCE = 4


def memory(pid, field="VmRSS"):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
    return 0


def bar(seconds):
    return seconds if LONG else seconds * PATIENCE


class Watch(threading.Thread):
    """Ends a process that takes more memory than it may, before the machine suffers."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self._process, self._over = process, threading.Event()
        self.peak = 0

    def run(self):
        while not self._over.wait(0.05) and self._process.poll() is None:
            try:
                self.peak = max(self.peak, memory(self._process.pid))
            except (OSError, ValueError):
                return
            if self.peak > 2 * MEMORY:
                self._process.kill()

    def end(self):
        self._over.set()
        self.join()


class Victim(harness.Case):
    tls = ()  # flags of a client
    attack = {}  # the attacker's environment
    source = None  # where a storm's connections come from

    def coordinator(self, *args, descriptors=1024):
        """A coordinator on loopback with the token that it makes itself."""
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        log = open(self.path("log"), "wb")
        process = subprocess.Popen(
            [harness.BIN, "coordinator", "--listen", "127.0.0.1:0", *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, env=harness.environment(), preexec_fn=limit)
        log.close()
        self.addCleanup(self.stop, process)
        line = process.stdout.readline().decode()
        self.assertTrue(line.startswith("listening on "), line)
        self.address = line.split()[-1]
        self.host, port = self.address.rsplit(":", 1)
        self.port = int(port)
        self.watch = Watch(process)
        self.watch.start()
        self.addCleanup(self.watch.end)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()

    def answered(self):
        """How long a client with a token waits for its answer."""
        began = time.monotonic()
        result = run("list", "--coordinator", self.address, *self.tls, timeout=60)
        self.assertEqual(result.code, 0, str(result))
        return time.monotonic() - began

    def token(self):
        """The one that the coordinator left for its user."""
        name = os.path.join(os.environ["XDG_RUNTIME_DIR"], "merganser", self.address + ".token")
        with open(name, encoding="ascii") as f:
            return f.read().split()[0]

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def flood(self, kind, token=False, ca=None, args=()):
        """`token`: by somebody who has one. `ca`: over TLS, to a coordinator with `args`."""
        process = self.coordinator(*args)
        extra = dict(self.attack)
        if token:
            extra["FLOOD_TOKEN"] = self.token()
        if ca:
            extra["FLOOD_CA"] = ca
        usual = min(self.answered() for _ in range(3))
        attacker = subprocess.Popen(
            [sys.executable, raw_http2.__file__, kind, self.host, str(self.port),
             str(CONNECTIONS), str(SECONDS)], stdout=subprocess.PIPE,
            env=harness.environment(extra))
        times = []
        try:
            while attacker.poll() is None:
                times.append(self.answered())
                time.sleep(0.1)
        finally:
            if attacker.poll() is None:
                attacker.kill()
            sent = attacker.communicate()[0].decode().strip()
        after = self.answered()
        self.assertIsNone(process.poll())
        peak = max(self.watch.peak, memory(process.pid, "VmHWM"))
        print("%s: %s, peak %d MB, answered in %.2f s (%.2f usual, %.2f after)"
              % (kind, sent, peak >> 20, max(times), usual, after), file=sys.stderr)
        self.assertGreater(len(times), 1)
        self.assertLess(peak, MEMORY)
        self.assertLess(max(times), bar(DURING))
        self.assertLess(after, bar(AFTER))
        # A few lines say what happened, however much did.
        lines = self.log().splitlines()
        self.assertLess(len(lines), 12, lines)

    def storm(self, greeting, *args):
        """More connections than there are descriptors, that stay; a client is answered while
        they are there, and when they are gone."""
        process = self.coordinator(*args)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        clients = []
        try:
            for i in range(1100):
                # A proxy may refuse one whose address has too many.
                with contextlib.suppress(OSError):
                    client = socket.create_connection((self.host, self.port), 5, self.source)
                    clients.append(client)
                    client.setblocking(False)
                    client.send(greeting)
                if i % 300 == 299:
                    self.assertLess(self.answered(), bar(5))
            self.assertLess(self.answered(), bar(5))
            self.assertGreater(len(clients), 400)
        finally:
            for client in clients:
                client.close()
        self.assertLess(self.answered(), bar(5))
        self.assertIsNone(process.poll())
        self.assertLess(max(self.watch.peak, memory(process.pid, "VmHWM")), MEMORY)

    def certify(self):
        """A key and a certificate for 127.0.0.1: flags of the coordinator, and `tls` of clients."""
        key, cert = self.path("key.pem"), self.path("cert.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=coordinator",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True, capture_output=True)
        self.tls = ("--tls-ca", cert)
        return "--tls-cert", cert, "--tls-key", key


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
        held = self.hold(raw_http2.SYNC, tokens["wanda"], self.sync)
        self.eventually(lambda: not self.serving())
        for name in ("alice", "bob"):
            result = self.list_as(name)
            self.assertEqual(result.code, 0, str(result))
        for client in held:
            client.close()
        self.eventually(self.serving)

    def sync(self, stream):
        """A SyncRequest of a worker of that number: worker, sequence, numerics_version."""
        return b"\x0a\x05%05d\x10\x01\x20%c" % (stream, self.numerics)


class ListenTest(harness.Case):
    def test_what_is_no_address_is_refused(self):
        for listen, words in [("127.0.0.1:99999", "a port above 65535"),
                              ("unix:/tmp/x", "a path"), ("127.0.0.1", "no port")]:
            with self.subTest(listen=listen):
                result = run("coordinator", "--listen", listen, timeout=30)
                self.assertOneError(result, 2, "--listen " + listen, words)


if __name__ == "__main__":
    main()
