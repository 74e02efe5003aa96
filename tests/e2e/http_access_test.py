"""Who may ask a coordinator over HTTP: logins, their cookies and one-time links, changes that other sites
ask for, proxies that say whose a connection is, listening beyond loopback, TLS and certificates that are
renewed."""

import contextlib
import os
import socket
import ssl

import certificates
import harness
from http_case import OWN, HttpCase, Site, bearer, token


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
    def context(self):
        context = ssl.create_default_context(cafile=self.path("server.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def test_tls_and_certificates_that_are_renewed(self):
        certificates.make(self.dir, "first", "IP:127.0.0.1", file="server")
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

            certificates.make(self.dir, "second", "IP:127.0.0.1", file="server")
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


if __name__ == "__main__":
    harness.main()
