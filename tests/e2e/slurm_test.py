"""The batch scripts of deploy/slurm on a real Slurm of one node: bytes, preemption, exit codes.

Skipped, with the reason, only where Slurm's daemons cannot run; with MERGANSER_LONG=1, which
says that they are installed, that is a failure.
"""

import os
import re
import resource
import shutil
import signal
import tempfile
import unittest

import harness
import processes
import radosgw
import readme_blocks
import s3_client
import slurm_cluster

SCRIPTS = os.path.join(harness.SOURCE, "deploy", "slurm")
BINARIES = os.path.dirname(os.path.abspath(harness.BIN))
MPI = os.path.join(BINARIES, "merganser-mpi")
# What jobs may read and write, and by what name others reach the node: one that needs no
# /etc/hosts.
SERVES = {"MERGANSER_HOST": "127.0.0.1",
          "MERGANSER_ALLOW_ROOT": harness.SOURCE + ":" + os.path.abspath(harness.DATA)}
# What a job asks of the node.
SMALL = ("--nodes=1", "--cpus-per-task=1", "--mem=2G")
RECORD_OFTEN = ("--record-every", "0.02")


def records(output):
    """How often the merge into `output` put down what it had done."""
    count = 0
    for at, _, files in os.walk(os.path.join(output, ".merganser")):
        if os.path.basename(at) == "progress":
            count += len(files)
    return count


class SlurmCase(harness.Case):
    can_start = False  # it has, in this run

    @classmethod
    def setUpClass(cls):
        # Sockets have short names: not below the build folder.
        cls.folder = tempfile.mkdtemp(prefix="merganser-slurm-")
        cls.slurm = slurm_cluster.SlurmCluster(cls.folder)
        try:
            cls.slurm.__enter__()
            SlurmCase.can_start = True
        except slurm_cluster.CannotStart as error:
            shutil.rmtree(cls.folder, ignore_errors=True)
            if SlurmCase.can_start or harness.LONG:
                raise
            print("skipped: Slurm cannot run here: %s" % error, flush=True)
            raise unittest.SkipTest("Slurm cannot run here: %s" % error)

    @classmethod
    def tearDownClass(cls):
        cls.slurm.__exit__()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def environment(self, **more):
        # Open MPI asks root to insist, as it does everywhere.
        return dict({"MERGANSER_BIN_DIR": BINARIES, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                     "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}, **more)

    def submit(self, script, *args, options=(), **env):
        return self.slurm.sbatch("--output", self.log_file(), *SMALL, *options,
                                 os.path.join(SCRIPTS, script), *args,
                                 env=self.environment(**env))

    def log_file(self):
        return self.path("job.log")

    def log(self):
        text = ""
        for at, _, files in os.walk(self.dir):
            for name in sorted(files):
                if name.endswith(".log"):
                    with open(os.path.join(at, name), encoding="utf-8", errors="replace") as f:
                        text += "".join("[%s] %s" % (name, line) for line in f)
        return text

    def assertEnd(self, job, state, code, restarts):
        self.assertEqual((job["JobState"], job["ExitCode"], job["Restarts"]),
                         (state, "%d:0" % code, str(restarts)), "%s\n%s" % (job, self.log()))

    def sample(self):
        """A recipe of the sample experts, and the bytes that it makes."""
        file = harness.recipe(self.path("sample.yaml"), "resmerge", harness.SAMPLE_BASE,
                              harness.SAMPLE)
        return file, harness.hash_output(self.merge(file, self.path("sample-embedded")))

    def generated(self):
        """The same of the generated set: it takes seconds, over three rounds."""
        models = harness.data("generated")
        file = harness.recipe(self.path("generated.yaml"), "scf_rkl", models[0], models[1:],
                              parameters={"scope": "model"}, max_shard_size="8MB")
        return file, harness.hash_output(self.merge(file, self.path("generated-embedded")))

    def stop_in_the_middle(self, name, output):
        """Waits until some of the merge is on record, and stops its processes: whatever comes
        next finds it unfinished. Slurm wakes what it ends."""
        def stopped():
            if records(output) < 3:
                return []
            # Not what launches it: mpirun passes on that it is woken.
            found = [pid for pid in processes.with_arguments(name, output)
                     if processes.program_of(pid) == name]
            for pid in found:
                os.kill(pid, signal.SIGSTOP)
            return found
        found = harness.wait_for("some of the merge to be on record", stopped)
        self.assertFalse(os.path.exists(os.path.join(output, harness.INDEX)),
                         "over before it could be stopped")
        return found

    def assertWentOn(self):
        found = re.findall(r"going on: (\d+) of \d+ units", self.log())
        self.assertTrue(found, self.log())
        print("went on with %s units" % found)
        self.assertGreater(int(found[-1]), 0)


class Requeues:
    """What every script of one merge does; `script`, `name` and `options` say which."""

    env = {}

    def run_merge(self, file, output, *args):
        return self.submit(self.script, file, output, *args, options=self.options, **self.env)

    def test_sample_experts(self):
        file, wanted = self.sample()
        output = self.path("out")
        self.assertEnd(self.slurm.finish(self.run_merge(file, output)), "COMPLETED", 0, 0)
        self.assertEqual(harness.hash_output(output), wanted)
        self.ok("verify", output)

    def test_requeued_while_it_runs(self):
        file, wanted = self.generated()
        output = self.path("out")
        job = self.run_merge(file, output, *RECORD_OFTEN)
        self.stop_in_the_middle(self.name, output)
        self.slurm.command("scontrol", "requeue", job)
        self.assertEnd(self.slurm.finish(job), "COMPLETED", 0, 1)
        self.assertWentOn()
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.ok("verify", output)

    def test_out_of_time(self):
        file, wanted = self.generated()
        output = self.path("out")
        job = self.run_merge(file, output, *RECORD_OFTEN)
        stopped = self.stop_in_the_middle(self.name, output)
        # As Slurm does it for --signal=B:USR1@120.
        self.slurm.command("scancel", "--batch", "--signal=USR1", job)
        # It goes on only to find itself told to stop.
        harness.wait_for("the program to be told",
                         lambda: all(processes.awaits(pid, signal.SIGTERM) for pid in stopped))
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        self.assertEnd(self.slurm.finish(job), "COMPLETED", 0, 1)
        self.assertIn("exit code 130: goes back to the queue, restart 1 of 10", self.log())
        self.assertWentOn()
        self.assertEqual(harness.hash_output(output), wanted)

    def test_wrong_recipe_is_never_tried_again(self):
        file = harness.recipe(self.path("r.yaml"), "resmerge", harness.SAMPLE_BASE,
                              [self.path("nowhere")])
        job = self.slurm.finish(self.run_merge(file, self.path("out")))
        self.assertEnd(job, "FAILED", 2, 0)
        self.assertEqual(self.log().count("merganser: error:"), 1, self.log())
        self.assertNoOutput(self.path("out"))


class MergeTest(Requeues, SlurmCase):
    script, name, options = "merge.sbatch", "merganser", ()

    def test_cancelled_it_stays_cancelled(self):
        file, _ = self.generated()
        output = self.path("out")
        job = self.run_merge(file, output, *RECORD_OFTEN)
        self.stop_in_the_middle(self.name, output)
        self.slurm.command("scancel", job)
        last = self.slurm.finish(job)
        self.assertEqual((last["JobState"], last["Restarts"]), ("CANCELLED", "0"))

    def run_on_a_full_disk(self, options=(), **env):
        file, _ = self.sample()
        # Slurm gives a job the limits of who submits it: a full disk, to the program.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
        try:
            return self.submit(self.script, file, self.path("out"), options=options,
                               MERGANSER_MAX_RESTARTS="1", **env)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_a_failure_that_a_retry_may_mend_is_tried_a_bounded_number_of_times(self):
        job = self.run_on_a_full_disk()
        self.assertEnd(self.slurm.finish(job), "FAILED", 4, 1)
        self.assertIn("exit code 4: given up after 1 restarts", self.log())
        self.assertEqual(self.log().count("merganser: error:"), 2, self.log())

    def test_restarts_by_slurm_are_not_counted(self):
        os.makedirs(self.path("bin"))
        first = self.path("bin", "merganser")
        with open(first, "w", encoding="utf-8") as f:
            f.write("""#!/bin/bash
[ -e %s ] || { touch %s; exec sleep 600; }
exec %s "$@"
""" % (self.path("begun"), self.path("begun"), os.path.abspath(harness.BIN)))
        os.chmod(first, 0o755)
        job = self.run_on_a_full_disk(("--comment", "what its user calls it"),
                                      MERGANSER_BIN_DIR=self.path("bin"))
        harness.wait_for("the first start", lambda: os.path.exists(self.path("begun")))
        self.slurm.command("scontrol", "requeue", job)
        self.assertEnd(self.slurm.finish(job), "FAILED", 4, 2)
        self.assertIn("exit code 4: given up after 1 restarts", self.log())
        self.assertIn("Comment=what its user calls it [merganser: restart 1]",
                      self.slurm.command("scontrol", "show", "job", job))

    def test_slurm_ends_the_job_before_scontrol_said_that_it_is_requeued(self):
        os.makedirs(self.path("bin"))
        slow = self.path("bin", "scontrol")
        with open(slow, "w", encoding="utf-8") as f:
            f.write("""#!/bin/bash
%s "$@"
code=$?
[ "$1" != requeue ] || sleep 3
exit "$code"
""" % shutil.which("scontrol", path=self.slurm.env["PATH"]))
        os.chmod(slow, 0o755)
        path = self.path("bin") + ":" + self.slurm.env["PATH"]
        self.assertEnd(self.slurm.finish(self.run_on_a_full_disk(PATH=path)), "FAILED", 4, 1)
        self.assertIn("exit code 4: goes back to the queue, restart 1 of 1", self.log())
        self.assertNotIn("does not take it back", self.log())

    def test_a_failure_is_not_tried_again(self):
        models = harness.data("tiny", seed=13, experts=3)
        expert = harness.link_folder(models[1], self.path("expert"))
        self.spoil(expert)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], [expert, models[2]])
        self.assertEnd(self.slurm.finish(self.run_merge(file, self.path("out"))), "FAILED", 3, 0)
        self.assertEqual(self.log().count("merganser: error:"), 1, self.log())

    def spoil(self, folder):
        """A NaN as the first value of every weight file."""
        for name in harness.weight_files(folder):
            if not name.endswith(".safetensors"):
                continue
            with open(os.path.join(folder, name), "r+b") as f:
                f.seek(8 + int.from_bytes(f.read(8), "little"))
                f.write(b"\xff" * 8)


class MpiCase(SlurmCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(MPI):
            print("skipped: there is no %s" % MPI, flush=True)
            raise unittest.SkipTest("there is no %s" % MPI)
        super().setUpClass()


class MpirunTest(Requeues, MpiCase):
    script, name = "merge-mpi.sbatch", "merganser-mpi"
    options = ("--ntasks-per-node=2",)


class SrunTest(MpirunTest):
    env = {"MERGANSER_LAUNCH": "srun"}


class ReadmeTest(SlurmCase):
    """deploy/README.md: what it tells an operator to type."""

    def test_commands(self):
        _, wanted = self.sample()
        result = readme_blocks.run("slurm", self.dir, dict(
            self.slurm.env, SBATCH_OUTPUT=self.log_file(), SHARED=SERVES["MERGANSER_ALLOW_ROOT"],
            **self.environment(MERGANSER_HOST=SERVES["MERGANSER_HOST"])))
        self.assertEqual(result.code, 0, str(result))
        harness.wait_for("the jobs to leave the queue", lambda: not self.slurm.command(
            "squeue", "-h").strip(), pause=0.1)
        for output in ("merged", "merged-by-workers", "merged-served"):
            self.assertEqual(harness.hash_output(self.path(output)), wanted,
                             output + "\n" + self.log())


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
