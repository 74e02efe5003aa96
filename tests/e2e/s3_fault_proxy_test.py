"""The fault proxy, which the tests of buckets trust: what each kind of fault does, and that a seed
disturbs the same requests again."""

import http.client
import http.server
import threading
import unittest

import s3_fault_proxy
from s3_fault_proxy import FaultProxy

XML = b"<?xml version=\"1.0\"?><List><Key>a</Key></List>"
SIGNED = {"x-amz-content-sha256": "0" * 64}


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(XML), XML))
            return
        self.send_header("Content-Length", str(len(XML)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(XML)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class FaultProxyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        cls.server.daemon_threads = True
        cls.port = cls.server.server_address[1]
        thread = threading.Thread(target=cls.server.serve_forever)
        thread.start()
        cls.addClassCleanup(thread.join)
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)

    def setUp(self):
        Upstream.seen.clear()

    def proxy(self, **how):
        proxy = FaultProxy(self.port, **how)
        self.addCleanup(proxy.stop)
        connection = http.client.HTTPConnection(proxy.endpoint[len("http://"):], timeout=10)
        self.addCleanup(connection.close)

        def ask(method, path, body=None, headers=None):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        return ask

    def test_without_faults_all_passes_both_ways(self):
        ask = self.proxy()
        big = bytes(range(256)) * (1 << 14)
        for _ in range(2):
            self.assertEqual(ask("PUT", "/a?b=c", big), (200, XML))
            self.assertEqual(ask("GET", "/chunked"), (200, XML))
            self.assertEqual(ask("HEAD", "/a"), (200, b""))
        self.assertEqual(Upstream.seen[:3], [("PUT", "/a?b=c", big), ("GET", "/chunked", b""),
                                             ("HEAD", "/a", b"")])

    def test_what_each_kind_does(self):
        told = {s3_fault_proxy.ERROR: 500, s3_fault_proxy.SLOW_DOWN: 503,
                s3_fault_proxy.TOO_MANY: 429, s3_fault_proxy.EXPIRED: 400,
                s3_fault_proxy.LOST_500: 500}
        broken = {s3_fault_proxy.RESET: 0, s3_fault_proxy.CUT: 1, s3_fault_proxy.SHORT: 1,
                  s3_fault_proxy.LOST: 1}
        for kind in s3_fault_proxy.KINDS:
            with self.subTest(kind=kind):
                Upstream.seen.clear()
                ask = self.proxy(rates={kind: 1})
                if kind in broken:
                    with self.assertRaises((OSError, http.client.HTTPException)):
                        code, body = ask("PUT", "/a", b"1234", SIGNED)
                        # Cut off in its head: the length is not told.
                        if body != XML:
                            raise http.client.IncompleteRead(body)
                    self.assertEqual(len(Upstream.seen), broken[kind])
                    continue
                code, body = ask("PUT", "/a", b"1234", SIGNED)
                self.assertEqual(code, told.get(kind, 200))
                passed = 0 if kind in told and kind != s3_fault_proxy.LOST_500 else 1
                self.assertEqual(len(Upstream.seen),
                                 2 if kind == s3_fault_proxy.DUPLICATE else passed)
                if passed:
                    self.assertEqual(Upstream.seen[-1][2] != b"1234",
                                     kind == s3_fault_proxy.SPOILED)
                if code == 200:
                    self.assertEqual(body == XML, kind != s3_fault_proxy.GARBLED)

    def test_conditions_and_posts_are_never_done_twice(self):
        ask = self.proxy(rates={s3_fault_proxy.DUPLICATE: 1})
        ask("PUT", "/a", b"1", {"If-None-Match": "*"})
        ask("POST", "/a?uploads=", b"")
        self.assertEqual(len(Upstream.seen), 2)

    def test_a_seed_disturbs_the_same_requests_again(self):
        def codes(seed):
            ask = self.proxy(seed=seed, rates={s3_fault_proxy.ERROR: 0.3})
            return [ask("GET", "/.merganser/job-%d/%d" % (seed, i))[0] for i in range(60)]
        # What tells runs apart does not count.
        self.assertEqual(codes(1), codes(1))
        self.assertNotEqual(codes(1), codes(2))
        self.assertGreater(codes(1).count(500), 5)
        self.assertGreater(codes(1).count(200), 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
