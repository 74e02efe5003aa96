"""What tests of the HTTP side share: a coordinator that serves it, with a token a role, and a client
that asks it, each time on a connection of its own."""

import contextlib
import http.client
import json
import os
import re
import socket
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
