"""A coordinator behind HAProxy and nginx, each with the very file that deploy/proxy has for it: jobs,
a watch that is silent for longer than the proxy's patience, and floods."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import harness
import raw_http2
from flood_case import Victim
from harness import LONG, run, wait_for
from http_case import Site
from ports import free_port

FOLDER = os.path.join(harness.SOURCE, "deploy", "proxy")
FROM = "127.0.0.2"  # whoever floods: the proxy's limits are by source
# The coordinator's pings to who has a call in progress.
PING = 20
# A watch's silence, and the proxies' patience with it. The whole of both takes ten minutes.
IDLE, PATIENCE = (610, None) if LONG else (27, 23)


def text_of(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return f.read()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def replaced(text, *pairs):
    for old, new in pairs:
        if old not in text:
            raise AssertionError("found no %r" % old)
        text = text.replace(old, new)
    return text


class Haproxy:
    """What a test changes in the file, and how the program is started with it."""
    name = "haproxy"

    @staticmethod
    def configured(port, coordinator, patience, identity, pages):
        """`pages`: the port for HTTP, and the coordinator's."""
        tls = " ssl crt %s alpn h2" % identity if identity else ""
        text = replaced(text_of("haproxy.cfg"), ("bind :7470", "bind 127.0.0.1:%d%s" % (port, tls)),
                        ("bind :::7470", "bind ::1:%d%s" % (port, tls)),
                        ("127.0.0.1:7471", "127.0.0.1:%d" % coordinator),
                        ("bind :7480", "bind 127.0.0.1:%d" % pages[0]),
                        ("bind :::7480", "bind ::1:%d" % pages[0]),
                        ("127.0.0.1:7481", "127.0.0.1:%d" % pages[1]))
        if not has_ipv6():
            text = re.sub(r".*v6only.*\n", "", text)
        if patience:
            text = replaced(text, ("timeout client 2m", "timeout client %ds" % patience),
                            ("timeout server 2m", "timeout server %ds" % patience))
        return text

    @staticmethod
    def command(file, folder):
        del folder
        return ["haproxy", "-db", "-f", file]


class Nginx:
    name = "nginx"

    @staticmethod
    def configured(port, coordinator, patience, identity, pages):
        tls = "ssl " if identity else ""
        text = replaced(text_of("nginx.conf"), ("listen 7470 ", "listen 127.0.0.1:%d %s" % (port, tls)),
                        ("listen [::]:7470 ", "listen [::1]:%d %s" % (port, tls)),
                        ("127.0.0.1:7471", "127.0.0.1:%d" % coordinator),
                        ("listen 7480 ", "listen 127.0.0.1:%d " % pages[0]),
                        ("listen [::]:7480 ", "listen [::1]:%d " % pages[0]),
                        ("127.0.0.1:7481", "127.0.0.1:%d" % pages[1]))
        if not has_ipv6():
            text = re.sub(r" *listen \[.*\n", "", text)
        if patience:
            text = replaced(text, ("proxy_timeout 2m", "proxy_timeout %ds" % patience))
        if identity:
            text = replaced(text, ("proxy_pass ", "ssl_certificate %s; ssl_certificate_key %s; "
                                   "ssl_alpn h2; proxy_pass " % (identity, identity)))
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        return ("load_module %s;\nworker_processes 1;\nevents { worker_connections 4096; }\n%s" %
                (module, text))

    @staticmethod
    def command(file, folder):
        return ["nginx", "-e", "stderr", "-p", folder, "-c", file, "-g",
                "daemon off; pid %s;" % os.path.join(folder, "nginx.pid")]


PROXIES = (Haproxy, Nginx)


class ProxyCase(Victim):
    attack = {"FLOOD_FROM": FROM}
    source = (FROM, 0)

    def setUp(self):
        super().setUp()
        self.identity = None  # of a proxy that ends TLS
        self.pages = free_port()  # of the coordinator, where it serves HTTP

    def behind(self, *args):
        """A coordinator behind a proxy to come; clients need its token."""
        file = self.path("token")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write("a-token-of-everybody admin\n")
        self.tls = (*self.tls, "--token-file", file)
        process = super().coordinator("--behind-proxy", "--token-file", file, "--allow-root", "/",
                                      *args)
        self.own_port = self.port
        return process

    def token(self):
        return "a-token-of-everybody"

    def proxy(self, kind, patience=None):
        """Starts it in front of the coordinator; returns its address. For HTTP it has another port,
        `self.pages_at`."""
        self.assertIsNotNone(shutil.which(kind.name, path=os.environ["PATH"] + ":/usr/sbin"),
                             "deploy/install-build-deps.sh --tests installs it")
        folder = self.path(kind.name)
        os.makedirs(folder)
        port = free_port()
        file = os.path.join(folder, "configuration")
        with open(file, "w", encoding="utf-8") as f:
            self.pages_at = free_port()
            f.write(kind.configured(port, self.own_port, patience, self.identity,
                                    (self.pages_at, self.pages)))
        environment = harness.environment({"PATH": os.environ["PATH"] + ":/usr/sbin"})
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen(kind.command(file, folder), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, env=environment)
        self.addCleanup(self.end_proxy, process)
        address = "127.0.0.1:%d" % port

        def serves():
            with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
                self.assertIsNone(process.poll(), log.read())
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                return True
            return False
        wait_for(kind.name, serves, 30)
        return address

    @staticmethod
    def end_proxy(process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class FloodTest(ProxyCase):
    def flooded(self, kind, ends_tls, how="reset", token=False):
        flags = self.certify()
        certificate = self.tls[1]
        if ends_tls:
            self.identity = self.path("identity.pem")
            with open(self.identity, "wb") as to:
                for name in (flags[1], flags[3]):
                    with open(name, "rb") as part:
                        shutil.copyfileobj(part, to)
        self.kind = kind
        self.flood(how, token, ca=certificate, args=() if ends_tls else flags)

    def coordinator(self, *args, **kw):
        process = self.behind(*args, **kw)
        self.address = self.proxy(self.kind)
        self.port = int(self.address.rsplit(":", 1)[1])
        return process

    def test_haproxy(self):
        self.flooded(Haproxy, ends_tls=False)

    def test_nginx_that_ends_tls(self):
        self.flooded(Nginx, ends_tls=True)

    def test_silent_connections_through_haproxy(self):
        self.kind = Haproxy
        self.storm(b"")

    def test_connections_through_nginx_that_greet_and_are_silent(self):
        self.kind = Nginx
        self.storm(raw_http2.GREETING)

    if LONG:
        def test_haproxy_that_ends_tls(self):
            self.flooded(Haproxy, ends_tls=True)

        def test_nginx(self):
            self.flooded(Nginx, ends_tls=False)

        def test_haproxy_and_a_user(self):
            self.flooded(Haproxy, ends_tls=False, token=True)

        def test_nginx_and_a_user(self):
            self.flooded(Nginx, ends_tls=False, token=True)


def connections(port):
    """The near ends of this machine's connections to a port."""
    found = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(name):
            continue
        with open(name, encoding="ascii") as f:
            for line in f.read().splitlines()[1:]:
                near, far, state = line.split()[1:4]
                if int(far.split(":")[1], 16) == port and state == "01":
                    found.add(near)
    return found


class SilenceTest(ProxyCase):
    def recipe(self):
        return harness.recipe(self.path("r.yaml"), "linear", None, harness.SAMPLE,
                              per_model=[{"weight": 1}] * len(harness.SAMPLE))

    def begin(self, *args):
        process = harness.start(*args, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def test_a_silent_watch_lives_and_workers_work(self):
        self.behind(*self.certify())
        ports, watches, idle = {}, {}, {}
        for kind in PROXIES:
            address = self.proxy(kind, PATIENCE)
            ports[kind] = int(address.rsplit(":", 1)[1])
            connect = ("--coordinator", address, *self.tls)
            # Nobody works: nothing happens to the job.
            watches[kind] = self.begin("submit", self.recipe(), self.path("out-" + kind.name),
                                       "--watch", *connect)
            wait_for("a watch", lambda: connections(ports[kind]), 30)
            # What has no call in progress is not pinged, and the proxy's to end.
            idle[kind] = raw_http2.connect("127.0.0.1", ports[kind], self.tls[1])
            idle[kind].sendall(raw_http2.GREETING)
            self.addCleanup(idle[kind].close)
        began, before = time.monotonic(), {kind: connections(ports[kind]) for kind in PROXIES}
        ended = {}

        def await_end(kind):
            raw_http2.read_frames(idle[kind], lambda frames: False, IDLE)
            ended[kind] = time.monotonic() - began
        waiting = [threading.Thread(target=await_end, args=(kind,)) for kind in PROXIES]
        for thread in waiting:
            thread.start()
        time.sleep(IDLE)
        for thread in waiting:
            thread.join()
        for kind in PROXIES:
            with self.subTest(kind.name):
                self.assertLess(ended[kind], IDLE, "the proxy's patience ends")
                after = connections(ports[kind])
                self.assertEqual(len(before[kind]), 2)
                self.assertEqual(len(after), 1)
                self.assertLess(after, before[kind], "the watch has another connection by now")
                self.assertIsNone(watches[kind].poll())
                self.begin("worker", "--threads", "1", "--memory", "2GiB", "--coordinator",
                           "127.0.0.1:%d" % ports[kind], *self.tls)
        for kind in PROXIES:
            out = watches[kind].communicate(timeout=harness.LIMIT)[0].decode()
            self.assertEqual(watches[kind].returncode, 0, out)
            self.assertEqual(run("verify", self.path("out-" + kind.name)).code, 0)
        print("silent for %d s: watches lived, connections without a call ended after %s s" %
              (IDLE, ", ".join("%.0f" % ended[kind] for kind in PROXIES)))

    def test_patience_is_more_than_a_few_pings(self):
        with open(os.path.join(harness.SOURCE, "coordinator", "service", "server.cc"),
                  encoding="utf-8") as f:
            self.assertIn("GRPC_ARG_KEEPALIVE_TIME_MS, %d'000" % PING, f.read())
        waits = (re.findall(r"^ *timeout (?:client|server) (\d+)m$", text_of("haproxy.cfg"), re.M) +
                 re.findall(r"^ *proxy_timeout (\d+)m;$", text_of("nginx.conf"), re.M))
        self.assertEqual(len(waits), 3)
        for minutes in waits:
            self.assertGreaterEqual(60 * int(minutes), 3 * PING)


class PagesTest(ProxyCase):
    def test_pages_logins_and_streams_through_both(self):
        metrics = self.path("metrics-token")
        with open(os.open(metrics, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write("a-token-of-prometheus\n")
        flags = self.certify()
        ca = self.tls[1]
        self.behind(*flags, "--http", "127.0.0.1:%d" % self.pages, "--metrics-token", metrics)
        for kind in PROXIES:
            with self.subTest(kind.name):
                self.proxy(kind)
                site = Site("https://127.0.0.1:%d" % self.pages_at,
                                      ssl.create_default_context(cafile=ca))
                self.assertEqual(site.get("/healthz").status, 200)
                page = site.get("/jobs")
                self.assertEqual(page.status, 200)
                self.assertIn("/static/app.", page.body)
                # What everybody can reach tells its metrics to whoever has a token alone.
                self.assertEqual(site.get("/metrics").status, 401)
                told = site.get("/metrics", Authorization="Bearer a-token-of-prometheus")
                self.assertEqual(told.status, 200)
                self.assertIn("merganser_http_requests_total", told.body)
                # A login, whose cookie is for TLS alone, and a change by it.
                answer, cookie = site.login(self.token())
                self.assertEqual(answer.status, 200, str(answer))
                self.assertTrue(cookie.startswith("__Host-merganser-"), cookie)
                self.assertIn("; Secure", answer.headers.get("Set-Cookie"))
                self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie).status, 200)
                self.assertEqual(site.get("/api/v1/jobs").status, 401)
                # A stream, which the proxy passes on as it comes.
                connection = site.connect()
                try:
                    connection.request("GET", "/api/v1/events?view=jobs",
                                       headers={"Cookie": cookie})
                    response = connection.getresponse()
                    self.assertEqual(response.status, 200)
                    self.assertEqual(response.getheader("Content-Type"), "text/event-stream")
                    self.assertTrue(response.readline())
                finally:
                    connection.close()
        # Past the proxy nobody is heard.
        with socket.create_connection(("127.0.0.1", self.pages), 30) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = client.recv(1000).decode()
        self.assertTrue(answer.startswith("HTTP/1.1 400 "), answer)
        self.assertIn("a PROXY header is expected here (--behind-proxy)", answer)


class WordsTest(ProxyCase):
    def test_what_makes_no_sense_is_refused(self):
        def start(listen, *args):
            return run("coordinator", "--behind-proxy", "--listen", listen, *args, timeout=30)

        tokens = self.path("tokens")
        with open(os.open(tokens, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write("a-token-of-everybody admin\n")
        self.assertOneError(start("0.0.0.0:0", "--allow-root", "/", "--token-file", tokens,
                                  "--plaintext-beyond-loopback"),
                            2, "--behind-proxy", "beyond loopback", "0.0.0.0:0")
        self.assertOneError(start("127.0.0.1:0", "--allow-root", "/"), 2, "--behind-proxy",
                            "--token-file")
        self.assertOneError(start("127.0.0.1:0", "--token-file", tokens), 2, "--behind-proxy",
                            "--allow-root")

    def test_who_comes_past_the_proxy_is_turned_away_and_the_log_says_why(self):
        self.behind()
        address = "127.0.0.1:%d" % self.own_port
        self.assertEqual(run("health", "--coordinator", address, timeout=60).code, 4)
        hostile = [b"PROXY TCP4 1.2.3.4 5.6.7.8 x y\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
                   b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", b"PROXY " + bytes(200), b"\x16\x03\x01"]
        for header in hostile:
            with socket.create_connection(("127.0.0.1", self.own_port), 5) as client:
                client.sendall(header)
                frames = raw_http2.read_frames(client, lambda f: False)
                self.assertEqual([f[0] for f in frames], [raw_http2.GOAWAY], header)
        wait_for("a line of the log",
                 lambda: "PROXY header is expected here (--behind-proxy)" in self.log() and
                 "found a PROXY header that cannot be read" in self.log(), 60)
        # Through a header it goes on.
        ends = socket.inet_aton("192.0.2.7") + socket.inet_aton("10.0.0.1") + struct.pack(">HH", 9, 9)
        with socket.create_connection(("127.0.0.1", self.own_port), 5) as client:
            client.sendall(b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(ends)) + ends +
                           raw_http2.GREETING)
            frames = raw_http2.read_frames(client, lambda f: len(f) > 0)
        self.assertEqual(frames[0][0], raw_http2.SETTINGS)


if __name__ == "__main__":
    harness.main()
