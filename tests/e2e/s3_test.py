"""From bucket to bucket, against a real S3 (Ceph's radosgw): the bytes of the merge on disks for
every way of running, nothing on disk and no upload left, runs that are killed, and what is said of
what goes wrong."""

import http.server
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import harness
import radosgw
import s3_client
from harness import SAMPLE, SAMPLE_BASE
from mpi_test import MPI_ENVIRONMENT, command

# Weights, index and configuration: what names no place.
SAME = (".safetensors", ".safetensors.index.json", "config.json", "tokenizer.json")
RECORD = ("--record-every", "0.02")


def aws(server):
    return {"AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_REGION": "us-east-1"}


class ConformanceTest(harness.Case):
    def test_conformance(self):
        """The suite that every store passes, with parts as small as its pieces are."""
        folder = self.path("ceph")
        with radosgw.Server(folder, extra="rgw multipart min part size = 2") as server:
            s3_client.Client(server.endpoint, server.access_key,
                             server.secret_key).create_bucket("conformance")
            program = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(harness.BIN))),
                                   "tests", "s3_conformance")
            env = harness.environment({**aws(server), "MERGANSER_S3_ENDPOINT": server.endpoint,
                                       "MERGANSER_S3_BUCKET": "conformance"})
            done = subprocess.run([program], env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=harness.LIMIT, check=False)
            self.assertEqual(done.returncode, 0, done.stdout.decode("utf-8", "replace")[-8000:])


class BucketCase(harness.Case):
    """A server with one bucket that holds the sample experts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="e2e-ceph-", dir=harness.DATA)
        cls.server = radosgw.Server(cls.folder)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.s3 = s3_client.Client(cls.server.endpoint, cls.server.access_key,
                                  cls.server.secret_key)
        cls.s3.create_bucket("models")
        for path in [SAMPLE_BASE, *SAMPLE]:
            cls.s3.put_folder("models", "in/sample/" + os.path.basename(path), path)
        before = dict(os.environ)
        os.environ.update(aws(cls.server))
        cls.addClassCleanup(lambda: (os.environ.clear(), os.environ.update(before)))

    def recipes(self, folder, base, models, method="resmerge", **top):
        """The same merge from disks and from the bucket."""
        local = harness.recipe(self.path("local.yaml"), method, base, models, **top)
        inner = ["s3://models/in/%s/%s" % (folder, os.path.basename(path))
                 for path in [base, *models]]
        remote = harness.recipe(self.path("remote.yaml"), method, inner[0], inner[1:], **top)
        return local, remote

    def sample(self):
        return self.recipes("sample", SAMPLE_BASE, SAMPLE, out_dtype="bfloat16")

    def generated(self, **top):
        """Several shards, and more parts than shards."""
        models = harness.data("generated")
        if not self.s3.keys("models", "in/generated/"):
            for path in models:
                self.s3.put_folder("models", "in/generated/" + os.path.basename(path), path)
        return self.recipes("generated", models[0], models[1:], max_shard_size="30MB",
                            unit_size="1MB", **top)

    def wanted(self, local):
        output = self.path("local-out")
        self.merge(local, output)
        found = {}
        for name in os.listdir(output):
            if name.endswith(SAME):
                with open(os.path.join(output, name), "rb") as f:
                    found[name] = f.read()
        return found

    def check(self, output, wanted):
        """The bucket holds just what the disk holds, whole, and nothing else was left."""
        for name, content in wanted.items():
            self.assertTrue(self.s3.get("models", "%s/%s" % (output, name)) == content, name)
        self.assertEqual([k for k in self.s3.keys("models", output) if ".merganser" in k], [])
        self.assertEqual(self.s3.uploads("models"), [])
        self.ok("verify", "s3://models/" + output)


class S3Test(BucketCase):
    def test_embedded_writes_no_file(self):
        local, remote = self.sample()
        wanted = self.wanted(local)
        # No file of the process may grow: what is merged never touches a disk.
        done = subprocess.run(
            [harness.BIN, "merge", remote, "s3://models/out/embedded"], stdin=subprocess.DEVNULL,
            capture_output=True, env=harness.environment(), timeout=harness.LIMIT, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check("out/embedded", wanted)
        self.assertNotIn(self.server.secret_key.encode(), done.stdout + done.stderr)

    def test_many_parts(self):
        local, remote = self.generated()
        wanted = self.wanted(local)
        shards = [name for name in wanted if name.endswith(".safetensors")]
        self.assertGreaterEqual(len(shards), 3)
        for arguments in (("--threads", "1"), ("--threads", "4")):
            output = "out/parts-%s" % arguments[1]
            self.ok("merge", remote, "s3://models/" + output, *arguments)
            self.check(output, wanted)
        parts = sum(self.s3.parts("models", "%s/%s" % (output, name)) for name in shards)
        self.assertGreater(parts, 2 * len(shards))

    def test_workers(self):
        local, remote = self.generated()
        wanted = self.wanted(local)
        roots = ("--allow-root", "s3://models/in", "--allow-root", "s3://models/out")
        with harness.Cluster(3, self.path("state"), coordinator_args=roots) as cluster:
            self.assertOneError(cluster.client("submit", remote, "s3://models/outside/here"), 2,
                                "s3://models/outside/here", "allow")
            job = cluster.finish(cluster.submit(remote, "s3://models/out/workers"))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", job)
            log = cluster.log()
        self.check("out/workers", wanted)
        self.assertNotIn(self.server.secret_key, log)

    def test_ranks(self):
        local, remote = self.sample()
        wanted = self.wanted(local)
        done = subprocess.run(command(3, remote, "s3://models/out/ranks"),
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env=harness.environment(MPI_ENVIRONMENT), timeout=harness.LIMIT,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check("out/ranks", wanted)

    def test_killed_and_resumed(self):
        local, remote = self.generated()
        wanted = self.wanted(local)
        for pause in (0.2, 0.6, 1.0):
            output = "out/killed-%s" % pause
            with harness.running("merge", remote, "s3://models/" + output, "--threads", "1",
                                 *RECORD) as process:
                time.sleep(pause)
                process.send_signal(signal.SIGKILL)
                process.communicate(timeout=harness.LIMIT)
            result = self.ok("merge", remote, "s3://models/" + output, "--resume")
            print("killed after %.1f s: %s" % (pause, [
                line for line in result.err.splitlines() if "going on" in line]))
            self.check(output, wanted)

    def test_a_second_merge_is_refused_and_overwrites_where_it_is_told_to(self):
        local, remote = self.sample()
        wanted = self.wanted(local)
        self.ok("merge", remote, "s3://models/out/twice")
        self.assertOneError(harness.run("merge", remote, "s3://models/out/twice"), 2,
                            "s3://models/out/twice/", "--overwrite")
        self.ok("merge", remote, "s3://models/out/twice", "--overwrite")
        self.check("out/twice", wanted)

    def test_an_output_that_is_an_input_is_refused(self):
        _, remote = self.sample()
        for output in ("s3://models/in/sample/base", "s3://models/in",
                       "s3://models/in/sample/base/deeper", "s3://models//in/sample/base/"):
            self.assertOneError(harness.run("merge", remote, output), 2, "s3://models")


class Heedless(http.server.BaseHTTPRequestHandler):
    """Enough of a store to claim an output in, which takes conditions and does not heed them."""

    protocol_version = "HTTP/1.1"
    objects = {}

    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.answer(200 if self.path in self.objects else 404)

    def do_GET(self):
        self.answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    def do_PUT(self):
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_DELETE(self):
        self.objects.pop(self.path, None)
        self.answer(204)

    def log_message(self, *_):
        pass


class HeedlessTest(harness.Case):
    def test_a_store_that_ignores_conditions_is_no_output(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Heedless)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        local = harness.recipe(self.path("r.yaml"), "resmerge", SAMPLE_BASE, SAMPLE)
        env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % server.server_address[1],
               "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
        result = harness.run("merge", local, "s3://models/out", env=env)
        self.assertOneError(result, 2, "If-None-Match", "s3://models/out")
        self.assertEqual(Heedless.objects, {})
        # What another put there is not replaced by trying.
        claim = "/models/out/.merganser/claim"
        Heedless.objects[claim] = b"another's"
        self.assertNotEqual(harness.run("merge", local, "s3://models/out", env=env).code, 0)
        self.assertEqual(Heedless.objects, {claim: b"another's"})


class FailureTest(BucketCase):
    """One line that says what to do, and soon."""

    def fails(self, *texts, code=2, env=None, output="s3://models/out/fails", recipe=None):
        recipe = recipe or self.sample()[1]
        begun = time.monotonic()
        result = harness.run("merge", recipe, output, env=env)
        line = self.assertOneError(result, code, *texts)
        self.assertLess(time.monotonic() - begun, 60)
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
        self.fails("resolve", code=(2, 3, 4), env={"AWS_ENDPOINT_URL": "http://no-such-host.invalid"})
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.fails("onnect", code=(2, 3, 4),
                   env={"AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % port})

    def assertOneError(self, result, code, *texts):
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.code, codes, str(result))
        return super().assertOneError(result, result.code, *texts)


if __name__ == "__main__":
    harness.main()
