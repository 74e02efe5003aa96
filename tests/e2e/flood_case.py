"""A coordinator that is flooded: what its memory may be, and how long a client waits meanwhile."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import certificates
import harness
import processes
import raw_http2
from harness import LONG, SLOW, run

SECONDS = 10 if LONG else 3
CONNECTIONS = 4
# Bars: memory at any time; a client's answer during a flood, and after it.
MEMORY = (1200 if SLOW else 400) << 20
DURING = 20 if SLOW else 2
AFTER = 20 if SLOW else 1
# Where tests run side by side, a client is given this much longer.
PATIENCE = 4


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
                self.peak = max(self.peak, processes.memory(self._process.pid))
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
        peak = max(self.watch.peak, processes.memory(process.pid, "VmHWM"))
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
        self.assertLess(max(self.watch.peak, processes.memory(process.pid, "VmHWM")), MEMORY)

    def certify(self):
        """A key and a certificate for 127.0.0.1: flags of the coordinator, and `tls` of clients."""
        cert, key = certificates.make(self.dir, "coordinator", "IP:127.0.0.1")
        self.tls = ("--tls-ca", cert)
        return "--tls-cert", cert, "--tls-key", key
