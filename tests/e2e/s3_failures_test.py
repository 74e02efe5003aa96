"""What is said of buckets and endpoints that fail for good: one line that says what to do, an exit
code as the command line's page has it, and within a bounded time."""

import email.utils
import http.server
import json
import signal
import socket
import ssl
import threading
import time

import certificates
import harness
import s3_client
from ports import free_port
from s3_case import BucketCase
from s3_fault_proxy import EXPIRED, FaultProxy

LONG = harness.LONG


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers all requests with the server's `told`: a status, a code of S3, and more elements."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        status, code, more = self.server.told
        size = int(self.headers.get("Content-Length", 0))
        self.rfile.read(size)
        body = ("<Error><Code>%s</Code><Message>as the stub says</Message>%s</Error>"
                % (code, more)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET = do_PUT = do_POST = do_DELETE = answer

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(0, usegmt=True) if self.server.skewed else \
            super().date_time_string(timestamp)

    def log_message(self, *_):
        pass


class StubServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, told, skewed=False, context=None):
        super().__init__(("127.0.0.1", 0), Refusing)
        self.told, self.skewed = told, skewed
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "http" if context is None else "https"
        self.endpoint = "%s://localhost:%d" % (self.scheme, self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever)

    def handle_error(self, request, client_address):
        pass  # a client that does not like the certificate

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()


class FailureTest(BucketCase):
    """One line that says what to do, and soon."""

    def fails(self, *texts, code=2, env=None, output="s3://models/out/fails", recipe=None,
              limit=60):
        recipe = recipe or self.sample()[1]
        begun = time.monotonic()
        result = harness.run("merge", recipe, output, env=env)
        line = self.assertOneError(result, code, *texts)
        self.assertLess(time.monotonic() - begun, limit)
        self.assertNotIn(self.server.secret_key, line)
        return line

    def test_wrong_keys(self):
        self.fails("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY",
                   env={"AWS_SECRET_ACCESS_KEY": "another"})
        self.fails("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID", env={"AWS_ACCESS_KEY_ID": "nobody"})

    def test_missing_things(self):
        recipe = self.sample()[1]
        self.fails("NoSuchBucket", "AWS_ENDPOINT_URL", output="s3://no-such-bucket/out")
        with open(recipe, encoding="utf-8") as f:
            text = f.read()
        missing = self.path("missing.yaml")
        with open(missing, "w", encoding="utf-8") as f:
            f.write(text.replace("expert_sort", "expert_short"))
        self.fails("s3://models/in/sample/expert_short", recipe=missing)

    def test_unknown_host_and_closed_port(self):
        # Tried again as what may pass: waits are drawn, each up to twice the one before and 20 s. A
        # machine's resolver adds its own.
        self.fails("resolve", code=(2, 3, 4), limit=150, env={
            "AWS_ENDPOINT_URL": "http://no-such-host.invalid",
            "RES_OPTIONS": "timeout:1 attempts:1"})
        self.fails("onnect", code=(2, 3, 4), limit=150,
                   env={"AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % free_port()})

    def assertOneError(self, result, code, *texts):
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.code, codes, str(result))
        return super().assertOneError(result, result.code, *texts)

    def told(self, status, code, *texts, more="", expect=2, skewed=False):
        with StubServer((status, code, more), skewed) as stub:
            return self.fails(code, *texts, code=expect, env={"AWS_ENDPOINT_URL": stub.endpoint})

    def test_wrong_region(self):
        region = "<Region>eu-central-1</Region>"
        for status, code in ((400, "AuthorizationHeaderMalformed"), (301, "PermanentRedirect")):
            self.told(status, code, "eu-central-1", "AWS_REGION", more=region)

    def test_clock_skew(self):
        self.told(403, "RequestTimeTooSkewed", "1970", "clock", skewed=True)

    def test_archived_object(self):
        self.told(403, "InvalidObjectState", "restore it first")

    def test_expired_token(self):
        token = "a-session-token-that-ended"
        self.secrets.add(token)
        with StubServer((400, "ExpiredToken", "")) as stub:
            self.fails("ExpiredToken", "new credentials",
                       env={"AWS_ENDPOINT_URL": stub.endpoint, "AWS_SESSION_TOKEN": token})

    def test_a_token_that_ends_in_mid_job(self):
        _, recipe = self.sample()
        output = "s3://models/out/expired"
        asked = []

        def until_it_ends(request):
            asked.append(request)
            return EXPIRED if len(asked) > 40 else None

        with FaultProxy(self.server.port, before=until_it_ends) as proxy:
            self.fails("ExpiredToken", "new credentials", output=output,
                       env={"AWS_ENDPOINT_URL": proxy.endpoint})
        # With others it is gone on with.
        self.ok("merge", recipe, output, "--resume")
        self.check("out/expired", self.wanted(self.sample()[0]))

    def test_denied_to_read_and_to_write(self):
        """Everything else that a right is needed for: s3_policy_test.py."""
        key, secret = "nobodys-key", "nobodys-secret-key"
        self.secrets.add(secret)
        self.server.admin("user", "create", "--uid=nobody", "--display-name=nobody",
                          "--access-key=" + key, "--secret-key=" + secret)
        nobody = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        self.fails("s3://models/in/sample", "AccessDenied", "s3:", env=nobody)
        self.fails("s3://models/out", "AccessDenied", "s3:", env=nobody, recipe=self.sample()[0])

    def test_a_bucket_that_is_full(self):
        key, secret = "full-key", "full-secret-key"
        self.secrets.add(secret)
        self.server.admin("user", "create", "--uid=full", "--display-name=full",
                          "--access-key=" + key, "--secret-key=" + secret)
        self.server.admin("quota", "set", "--quota-scope=user", "--uid=full", "--max-size=1M")
        self.server.admin("quota", "enable", "--quota-scope=user", "--uid=full")
        s3_client.Client(self.server.endpoint, key, secret).create_bucket("full")
        self.fails("s3://full/out", "QuotaExceeded", code=4, recipe=self.sample()[0],
                   output="s3://full/out",
                   env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})

    def test_a_bucket_that_is_read_only(self):
        self.s3.create_bucket("frozen")
        frozen = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject", "s3:DeleteObject"],
             "Resource": ["arn:aws:s3:::frozen/*"]}]}
        self.s3.request("PUT", "/frozen", {"policy": ""}, json.dumps(frozen).encode())
        self.fails("s3://frozen/out", "AccessDenied", "s3:PutObject", output="s3://frozen/out")

    def test_a_certificate_that_does_not_verify(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.make(self.dir, "localhost", "DNS:localhost"))
        with StubServer((403, "AccessDenied", ""), context=context) as stub:
            self.fails("certificate", env={"AWS_ENDPOINT_URL": stub.endpoint})

    def test_an_endpoint_that_does_not_answer(self):
        """It takes connections. A try is given up after 30 s, and four are made, which only the
        long run waits for; an interrupt is heeded at once."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
            env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % silent.getsockname()[1]}
            with harness.running("merge", self.sample()[1], "s3://models/out/silent",
                                 env=env) as process:
                time.sleep(1)
                self.assertIsNone(process.poll())
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=10)
                self.assertEqual(process.returncode, 130)
            if LONG:
                begun = time.monotonic()
                self.fails("s3://models/in/sample", code=4, env=env, limit=200)
                print("given up after %.0f s" % (time.monotonic() - begun))


if __name__ == "__main__":
    harness.main()
