"""The cases of deploy/OPERATING.md, each brought about: what the page quotes is what is said."""

import contextlib
import glob
import os
import re
import signal
import subprocess
import time
import unittest

import harness
import stio
from metrics_text import read, total
from remote_stubs import Site

PAGE = os.path.join(harness.SOURCE, "deploy", "OPERATING.md")
ALLOW = "--allow-private-addresses"


def cases():
    """{heading: text} of the page."""
    with open(PAGE, encoding="utf-8") as f:
        parts = re.split(r"(?m)^### (.*)$", f.read())
    return {name: re.split(r"(?m)^## ", text)[0] for name, text in zip(parts[1::2], parts[2::2])}


def method_of(heading):
    return "test_" + re.sub(r"[^a-z]+", "_", heading.lower()).strip("_")


class OperatingTest(harness.Case):
    def recipe(self, models=None, method="linear", **top):
        models = models or [harness.SAMPLE_BASE, harness.SAMPLE[0]]
        if method == "linear":
            return harness.recipe(self.path("r.json"), method, None, models, {"weight": 1}, **top)
        return harness.recipe(self.path("r.json"), method, models[0], models[1:], **top)

    def quoted(self, phrase):
        """`phrase`, which the page quotes for the case of the test that runs."""
        heading, = [h for h in cases() if method_of(h) == self._testMethodName]
        spans = re.findall(r"`([^`]+)`", cases()[heading])
        self.assertTrue(any(phrase in span for span in spans), "%r of %s" % (phrase, spans))
        return phrase

    def waits_for(self, cluster, job, phrase):
        self.quoted(phrase)
        return harness.wait_for(phrase, lambda: phrase in cluster.client("get", job).out and
                                cluster.client("get", job).out, pause=0.1)

    def mount(self, size):
        path = self.path("disk")
        os.makedirs(path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size, "tmpfs", path],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("no file system of its own: %s" % mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False)
        return path

    def metrics(self):
        """Flags for a file of metrics, and what it says."""
        path = self.path("metrics")

        def told(name, **labels):
            self.quoted(name)
            return total(read(path)[0], name, **labels) if os.path.exists(path) else 0
        return ("--metrics-file", path, "--metrics-every", "0.2"), told

    # --- stuck ---------------------------------------------------------------------------

    def test_no_worker(self):
        flags, told = self.metrics()
        with harness.Cluster(0, self.path("state"), coordinator_args=flags) as cluster:
            job = cluster.submit(self.recipe(), self.path("out"))
            self.waits_for(cluster, job, "no worker is alive")
            harness.wait_for("metrics", lambda: told("merganser_units", state="pending") > 0)
            self.assertEqual(told("merganser_workers"), 0)
            cluster.add_worker()
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")

    def test_a_worker_is_turned_away(self):
        flags, told = self.metrics()
        with harness.Cluster(0, self.path("state"), coordinator_args=flags) as cluster:
            self.quoted("none of this coordinator's")
            result = harness.run("worker", "--coordinator", cluster.address,
                                 env={"MERGANSER_TOKEN": "none-of-these-tokens-1234"})
            self.assertOneError(result, 2, "none of this coordinator's")
            no_token = harness.run("worker", "--coordinator", cluster.address,
                                   env={"XDG_RUNTIME_DIR": self.path("elsewhere")})
            self.assertOneError(no_token, 2, self.quoted("found no token"))
            harness.wait_for("metrics", lambda: told("merganser_grpc_requests_total",
                                                     code="UNAUTHENTICATED") >= 2)

    def test_a_unit_fits_no_worker(self):
        with harness.Cluster(1, self.path("state"),
                             worker_args=("--threads", "1", "--memory", "97MiB")) as cluster:
            job = cluster.submit(self.recipe([harness.SAMPLE_BASE, *harness.SAMPLE], "resmerge"),
                                 self.path("out"))
            told = self.waits_for(cluster, job, "start a worker with more --memory")
            self.assertRegex(told, r"needs [\d.]+ MiB of memory, found at most 1.00 MiB")
            cluster._worker_args = ("--threads", "1", "--memory", "1GiB")
            cluster.add_worker()
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")

    def test_it_is_not_its_turn(self):
        flags, told = self.metrics()
        with harness.Cluster(0, self.path("state"), coordinator_args=(
                "--active-jobs", "1", *flags)) as cluster:
            jobs = [cluster.submit(self.recipe(), self.path("o%d" % i)) for i in range(3)]
            self.waits_for(cluster, jobs[-1], "queued: 1 job before it")
            harness.wait_for("metrics", lambda: told("merganser_queue_oldest_seconds") > 0)
            cluster.add_worker()
            for job in jobs:
                self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")

    def test_storage_is_not_there(self):
        models = self.path("models")
        os.makedirs(models)
        mine = [harness.link_folder(m, os.path.join(models, str(i)))
                for i, m in enumerate((harness.SAMPLE_BASE, harness.SAMPLE[0]))]
        with harness.Cluster(0, self.path("state")) as cluster:
            job = cluster.submit(self.recipe(mine), self.path("out"))
            harness.wait_for("the plan", lambda: harness.state_of(cluster.job(job)) == "RUNNING")
            cluster.kill_coordinator()
            os.rename(models, models + "-away")
            cluster.start_coordinator()
            told = self.waits_for(cluster, job, "waits for storage: ")
            self.assertIn(models, told)
            os.rename(models + "-away", models)
            cluster.add_worker()
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")

    def test_the_journal_s_disk_is_full(self):
        disk = self.mount(16 << 20)
        flags, told = self.metrics()
        with harness.Cluster(0, os.path.join(disk, "state"), coordinator_args=flags) as cluster:
            job = cluster.submit(self.recipe(max_shard_size="1MB"), self.path("out"))
            harness.wait_for("the plan", lambda: harness.state_of(cluster.job(job)) == "RUNNING")
            with open(os.path.join(disk, "filler"), "wb", buffering=0) as f, \
                    contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * 4096)
            cluster.add_worker()
            self.waits_for(cluster, job, "results cannot be recorded")
            harness.wait_for("metrics", lambda: told("merganser_journal_requests_total",
                                                     code="RESOURCE_EXHAUSTED") > 0)
            self.assertIn("results cannot be recorded", cluster.log())
            os.remove(os.path.join(disk, "filler"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")
            self.assertIn(self.quoted("results are recorded again"), cluster.log())

    # --- slow ----------------------------------------------------------------------------

    def test_a_worker_vanished_or_stands_still(self):
        flags, told = self.metrics()
        with harness.Cluster(2, self.path("state"), coordinator_args=(
                "--worker-timeout", "2", *flags)) as cluster:
            # A worker that is stopped before it hears of its unit has none to be taken back.
            for attempt in range(5):
                self.lose_a_worker(cluster, told, self.path("out-%d" % attempt))
                with contextlib.suppress(AssertionError):
                    harness.wait_for("its word", lambda: "unit taken back" in cluster.log(), 5)
                    break
            self.assertIn(self.quoted("unit taken back"), cluster.log())

    def lose_a_worker(self, cluster, told, output):
        cluster.stop_workers()
        job = cluster.submit(self.recipe(harness.data("generated"), "resmerge",
                                         max_shard_size="8MB", unit_size="1MB"), output)
        cluster.step(job, "both have units", lambda p: int(p.get("workers", 0)) == 2)
        cluster.workers[1].send_signal(signal.SIGCONT)
        self.waits_for(cluster, job, "was lost by worker")
        harness.wait_for("metrics", lambda: told("merganser_leases_lost_total") > 0)
        self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")
        cluster.workers[0].send_signal(signal.SIGCONT)

    def slow_stage(self, file):
        series, _ = read(file)
        seconds = {stage: total(series, "merganser_worker_stage_seconds_total", stage=stage)
                   for stage in ("wait", "read", "compute", "write", "flush")}
        return max(seconds, key=seconds.get), seconds

    def test_reading_is_slow(self):
        self.quoted('stage="read"')
        self.quoted("run.stage_seconds")
        folders = [harness.link_folder(m, self.path(n)) for n, m in
                   (("base", harness.SAMPLE_BASE), ("expert", harness.SAMPLE[0]))]
        with Site(folders) as site:
            site.before = lambda path: time.sleep(0.05)
            self.merge(self.recipe([site.url + "/base", site.url + "/expert"]), self.path("out"),
                       ALLOW, "--metrics-file", self.path("m"), "--threads", "1")
        stage, seconds = self.slow_stage(self.path("m"))
        self.assertEqual(stage, "read", seconds)
        told = harness.report(self.path("out"))["run"]["stage_seconds"]
        self.assertEqual(max(told, key=told.get), "read")

    def test_most_of_the_time_is_waiting(self):
        self.quoted('stage="wait"')
        self.quoted("merganser_worker_memory_budget_bytes")
        models = harness.data("generated")
        file = self.recipe(models, "resmerge")
        self.merge(file, self.path("out"), "--threads", "1", "--metrics-file", self.path("m"))
        stage, seconds = self.slow_stage(self.path("m"))
        self.assertEqual(stage, "wait", seconds)

    # --- failed --------------------------------------------------------------------------

    def test_the_request_is_wrong(self):
        with harness.Cluster(0, self.path("state"),
                             coordinator_args=("--active-jobs", "1")) as cluster:
            folder = harness.link_folder(harness.SAMPLE[0], self.path("model"))
            file = self.recipe([harness.SAMPLE_BASE, folder])
            first = cluster.submit(file, self.path("first"))
            job = cluster.submit(file, self.path("out"))
            # It was right when it was submitted, and is not when its turn comes.
            with open(os.path.join(folder, "model.safetensors"), "r+b") as f:
                f.truncate(1000)
            cluster.client("cancel", first)
            last = cluster.finish(job)
            self.assertEqual(last["error"]["reason"], self.quoted("REQUEST_WRONG"))
            self.assertIn("model.safetensors", last["error"]["message"])
        self.assertOneError(harness.run("merge", file, self.path("o")), 2, "model.safetensors")

    def test_a_value_that_is_not_finite(self):
        folder = harness.link_folder(harness.SAMPLE[0], self.path("model"))
        entry = next(e for e in stio.Checkpoint(folder).tensors.values()
                     if e.name.endswith("q_proj.weight"))
        with open(entry.path, "r+b") as f:
            f.seek(entry.offset)
            f.write(b"\xff" * (entry.size // entry.count))
        file = self.recipe([harness.SAMPLE_BASE, folder])
        self.assertOneError(harness.run("merge", file, self.path("o")), 3, entry.name,
                            self.quoted(" is NaN"))
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(file, self.path("out"))
            last = cluster.finish(job)
            self.assertIn(entry.name, last["error"]["message"])
            self.assertIn(" is NaN", last["error"]["message"])
            self.quoted("unit failed")
            harness.wait_for("the worker's word", lambda: re.search(
                r"warn +job=%s unit=\d+ tensor=.* unit failed: " % job, cluster.log()))

    def test_the_output_s_disk_is_full(self):
        disk = self.mount(3 << 20)
        flags, told = self.metrics()
        file = self.recipe()
        result = harness.run("merge", file, os.path.join(disk, "out"), *flags)
        self.assertOneError(result, 4, self.quoted("No space left on device"), disk)
        self.assertGreater(told("merganser_storage_requests_total", code="RESOURCE_EXHAUSTED"), 0)
        subprocess.run(["mount", "-o", "remount,size=%d" % (64 << 20), disk], check=True)
        self.ok("merge", file, os.path.join(disk, "out"), self.quoted("--resume"))

    def test_an_output_that_somebody_holds(self):
        models = harness.data("generated")
        file = self.recipe(models, "resmerge")
        with harness.running("merge", file, self.path("out")) as first:
            harness.wait_for("the claim", lambda: glob.glob(self.path("out", ".merganser", "*")),
                             pause=0)
            first.send_signal(signal.SIGSTOP)
            self.assertIsNone(first.poll())
            second = harness.run("merge", file, self.path("out"))
            self.assertIn(second.code, (2, 4), str(second))
            self.assertOneError(second, second.code, self.quoted("held by"))
            first.kill()
            first.wait()
        self.ok("merge", file, self.path("out"), "--resume")


class PageTest(unittest.TestCase):
    def test_every_case_is_tried(self):
        tried = {name for name in dir(OperatingTest) if name.startswith("test_")}
        self.assertEqual({method_of(heading) for heading in cases()}, tried)

    def test_every_metric_and_alert_is_there(self):
        with open(PAGE, encoding="utf-8") as f:
            page = f.read()
        with open(os.path.join(harness.SOURCE, "deploy", "prometheus", "METRICS.md"),
                  encoding="utf-8") as f:
            table = f.read()
        with open(os.path.join(harness.SOURCE, "deploy", "prometheus", "rules.yml"),
                  encoding="utf-8") as f:
            rules = f.read()
        for name in set(re.findall(r"\bmerganser_[a-z0-9_]+", page)):
            self.assertIn("| `%s` |" % name, table)
        for name in set(re.findall(r"\bMerganser[A-Z]\w+", page)):
            self.assertIn("alert: %s\n" % name, rules)


if __name__ == "__main__":
    harness.main()
