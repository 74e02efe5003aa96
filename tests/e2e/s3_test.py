"""From bucket to bucket, against a real S3 (Ceph's radosgw): the bytes of the merge on disks for
every way of running, nothing on disk and no upload left, runs that are killed, and a store that
does not heed conditions."""

import http.server
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time

import harness
import metrics_text
import origin_models
import readme_blocks
import radosgw
import s3_client
from harness import SAMPLE, SAMPLE_BASE
from mpi_case import MPI_ENVIRONMENT, command
from s3_case import BucketCase, aws

RECORD = ("--record-every", "0.02")


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

    def test_runs_of_segments_leave_room_for_the_pieces_buffer(self):
        """Small segments that want much memory each are read together while it lasts; with what the
        buffers were rounded up by it did not, and the merge waited for what it held itself."""
        local, remote = self.recipes("sample", SAMPLE[0], SAMPLE[1:2], method="arcee_fusion",
                                     out_dtype="bfloat16")
        wanted = self.wanted(local)
        self.merge(remote, "s3://models/out/runs", "--threads", "1", "--memory", "1GiB")
        self.check("out/runs", wanted)

    def test_many_parts(self):
        local, remote = self.generated(whole=True)
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

    def test_models_that_are_decoded(self):
        """Adapters on a base, and FP8 with MXFP4, embedded and with workers."""
        roots = ("--allow-root", "s3://models/in", "--allow-root", "s3://models/out")
        jobs = {}
        with harness.Cluster(2, self.path("state"), coordinator_args=roots) as cluster:
            for family in origin_models.RECIPES:
                models = harness.data(family, scale=0.34)
                places = ["in/%s/%s" % (family, os.path.basename(path)) for path in models]
                for path, place in zip(models, places):
                    self.s3.put_folder("models", place, path)
                wanted = self.wanted(origin_models.recipe(self.path("local.yaml"), family, models))
                shutil.rmtree(self.path("local-out"))
                remote = origin_models.recipe(self.path(family + ".yaml"), family,
                                              ["s3://models/" + place for place in places])
                jobs[family] = (wanted, cluster.submit(remote, "s3://models/out/workers-" + family))
                self.ok("merge", remote, "s3://models/out/" + family)
                self.check("out/" + family, wanted)
            for family, (wanted, job) in jobs.items():
                last = cluster.finish(job)
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
                self.check("out/workers-" + family, wanted)

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

    def test_the_page_about_buckets(self):
        _, remote = self.sample()
        result = readme_blocks.run("buckets", self.dir,
                                   dict(MPI_ENVIRONMENT, BUCKET="s3://models/page"), recipe=remote)
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("0 uploads are open below s3://models/page", result.err)

    def test_a_plan_counts_what_the_bucket_is_asked(self):
        _, remote = self.generated()
        planned = json.loads(self.ok("plan", remote, "s3://models/out/counted", "--json").out)
        text = self.ok("plan", remote, "s3://models/out/counted").out
        self.assertIn("%d to read, %d to write" % (planned["requests"]["reads"],
                                                   planned["requests"]["writes"]), text)
        self.assertGreaterEqual(planned["pieces"]["least_bytes"], 5 << 20)
        metrics = self.path("merge.prom")
        self.ok("merge", remote, "s3://models/out/counted", "--metrics-file", metrics)
        shards = [key for key in self.s3.keys("models", "out/counted/")
                  if key.endswith(".safetensors")]
        self.assertEqual(sum(self.s3.parts("models", key) for key in shards),
                         planned["pieces"]["count"])
        report = json.loads(self.s3.get("models", "out/counted/merge_report.json"))
        storage = report["run"]["storage"]
        self.assertGreaterEqual(storage["requests"],
                                planned["requests"]["reads"] + planned["requests"]["writes"])
        self.assertEqual(storage["uploads_left"], 0)
        # Metrics tell the same, and what was asked before the merge began and once it was published.
        series, _ = metrics_text.read(metrics)
        told = lambda name: metrics_text.total(series, "merganser_storage_%s_total" % name,
                                               scheme="s3")
        self.assertGreaterEqual(told("http_requests"), storage["requests"])
        self.assertLess(told("http_requests"), 2 * storage["requests"])
        self.assertEqual([told("retries"), told("throttles"), told("uploads_left")],
                         [storage["retries"], storage["throttled"], 0])
        self.assertOneError(harness.run("plan", remote, "s3://models/in"), 2, "s3://models/in")

    def test_uploads_that_were_left_are_listed_and_aborted(self):
        key = "out/left/model.safetensors"
        self.s3.request("POST", "/models/" + key, {"uploads": ""})
        held = "out/held/model.safetensors"
        self.s3.request("POST", "/models/" + held, {"uploads": ""})
        self.s3.put("models", "out/held/.merganser/claim", b"{}")
        listed = self.ok("uploads", "s3://models/out").out
        self.assertIn("s3://models/" + key, listed)
        self.assertIn("2 uploads are open", listed)
        aborted = self.ok("uploads", "s3://models/out", "--abort").out
        self.assertIn("kept: a merge holds s3://models/out/held", aborted)
        self.assertIn("2 uploads, 1 aborted, 1 kept", aborted)
        self.assertEqual(self.s3.uploads("models"), [held])
        self.s3.request("DELETE", "/models/out/held/.merganser/claim")
        self.ok("uploads", "s3://models/out", "--abort")
        self.assertEqual(self.s3.uploads("models"), [])
        self.assertOneError(harness.run("uploads", "/tmp"), 2, "expected a bucket")

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


if __name__ == "__main__":
    harness.main()
