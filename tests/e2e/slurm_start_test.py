"""deploy/slurm/start.sh on a real Slurm of one node: a coordinator, and workers as an array, for one merge
and as a service; what is requeued, killed, given up and cancelled; buckets."""

import os
import re
import signal

import harness
import processes
import radosgw
import s3_client
import slurm_cluster
from slurm_case import SCRIPTS, SMALL, SERVES, SlurmCase


class ClusterCase(SlurmCase):
    """start.sh: a coordinator, and workers as an array."""

    def start(self, workers, *args, **env):
        more = self.environment(**dict(dict(
            SERVES, MERGANSER_COORDINATOR_SBATCH=" ".join(SMALL),
            MERGANSER_WORKERS_SBATCH=" ".join(SMALL), MERGANSER_STATE=self.path("state"),
            MERGANSER_STATE_NODE=slurm_cluster.NODE), **env))
        out = self.slurm.command(os.path.join(SCRIPTS, "start.sh"), self.path("run"),
                                 str(workers), *args, env=more)
        found = re.fullmatch(r"coordinator (\d+)\nworkers (\d+)\n", out)
        self.assertTrue(found, out)
        return found.groups()

    def address(self):
        try:
            with open(self.path("run", "address"), encoding="utf-8") as f:
                return f.read().strip()
        except FileNotFoundError:
            return None

    def held(self, output, workers=2):
        """Waits until the merge has begun, and stops its workers: they cannot finish it."""
        def there():
            found = processes.with_arguments("worker", "--coordinator", self.address() or "none")
            begun = os.path.exists(os.path.join(output, ".merganser", "claim"))
            return found if len(found) == workers and begun else None
        stopped = harness.wait_for("the workers and the merge to begin", there)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        self.assertFalse(os.path.exists(os.path.join(output, harness.INDEX)))
        return stopped

    def kill_coordinator(self, stopped):
        """Kills it while its workers are `stopped`, which go on once it is gone."""
        before = self.address()
        for pid in processes.with_arguments("coordinator", "--token-file", self.path("run", "token")):
            os.kill(pid, signal.SIGKILL)
        harness.wait_for("the coordinator to be gone", lambda: self.address() != before)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    def wait_gone(self, *jobs):
        harness.wait_for("the jobs to leave the queue", lambda: not self.slurm.command(
            "squeue", "-h", "-j", ",".join(jobs), check=False).strip(), pause=0.1)


class ClusterTest(ClusterCase):
    def test_one_merge(self):
        file, wanted = self.sample()
        output = self.path("out")
        coordinator, workers = self.start(2, file, output)
        self.assertEnd(self.slurm.finish(coordinator), "COMPLETED", 0, 0)
        self.assertEqual(harness.hash_output(output), wanted)
        self.ok("verify", output)
        self.wait_gone(workers)
        self.assertIsNone(self.address())

    def test_coordinator_requeued_while_the_merge_runs(self):
        file, wanted = self.generated()
        output = self.path("out")
        coordinator, workers = self.start(2, file, output)
        stopped = self.held(output)
        before = self.address()
        self.slurm.command("scontrol", "requeue", coordinator)
        harness.wait_for("the coordinator to be gone", lambda: self.address() != before)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        self.assertEnd(self.slurm.finish(coordinator), "COMPLETED", 0, 1)
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertIn("the coordinator moved from", self.log())
        self.wait_gone(workers)

    def test_wrong_recipe_ends_everything(self):
        file = harness.recipe(self.path("r.yaml"), "resmerge", harness.SAMPLE_BASE,
                              [self.path("nowhere")])
        coordinator, workers = self.start(2, file, self.path("out"))
        self.assertEnd(self.slurm.finish(coordinator), "FAILED", 2, 0)
        self.assertEqual(self.log().count("merganser: error:"), 1, self.log())
        self.wait_gone(workers)

    def test_a_coordinator_that_cannot_start_ends_everything(self):
        coordinator, workers = self.start(2, MERGANSER_COORDINATOR_ARGS="--no-such-flag --nor this")
        self.assertEnd(self.slurm.finish(coordinator), "FAILED", 2, 0)
        self.assertIn("--no-such-flag", self.log())
        self.wait_gone(workers)

    def test_a_coordinator_that_is_given_up_ends_its_workers(self):
        file, _ = self.generated()
        coordinator, workers = self.start(2, file, self.path("out"), MERGANSER_MAX_RESTARTS="0")
        self.held(self.path("out"))
        for pid in processes.with_arguments("coordinator", "--state", self.path("state")):
            os.kill(pid, signal.SIGKILL)
        self.assertEnd(self.slurm.finish(coordinator), "FAILED", 4, 0)
        self.assertIn("given up after 0 restarts", self.log())
        self.wait_gone(workers)

    def test_without_a_journal_a_killed_coordinator_begins_again(self):
        file, wanted = self.generated()
        output = self.path("out")
        coordinator, workers = self.start(2, file, output, MERGANSER_STATE="",
                                          MERGANSER_STATE_NODE="")
        stopped = self.held(output)
        self.kill_coordinator(stopped)
        self.assertEnd(self.slurm.finish(coordinator), "COMPLETED", 0, 1)
        self.assertIn("begins again what jobs/", self.log())
        self.assertEqual(harness.hash_output(output), wanted)
        self.wait_gone(workers)

    def test_what_is_not_its_own_is_not_begun_again(self):
        file, _ = self.generated()
        output = self.path("out")
        coordinator, workers = self.start(2, file, output, MERGANSER_STATE="",
                                          MERGANSER_STATE_NODE="")
        stopped = self.held(output)
        claim = os.path.join(output, ".merganser", "claim")
        harness.wait_for("the claim", lambda: os.path.exists(claim))
        with open(claim, encoding="utf-8") as f:
            record = f.read()
        with open(claim, "w", encoding="utf-8") as f:
            f.write(re.sub(r'"job":"\w+"', '"job":"another"', record))
        self.kill_coordinator(stopped)
        self.assertEnd(self.slurm.finish(coordinator), "FAILED", 2, 1)
        self.assertIn("held by job another", self.log())
        self.wait_gone(workers)

    def test_workers_whose_coordinator_is_cancelled_alone_end(self):
        coordinator, workers = self.start(2)
        harness.wait_for("an address", self.address, pause=0.1)
        harness.wait_for("the workers", lambda: len(processes.with_arguments(
            "worker", "--coordinator", self.address() or "none")) == 2, pause=0.1)
        self.slurm.command("scancel", coordinator)
        self.wait_gone(coordinator)
        self.wait_gone(workers)
        self.assertIn("the coordinator has ended for good", self.log())

    def test_serves_until_cancelled(self):
        coordinator, workers = self.start(2)
        address = harness.wait_for("an address", self.address, pause=0.1)
        file, wanted = self.sample()
        output = self.path("out")
        with self.assertRaisesRegex(AssertionError, "address: a coordinator runs there"):
            self.start(1)
        for name in ("token", "tls/127.0.0.1.key"):
            self.assertEqual(os.stat(self.path("run", name)).st_mode & 0o777, 0o600, name)
        believed = ("--tls-ca", self.path("run", "ca.pem"))
        admitted = ("--token-file", self.path("run", "token"))
        # Without what only this user can read nobody is served.
        nobody = {"XDG_RUNTIME_DIR": self.dir}
        refused = harness.run("list", "--coordinator", address, *believed, env=nobody)
        self.assertEqual(refused.code, 2, str(refused))
        self.ok("submit", file, output, "--coordinator", address, "--watch", *believed, *admitted,
                env=nobody)
        self.assertEqual(harness.hash_output(output), wanted)
        # A worker that is out of time drains, and comes back.
        first = self.slurm.command("squeue", "-h", "-o", "%A", "-j", workers + "_1").strip()
        self.slurm.command("scancel", "--batch", "--signal=USR1", first)
        harness.wait_for("the worker to come back", lambda: self.slurm.job(first).get(
            "Restarts") == "1" and self.slurm.job(first)["JobState"] == "RUNNING", pause=0.2)
        self.assertIn("draining", self.log())
        self.assertIn("goes back to the queue, restart 1 of 10", self.log())
        # As after a preemption: it comes back, and its workers were not cancelled.
        self.slurm.command("scontrol", "requeue", coordinator)
        before = address
        harness.wait_for("another address", lambda: self.address() not in (None, before), pause=0.2)
        address = self.address()
        again = self.path("again")
        self.ok("submit", file, again, "--coordinator", address, "--watch", *believed, *admitted,
                env=nobody)
        self.assertEqual(harness.hash_output(again), wanted)
        self.slurm.command("scancel", workers, coordinator)
        self.wait_gone(workers, coordinator)
        self.assertIsNone(self.address())

    def test_a_journal_on_another_node_is_not_forgotten(self):
        os.makedirs(self.path("run"))
        with open(self.path("run", "node"), "w", encoding="utf-8") as f:
            f.write("node2\n")
        coordinator, workers = self.start(2)
        self.assertEnd(self.slurm.finish(coordinator), "FAILED", 2, 0)
        self.assertIn("is on node2, this is node1", self.log())
        self.wait_gone(workers)
        self.assertFalse(os.path.exists(self.path("state")))

    def test_arguments(self):
        done = self.slurm.command(os.path.join(SCRIPTS, "start.sh"), "--help")
        self.assertIn("usage: deploy/slurm/start.sh RUN WORKERS", done)
        with self.assertRaisesRegex(AssertionError, "expected a number"):
            self.slurm.command(os.path.join(SCRIPTS, "start.sh"), self.path("run"), "many")
        for env, text in (({"MERGANSER_STATE": self.path("state")},
                           "MERGANSER_STATE_NODE must say which"),
                          ({}, "MERGANSER_ALLOW_ROOT must say which")):
            with self.assertRaisesRegex(AssertionError, text):
                self.slurm.command(os.path.join(SCRIPTS, "start.sh"), self.path("run"), "1",
                                   env=env)
        with self.assertRaisesRegex(AssertionError, "nowhere"):
            self.start(1, MERGANSER_WORKERS_SBATCH="--partition=nowhere")
        self.assertEqual(self.slurm.command("squeue", "-h").strip(), "")


class BucketsTest(ClusterCase):
    """The same scripts from bucket to bucket, by a profile that every node can read."""

    def sample(self):
        """As on disks; the recipe names the models in the bucket."""
        file, _ = super().sample()
        self.wanted = self.path("sample-embedded")
        with open(file, encoding="utf-8") as f:
            text = f.read()
        for path in [harness.SAMPLE_BASE, *harness.SAMPLE]:
            name = os.path.basename(path)
            self.s3.put_folder("models", "in/" + name, path)
            text = text.replace(path, "s3://models/in/" + name)
        remote = self.path("remote.yaml")
        with open(remote, "w", encoding="utf-8") as f:
            f.write(text)
        return remote

    def check(self, output):
        for name in os.listdir(self.wanted):
            if name.endswith(".safetensors") or name == "config.json":
                with open(os.path.join(self.wanted, name), "rb") as f:
                    self.assertTrue(self.s3.get("models", output + "/" + name) == f.read(), name)
        self.assertEqual(self.s3.uploads("models"), [])
        self.assertNotIn(self.server.secret_key, self.log())

    def test_one_node_and_a_cluster(self):
        self.server = self.enterContext(radosgw.Server(self.path("ceph")))
        self.s3 = s3_client.Client(self.server.endpoint, self.server.access_key,
                                   self.server.secret_key)
        self.s3.create_bucket("models")
        keys = self.path("credentials")
        with open(keys, "w", encoding="ascii") as f:
            f.write("[research]\naws_access_key_id = %s\naws_secret_access_key = %s\n" %
                    (self.server.access_key, self.server.secret_key))
        env = {"AWS_PROFILE": "research", "AWS_SHARED_CREDENTIALS_FILE": keys,
               "AWS_ENDPOINT_URL": self.server.endpoint, "AWS_REGION": "us-east-1"}
        file = self.sample()
        job = self.submit("merge.sbatch", file, "s3://models/out/node", **env)
        self.assertEnd(self.slurm.finish(job), "COMPLETED", 0, 0)
        self.check("out/node")
        coordinator, workers = self.start(2, file, "s3://models/out/cluster", **dict(
            env, MERGANSER_ALLOW_ROOT="s3://models/in:s3://models/out:" + self.dir))
        self.assertEnd(self.slurm.finish(coordinator), "COMPLETED", 0, 0)
        self.check("out/cluster")
        self.wait_gone(workers)


if __name__ == "__main__":
    harness.main()
