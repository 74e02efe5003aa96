"""What a coordinator and its workers serve over HTTP: health, metrics, logins, the JSON API and its
event streams; who is refused, and that nobody who floods it keeps others waiting."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import harness

OWN = {"X-Merganser": "1", "Sec-Fetch-Site": "same-origin"}


def token(role):
    return "the-%s-token-of-a-test" % role


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return "%d %s\n%s" % (self.status, dict(self.headers), self.body[:2000])


class Site:
    """A server that is asked, each time on a connection of its own."""

    def __init__(self, address, context=None):
        self.url = urllib.parse.urlsplit(address)
        self.address, self._context = address, context

    def connect(self, timeout=30):
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=timeout,
                                               context=self._context)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=30):
        connection = self.connect(timeout)
        try:
            text = json.dumps(body) if isinstance(body, (dict, list)) else body
            headers = dict(headers or {})
            if text is not None:
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def raw(self):
        return socket.create_connection((self.url.hostname, self.url.port), timeout=30)

    def login(self, text):
        answer = self.ask("POST", "/api/v1/session", {"token": text}, OWN)
        cookie = answer.headers.get("Set-Cookie")
        return answer, cookie and cookie.split(";")[0]


class HttpCase(harness.Case):
    @contextlib.contextmanager
    def cluster(self, *args, workers=0, listen="127.0.0.1:0", context=None, connect=(),
                tokens=True):
        args = ("--http", "127.0.0.1:0", *args)
        if tokens:
            path = self.write_tokens(*(("read", "read"), ("submit", "submit"), ("work", "work"),
                                       ("admin", "admin")))
            args += ("--token-file", path)
            for role in ("submit", "work"):
                harness_token = self.path(role)
                with open(harness_token, "w", encoding="utf-8") as f:
                    os.fchmod(f.fileno(), 0o600)
                    f.write(token(role) + "\n")
        with harness.Cluster(0, self.path("state"), coordinator_args=args, listen=listen,
                             connect_args=connect) as cluster:
            site = Site(harness.wait_for("an address", lambda: re.search(
                r"serving (http\S+)", cluster.log())).group(1), context)
            for _ in range(workers):
                cluster.add_worker()
            yield cluster, site

    def write_tokens(self, *lines):
        path = self.path("tokens")
        with open(path + ".new", "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("".join("%s %s %s-user\n" % (token(name), roles, name)
                            for name, roles in lines))
        os.rename(path + ".new", path)
        return path

    def recipe(self):
        models = harness.data("tiny", seed=12, experts=2)
        file = harness.recipe(self.path("r.yaml"), "linear", None, models[1:],
                              per_model=[{"weight": 1}] * 2)
        with open(file, encoding="utf-8") as f:
            return f.read()


def bearer(role):
    return {"Authorization": "Bearer " + token(role)}


class ServesTest(HttpCase):
    def test_health_metrics_and_api(self):
        metrics_token = self.path("scraper")
        with open(metrics_token, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("the-scrapers-token-01\n")
        with self.cluster("--metrics-token", metrics_token, workers=0) as (cluster, site):
            self.assertEqual(site.get("/healthz").body, "ok\n")
            self.assertEqual(site.get("/readyz").status, 200)
            self.assertEqual(site.get("/metrics").status, 401)
            metrics = site.get("/metrics", Authorization="Bearer the-scrapers-token-01")
            self.assertEqual(metrics.headers["Content-Type"],
                             "text/plain; version=0.0.4; charset=utf-8")
            self.assertIn("merganser_build_info", metrics.body)
            self.assertEqual(site.ask("HEAD", "/healthz").body, "")

            # Roles are those of the service.
            self.assertEqual(site.get("/api/v1/jobs").status, 401)
            self.assertEqual(site.ask("GET", "/api/v1/jobs", headers=bearer("work")).status, 403)
            new = {"recipe": self.recipe(), "output_uri": self.path("out"), "request_id": "one",
                   "directories": [self.dir]}
            refused = site.ask("POST", "/api/v1/jobs", new, bearer("read"))
            self.assertEqual(refused.status, 403)
            self.assertEqual(refused.json["error"]["details"][0]["reason"], "ROLE_MISSING")
            wrong = site.ask("POST", "/api/v1/jobs", dict(new, recipe="merge_method: no\n"),
                             bearer("submit"))
            self.assertEqual((wrong.status, wrong.json["error"]["status"]),
                             (400, "INVALID_ARGUMENT"))
            unknown = site.ask("POST", "/api/v1/jobs", dict(new, recipes=1), bearer("submit"))
            self.assertEqual(unknown.json["error"]["details"][0]["reason"], "JSON_INVALID")
            made = site.ask("POST", "/api/v1/jobs", new, bearer("submit"))
            self.assertEqual(made.status, 200, str(made))
            name = made.json["name"]
            self.assertEqual(made.json["owner"], "submit-user")
            again = site.ask("POST", "/api/v1/jobs", new, bearer("submit"))
            self.assertEqual(again.json["name"], name)

            # Another door of one room.
            got = site.ask("GET", "/api/v1/" + name, headers=bearer("read")).json
            self.assertEqual(got["recipe"], new["recipe"])
            listed = site.ask("GET", "/api/v1/jobs?page_size=1", headers=bearer("read")).json
            self.assertEqual([job["name"] for job in listed["jobs"]], [name])
            mine = ("--token-file", self.path("submit"))
            told = json.loads(cluster.client("get", name, "--json", *mine).out)
            self.assertEqual(told["name"], name)
            self.assertEqual(site.ask("GET", "/api/v1/jobs/none", headers=bearer("read")).status,
                             404)
            cancelled = site.ask("POST", "/api/v1/%s:cancel" % name, {}, bearer("submit"))
            self.assertEqual(cancelled.status, 200)
            harness.wait_for("the end", lambda: site.ask(
                "GET", "/api/v1/" + name, headers=bearer("read")).json["state"] == "CANCELLED")
            self.check_description(site, name)

    def check_description(self, site, name):
        """Real answers are what the description says."""
        api = site.get("/api/v1/openapi.json").json

        def check(value, schema, where):
            if "$ref" in schema:
                schema = api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
            if not schema:
                return  # what is the pages' own
            kind = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
                    "number": (int, float)}[schema["type"]]
            self.assertIsInstance(value, kind, where)
            if "enum" in schema:
                self.assertIn(value, schema["enum"], where)
            if schema.get("format") in ("int64", "uint64") and schema["type"] == "string":
                self.assertRegex(value, r"^-?[0-9]+$", where)
            for item in value if schema["type"] == "array" else ():
                check(item, schema["items"], where + "[]")
            if schema["type"] == "object":
                for key, inner in value.items():
                    more = schema.get("additionalProperties")
                    known = schema.get("properties", {}).get(key, more)
                    self.assertTrue(known, "%s.%s is not described" % (where, key))
                    check(inner, known, where + "." + key)
                for key in schema.get("required", ()):
                    self.assertIn(key, value, where)

        def answer_of(path, method="get", status="200"):
            return api["paths"][path][method]["responses"][status]["content"][
                "application/json"]["schema"]

        answers = 0
        for path, methods in api["paths"].items():
            if "get" not in methods or path == "/api/v1/events":
                continue
            required = [p for p in methods["get"].get("parameters", ())
                        if p["in"] == "query" and p.get("required")]
            if required or "application/json" not in methods["get"]["responses"]["200"]["content"]:
                continue
            answer = site.ask("GET", path.replace("{id}", name[5:]), headers=bearer("admin"))
            if answer.status == 200:
                answers += 1
                check(answer.json, answer_of(path), path)
            else:
                check(answer.json, answer_of(path, status="default"), path)
        self.assertGreaterEqual(answers, 3)

    def test_a_job_from_plan_to_report(self):
        with self.cluster(connect=("--token-file", self.path("work")), workers=1) as (_, site):
            def look(path):
                answer = site.ask("GET", "/api/v1/" + path, headers=bearer("read"))
                self.assertEqual(answer.status, 200, str(answer))
                return answer

            new = {"recipe": self.recipe(), "output_uri": self.path("out"),
                   "directories": [self.dir]}
            plan = site.ask("POST", "/api/v1/plan", new, bearer("submit"))
            self.assertEqual(plan.json["method"], "linear", str(plan))
            for model in plan.json["models"]:
                self.assertRegex(model["origin"], r"^stored as B?F\d+")
            self.assertFalse(os.path.exists(self.path("out")))
            made = site.ask("POST", "/api/v1/jobs", dict(new, labels={"run": "7"}),
                            bearer("submit"))
            self.assertEqual(made.status, 200, str(made))
            name = made.json["name"]
            raised = site.ask("POST", "/api/v1/%s:setPriority" % name, {"priority": 3},
                              bearer("submit"))
            self.assertIn(raised.status, (200, 400), str(raised))  # it may have ended
            harness.wait_for("the merge", lambda: look(name).json["state"] == "SUCCEEDED",
                             pause=0.1)
            found = look("jobs?filter=labels.run%20%3D%207%20AND%20state%20%3D%20SUCCEEDED")
            self.assertEqual([job["name"] for job in found.json["jobs"]], [name])
            self.assertEqual(look("jobs?filter=state%20%3D%20FAILED").json["jobs"], [])
            self.assertEqual(site.ask("GET", "/api/v1/jobs?filter=nothing%20%3D%201",
                                      headers=bearer("read")).status, 400)
            cluster = look("cluster").json
            self.assertEqual((cluster["workers_alive"], cluster["jobs"]["SUCCEEDED"]), (1, "1"))
            self.assertEqual(len(look("workers").json["workers"]), 1)
            activity = look(name + "/activity").json
            units = look(name).json["progress"]["units_done"]
            self.assertEqual(sum(int(r["units_total"]) for r in activity["rounds"]), int(units))

            # What was published, and nothing else.
            self.assertEqual(look(name + "/report").json, harness.report(self.path("out")))
            picture = look(name + "/picture").json
            self.assertTrue(picture["complete"])
            self.assertIn("page", picture)
            again = look(name + "/picture?since=" + urllib.parse.quote(picture["version"])).json
            self.assertNotIn("page", again)
            page = look(name + "/report.html")
            self.assertIn("attachment", page.headers["Content-Disposition"])
            self.assertIn("<!doctype html>", page.body)
            inline = look(name + "/report.html?inline=true")
            self.assertIn("sandbox allow-scripts", inline.headers["Content-Security-Policy"])
            self.assertEqual(inline.headers.get_all("Content-Security-Policy").__len__(), 1)
            look("compare?a=%s&b=%s" % (name, name))
            self.check_description(site, name)

            gone = site.ask("DELETE", "/api/v1/" + name, headers=bearer("submit"))
            self.assertEqual((gone.status, gone.json), (200, {}), str(gone))
            self.assertEqual(site.ask("GET", "/api/v1/" + name, headers=bearer("read")).status, 404)
            self.assertTrue(os.path.exists(self.path("out", "merge_report.json")))

    def test_a_worker_tells_health_and_metrics_alone(self):
        with self.cluster() as (cluster, _):
            worker = harness.start("worker", "--coordinator", cluster.address, "--http",
                                   "127.0.0.1:0", "--threads", "1", "--memory", "2GiB",
                                   "--token-file", self.path("work"), stderr=subprocess.DEVNULL)
            try:
                line = worker.stdout.readline().decode()
                site = Site(re.match(r"serving (\S+)$", line).group(1))
                self.assertEqual(site.get("/healthz").status, 200)
                self.assertIn("merganser_build_info", site.get("/metrics").body)
                for path in ("/", "/login", "/api/v1/jobs", "/api/v1/session"):
                    self.assertEqual(site.get(path).status, 404, path)
            finally:
                worker.terminate()
                worker.wait(30)
                worker.stdout.close()

    def test_events(self):
        with self.cluster() as (_, site):
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            stream = connection.getresponse()
            self.assertEqual(stream.headers["Content-Type"], "text/event-stream")

            def event():
                lines, deadline = {}, time.monotonic() + harness.LIMIT
                while True:
                    self.assertLess(time.monotonic(), deadline)
                    line = stream.readline().decode().rstrip("\n")
                    if not line and "event" in lines:
                        return lines
                    key, _, value = line.partition(": ")
                    if key:
                        lines[key] = value

            self.assertEqual(event()["event"], "hello")
            new = {"recipe": self.recipe(), "output_uri": self.path("out"),
                   "directories": [self.dir]}
            name = site.ask("POST", "/api/v1/jobs", new, bearer("submit")).json["name"]

            def jobs():
                while True:
                    told = event()
                    if told["event"] == "jobs":
                        return told, json.loads(told["data"])["jobs"]

            first, rows = jobs()
            self.assertEqual([row["name"] for row in rows], [name])
            connection.close()
            site.ask("POST", "/api/v1/%s:cancel" % name, {}, bearer("submit"))
            # What was missed is told, and nothing twice.
            time.sleep(1.5)
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs",
                               headers=dict(bearer("read"), **{"Last-Event-ID": first["id"]}))
            stream = connection.getresponse()
            states = []
            while "CANCELLED" not in states:
                told, rows = jobs()
                self.assertGreater(int(told["id"].split(".")[1]), int(first["id"].split(".")[1]))
                states += [row["state"] for row in rows]
            # A token that is gone ends the stream.
            self.write_tokens(("submit", "submit"))
            stream.fp.raw._sock.settimeout(10)
            while stream.readline():
                pass
            connection.close()
            self.assertEqual(site.ask("GET", "/api/v1/events?view=jobs",
                                      headers=bearer("read")).status, 401)


class LoginTest(HttpCase):
    def test_sessions(self):
        with self.cluster() as (cluster, site):
            refused, _ = site.login("no-token-of-anybody")
            self.assertEqual(refused.status, 401)
            answer, cookie = site.login(token("submit"))
            self.assertEqual(answer.json["name"], "submit-user")
            self.assertEqual(answer.json["roles"], ["read", "submit"])
            attributes = answer.headers["Set-Cookie"]
            for expected in ("; HttpOnly", "; SameSite=Lax", "; Path=/"):
                self.assertIn(expected, attributes)
            self.assertNotIn("Secure", attributes)
            self.assertNotIn(token("submit"), str(answer))
            self.assertRegex(cookie, r"^merganser-[0-9a-f]{8}=[0-9a-f]{64}$")
            self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie).status, 200)

            # A change comes from the coordinator's own pages.
            def cancel(**headers):
                headers = {k.replace("_", "-"): v for k, v in headers.items()}
                return site.ask("POST", "/api/v1/jobs/none:cancel", {},
                                dict(headers, Cookie=cookie)).status

            here = site.address
            self.assertEqual(cancel(X_Merganser="1", Origin=here), 404)
            self.assertEqual(cancel(X_Merganser="1", Sec_Fetch_Site="same-origin"), 404)
            self.assertEqual(cancel(Origin=here), 403)
            self.assertEqual(cancel(X_Merganser="1"), 403)
            self.assertEqual(cancel(X_Merganser="1", Origin="http://127.0.0.1:1"), 403)
            self.assertEqual(cancel(X_Merganser="1", Origin="https://evil.example"), 403)
            self.assertEqual(cancel(X_Merganser="1", Origin="null"), 403)
            self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie,
                                      Host="evil.example").status, 421)

            out = site.ask("DELETE", "/api/v1/session", headers=dict(OWN, Cookie=cookie))
            self.assertEqual(out.status, 200)
            self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie).status, 401)

            _, cookie = site.login(token("submit"))
            self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie).status, 200)
            self.write_tokens(("read", "read"))
            self.assertEqual(site.get("/api/v1/jobs", Cookie=cookie).status, 401)
            self.assertNotIn("-token-of-a-test", cluster.log())

            statuses = [site.login("no-token-of-anybody")[0].status for _ in range(12)]
            self.assertEqual(statuses[-1], 429)
            self.assertEqual(site.get("/healthz").status, 200)

    def test_a_link_logs_in_once(self):
        link = self.path("link")
        with self.cluster("--login-link", link, tokens=False) as (_, site):
            self.assertEqual(os.stat(link).st_mode & 0o777, 0o600)
            with open(link, encoding="utf-8") as f:
                address = f.read().strip()
            self.assertTrue(address.startswith(site.address + "/login?key="), address)
            path = address[len(site.address):]
            first = site.get(path)
            self.assertEqual((first.status, first.headers["Location"]), (303, "/"))
            cookie = first.headers["Set-Cookie"].split(";")[0]
            self.assertEqual(site.get("/api/v1/session", Cookie=cookie).json["name"], "admin")
            second = site.get(path)
            self.assertEqual(second.headers["Location"], "/login?link=spent")
            self.assertIsNone(second.headers["Set-Cookie"])
        self.assertFalse(os.path.exists(link))
        refused = harness.run("coordinator", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
                              "--login-link", link, "--token-file", self.write_tokens(("a", "read")))
        self.assertOneError(refused, 2, "--login-link", "--token-file")


class ProxyTest(HttpCase):
    def test_behind_a_proxy_each_connection_says_whose_it_is(self):
        with self.cluster("--behind-proxy", "--allow-root", "/") as (_, site):
            def ask(begin):
                with site.raw() as client:
                    client.settimeout(20)
                    client.sendall(begin + b"GET /healthz HTTP/1.0\r\n\r\n")
                    with contextlib.suppress(ConnectionError):
                        return client.recv(1000)
                return b""

            def login(address):
                body = b'{"token":"no-token-of-anybody"}'
                with site.raw() as client:
                    client.sendall(b"PROXY TCP4 " + address + b" 10.0.0.1 1234 443\r\n"
                                   b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\n"
                                   b"X-Merganser: 1\r\nSec-Fetch-Site: same-origin\r\n"
                                   b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    return client.recv(1000).split()[1]

            self.assertIn(b"200 OK", ask(b"PROXY TCP4 10.0.0.7 10.0.0.1 1234 443\r\n"))
            self.assertNotIn(b"200 OK", ask(b""))
            # Limits are by whose it is.
            self.assertEqual([login(b"10.0.0.7") for _ in range(11)], 10 * [b"401"] + [b"429"])
            self.assertEqual(login(b"10.0.0.8"), b"401")


class BeyondLoopbackTest(HttpCase):
    def test_what_listen_asks_for_http_asks_for(self):
        def start(*args):
            return harness.run("coordinator", "--listen", "127.0.0.1:0", *args)

        tokens = ("--token-file", self.write_tokens(("read", "read")))
        self.assertOneError(start("--http", "0.0.0.0:0", *tokens), 2, "--http 0.0.0.0:0",
                            "--tls-cert")
        self.assertOneError(start("--http", "0.0.0.0:0", "--plaintext-beyond-loopback", *tokens), 2,
                            "--http 0.0.0.0:0", "--allow-root")
        self.assertOneError(start("--http", "nonsense"), 2, "--http nonsense", "HOST:PORT")
        worker = harness.run("worker", "--coordinator", "127.0.0.1:1", "--http", "0.0.0.0:0")
        self.assertOneError(worker, 2, "--http 0.0.0.0:0", "--http-tls-cert", "--http-plaintext")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.assertOneError(start("--http", "127.0.0.1:%d" % taken.getsockname()[1]), 4,
                                "--http", "cannot be bound")


class TlsTest(HttpCase):
    def make(self, name):
        """A certificate that it signed itself, and its key, put in place at once."""
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", self.path("new.key"), "-out",
             self.path("new.pem")], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        os.chmod(self.path("new.key"), 0o600)
        for ending in (".key", ".pem"):
            os.rename(self.path("new" + ending), self.path("server" + ending))

    def context(self):
        context = ssl.create_default_context(cafile=self.path("server.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def test_tls_and_certificates_that_are_renewed(self):
        self.make("first")
        with self.cluster("--tls-cert", self.path("server.pem"), "--tls-key",
                          self.path("server.key"), context=self.context()) as (_, site):
            self.assertTrue(site.address.startswith("https://"))
            self.assertEqual(site.get("/healthz").status, 200)
            answer, cookie = site.login(token("read"))
            self.assertIn("; Secure", answer.headers["Set-Cookie"])
            self.assertTrue(cookie.startswith("__Host-merganser-"), cookie)
            # Large both ways.
            self.assertEqual(site.ask("POST", "/api/v1/jobs", {"recipe": "#" * 1_000_000,
                                                               "validate_only": True},
                                      bearer("submit")).status, 400)
            self.assertGreater(len(site.get("/api/v1/openapi.json").body), 10_000)
            stream = site.connect()
            stream.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            told = stream.getresponse()
            self.assertIn(b"id:", told.readline())

            with site.raw() as plain:
                plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    self.assertNotIn(b"200 OK", plain.recv(1000))

            self.make("second")
            anew = Site(site.address, self.context())

            def renewed():
                try:
                    return anew.get("/healthz").status == 200
                except ssl.SSLError:
                    return False
            harness.wait_for("the new certificate", renewed, limit=30, pause=0.2)
            with self.assertRaises(ssl.SSLError):
                site.get("/healthz")
            # What was there goes on.
            new = {"recipe": self.recipe(), "output_uri": self.path("out"),
                   "directories": [self.dir]}
            made = anew.ask("POST", "/api/v1/jobs", new, bearer("submit"))
            self.assertEqual(made.status, 200, str(made))
            while True:
                line = told.readline().decode()
                self.assertTrue(line)
                if made.json["name"] in line:
                    break
            stream.close()


def memory_of(process):
    with open("/proc/%d/status" % process.pid, encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) << 10


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
        self.before = memory_of(self.running.coordinator)

    def alive(self):
        """The best of a few: the machine may be busy."""
        best = 10
        for _ in range(8):
            begin = time.monotonic()
            self.assertEqual(self.site.get("/healthz").status, 200)
            best = min(best, time.monotonic() - begin)
        self.assertLess(best, 0.1 if not harness.SLOW else 2)
        if not harness.SLOW:
            self.assertLess(memory_of(self.running.coordinator) - self.before, 96 << 20)

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


class StopTest(HttpCase):
    def test_it_stops_while_streams_are_open(self):
        with self.cluster() as (cluster, site):
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            stream = connection.getresponse()
            self.assertIn(b"id:", stream.readline())
            cluster.coordinator.send_signal(signal.SIGTERM)
            self.assertEqual(cluster.coordinator.wait(30), 0)
            while stream.readline():
                pass
            connection.close()


if __name__ == "__main__":
    harness.main()
