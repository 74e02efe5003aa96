"""The batch scripts of one merge (deploy/slurm) on a real Slurm of one node: bytes, preemption, exit codes;
and what deploy/README.md tells an operator to type."""

import os
import re
import resource
import shutil
import signal
import unittest

import harness
import processes
import readme_blocks
from slurm_case import BINARIES, SERVES, SlurmCase

MPI = os.path.join(BINARIES, "merganser-mpi")
RECORD_OFTEN = ("--record-every", "0.02")


def records(output):
    """How often the merge into `output` put down what it had done."""
    count = 0
    for at, _, files in os.walk(os.path.join(output, ".merganser")):
        if os.path.basename(at) == "progress":
            count += len(files)
    return count


class Requeues:
    """What every script of one merge does; `script`, `name` and `options` say which."""

    env = {}

    def run_merge(self, file, output, *args):
        return self.submit(self.script, file, output, *args, options=self.options, **self.env)

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


if __name__ == "__main__":
    harness.main()
