"""merganser-mpi under mpirun: the bytes of the embedded merge for any number of ranks, all of
which work; failures of one rank end the run with one line and an exit code; a rank or a run that
is killed is gone on with."""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

import harness
import origin_models
import stio
from harness import SAMPLE, SAMPLE_BASE
from mpi_case import MPI_BIN, MPI_ENVIRONMENT, MpiCase, command, mpi_run, ranks_of


class MpiTest(MpiCase):
    def same_bytes(self, file, spread, numbers=(1, 2, 4)):
        embedded = self.path("embedded")
        self.merge(file, embedded)
        wanted = harness.hash_output(embedded)
        self.assertTrue(wanted)
        for ranks in numbers:
            with self.subTest(recipe=os.path.basename(file), ranks=ranks):
                output = self.path("mpi-%d" % ranks)
                self.mpi_ok(ranks, file, output)
                self.assertEqual(harness.hash_output(output), wanted)
                self.assertNotIn(".merganser", os.listdir(output))
                self.ok("verify", output)
                run = harness.report(output)["run"]
                units = [run["unit_workers"].count(w) for w in range(len(run["workers"]))]
                print("%s, %d ranks: units of each %s" % (os.path.basename(file), ranks, units))
                if spread:
                    self.assertEqual(sorted(name.split(" on ")[0] for name in run["workers"]),
                                     ["rank %d" % r for r in range(ranks)])
                    self.assertGreater(min(units), 0)
                shutil.rmtree(output)
        shutil.rmtree(embedded)

    def test_same_bytes_and_every_rank_works(self):
        for method in ("resmerge", "scf_rkl"):
            for scope in ("tensor", "model"):
                self.same_bytes(self.generated(method, scope), spread=True)

    def test_same_bytes_of_the_sample_experts(self):
        for method in ("resmerge", "scf_rkl"):
            for scope in ("tensor", "model"):
                self.same_bytes(self.sample(method, scope), spread=False)

    def test_same_bytes_of_models_that_are_decoded(self):
        for family in origin_models.RECIPES:
            file = origin_models.recipe(self.path(family + ".yaml"), family, harness.data(family),
                                        unit_size="1MB", max_shard_size="8MB")
            self.same_bytes(file, spread=False, numbers=(3,))

    def test_several_threads_a_rank(self):
        file = self.generated("scf_rkl", "model")
        self.merge(file, self.path("embedded"))
        result = mpi_run(command(2, file, self.path("mpi"), "--threads", "3", "--memory", "1GiB"))
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(harness.hash_output(self.path("mpi")),
                         harness.hash_output(self.path("embedded")))

    def test_ranks_without_shared_memory(self):
        file = self.generated("scf_rkl", "model")
        self.merge(file, self.path("embedded"))
        result = mpi_run(command(3, file, self.path("mpi"), "--threads", "1"),
                         {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_btl_tcp_if_include": "lo"})
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(harness.hash_output(self.path("mpi")),
                         harness.hash_output(self.path("embedded")))

    def test_version_and_help_need_no_mpirun(self):
        for flag, text in (("--version", "merganser "), ("--help", "RECIPE")):
            result = mpi_run([MPI_BIN, flag])
            self.assertEqual(result.code, 0, str(result))
            self.assertIn(text, result.out)


class MpiRefusalsTest(MpiCase):
    """One line, the exit code that `merganser merge` has, and nothing left."""

    def test_wrong_recipe(self):
        file = harness.recipe(self.path("r.yaml"), "nosuch", SAMPLE_BASE, SAMPLE)
        self.assertOneError(self.mpi(3, file, self.path("out")), 2, "nosuch", "merge_method")
        self.assertNoOutput(self.path("out"))

    def test_wrong_flags(self):
        self.assertOneError(self.mpi(2, self.sample("resmerge", "tensor")), 2, "OUTPUT")
        self.assertOneError(
            self.mpi(2, self.sample("resmerge", "tensor"), self.path("out"), "--memory", "1MiB"),
            2, "--memory")
        self.assertNoOutput(self.path("out"))

    def test_an_output_that_holds_something(self):
        file = self.sample("resmerge", "tensor")
        output = self.path("out")
        self.mpi_ok(2, file, output)
        before = harness.hash_output(output)
        self.assertOneError(self.mpi(2, file, output), 2, "not empty", "--overwrite")
        self.assertEqual(harness.hash_output(output), before)
        self.mpi_ok(2, file, output, "--overwrite")
        self.assertEqual(harness.hash_output(output), before)
        done = self.mpi_ok(2, file, output, "--resume")
        self.assertIn("holds this merge already", done.out)

    def test_a_bad_input_wherever_it_is_met(self):
        models = harness.data("tiny", seed=13, experts=3)

        def wanted(expert):
            return harness.recipe(self.path("r.yaml"), "resmerge", models[0],
                                  [expert] + models[2:], max_shard_size="100KB")

        stored = stio.Checkpoint(models[1]).tensors
        plan = json.loads(self.ok("plan", wanted(models[1]), "--json").out)
        names = [t["name"] for t in plan["tensors"]
                 if t["name"] in stored and stored[t["name"]].dtype in stio.FLOATS]
        for name in (names[0], names[len(names) // 2], names[-1]):
            with self.subTest(tensor=name):
                broken = harness.link_folder(models[1], self.path("broken-" + name))
                entry = stio.Checkpoint(broken).tensors[name]
                with open(entry.path, "r+b") as f:
                    f.seek(entry.offset)
                    f.write(b"\xff" * min(8, entry.size))  # not a number in every float type
                output = self.path("out-" + name)
                self.assertOneError(self.mpi(3, wanted(broken), output), 3, "rank ", " on ", name)
                self.assertNoOutput(output)

    def test_a_rank_that_cannot_work(self):
        output = self.path("out")
        args = [MPI_BIN, self.sample("resmerge", "tensor"), output, "--threads", "1"]
        result = mpi_run(["mpirun", "-n", "2", *args, ":", "-n", "1", "env",
                          "MERGANSER_SIMD=abacus", *args])
        self.assertOneError(result, 3, "rank 2 on ", "MERGANSER_SIMD", "abacus")
        self.assertNoOutput(output)

    def test_storage_that_fails_on_one_rank(self):
        # A file size limit is a full disk that only rank 1 meets; a retry may mend it. It
        # leaves room for Open MPI's shared memory (4 MiB), and none for whole shards.
        output = self.path("out")
        args = [MPI_BIN, self.generated(max_shard_size="16MB"), output, "--threads", "1",
                "--record-every", "3600"]
        result = mpi_run(["mpirun", "-n", "1", *args, ":", "-n", "1", "bash", "-c",
                          'ulimit -f 6144; exec "$@"', "bash", *args])
        self.assertOneError(result, 4, "rank 1 on ", ".safetensors")
        self.assertNoOutput(output)


class MpiFaultsTest(MpiCase):
    def interrupted(self, file, output, act):
        """Starts three ranks, calls `act(mpirun, ranks)` in mid-run, and returns the
        finished process' exit code, errors, and how long it took to end."""
        line = command(3, file, output, "--threads", "1", "--record-every", "0.02")
        with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE,
                              env=harness.environment(MPI_ENVIRONMENT)) as process:
            try:
                def recorded():
                    if process.poll() is not None:
                        raise AssertionError("over too early: %s" % process.stderr.read())
                    return glob.glob(os.path.join(output, ".merganser/*/progress/1-000001"))

                harness.wait_for("units on record", recorded, pause=0.002)
                ranks = ranks_of(process)
                self.assertEqual(sorted(ranks), [0, 1, 2])
                # A run of which one rank stands still cannot come to its end meanwhile.
                os.kill(ranks[2], signal.SIGSTOP)
                self.assertTrue(os.path.exists(os.path.join(output, ".merganser/claim")))
                began = time.monotonic()
                act(process, ranks)
                errors = process.communicate(timeout=harness.LIMIT)[1].decode()
                took = time.monotonic() - began
            finally:
                if process.poll() is None:
                    process.kill()
        print("ended with %d after %.1f s" % (process.returncode, took))
        return process.returncode, errors, took

    def goes_on(self, file, output, wanted, resume):
        """`resume` finishes it without doing everything again."""
        self.assertEqual(harness.weight_files(output), [])
        result = resume(file, output, "--resume")
        self.assertEqual(result.code, 0, str(result))
        found = re.search(r"^going on: (\d+) of \d+ units are done$", result.err,
                          re.MULTILINE)
        self.assertTrue(found, str(result))
        self.assertGreater(int(found.group(1)), 0)
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.ok("verify", output)

    def check(self, act, resume):
        file = self.generated("scf_rkl", "model")
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        output = self.path("disturbed")
        code, errors, took = self.interrupted(file, output, act)
        self.goes_on(file, output, wanted, resume)
        return code, errors, took

    def embedded(self, file, output, *args):
        return harness.run("merge", file, output, *args)

    def test_a_rank_is_killed(self):
        def kill(_, ranks):
            os.kill(ranks[2], signal.SIGKILL)
        code, errors, took = self.check(kill, lambda *args: self.mpi(2, *args))
        self.assertEqual(code, 128 + signal.SIGKILL, errors)
        self.assertIn("rank 2", errors)
        self.assertLess(took, 120 if harness.SLOW else 30)

    def test_rank_zero_is_killed_and_another_way_of_running_goes_on(self):
        def kill(_, ranks):
            os.kill(ranks[0], signal.SIGKILL)
        code, errors, took = self.check(kill, self.embedded)
        self.assertEqual(code, 128 + signal.SIGKILL, errors)
        self.assertLess(took, 120 if harness.SLOW else 30)

    def test_one_rank_is_told_to_stop(self):
        def stop(_, ranks):
            os.kill(ranks[1], signal.SIGTERM)
            os.kill(ranks[2], signal.SIGCONT)
        code, errors, _ = self.check(stop, lambda *args: self.mpi(4, *args))
        self.assertEqual(code, 130, errors)
        lines = [line for line in errors.splitlines() if "error:" in line]
        self.assertEqual(len(lines), 1, errors)
        self.assertIn("rank 1 on ", lines[0])

    def test_mpirun_is_told_to_stop(self):
        def stop(mpirun, ranks):
            mpirun.send_signal(signal.SIGTERM)
            # mpirun wakes the rank that stands still a while before it passes the signal
            # on: long enough to come to an end.
            with contextlib.suppress(ProcessLookupError):
                while mpirun.poll() is None:
                    os.kill(ranks[2], signal.SIGSTOP)
                    time.sleep(0.001)
        code, errors, took = self.check(stop, lambda *args: self.mpi(3, *args))
        self.assertNotEqual(code, 0, errors)
        self.assertLess(took, 120 if harness.SLOW else 30)

    def test_an_embedded_merge_that_was_killed_goes_on_under_mpi(self):
        file = self.generated("scf_rkl", "model")
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        output = self.path("disturbed")
        with harness.running("merge", file, output, "--threads", "1", "--record-every",
                             "0.02") as process:
            harness.wait_for("units on record", lambda: glob.glob(
                os.path.join(output, ".merganser/*/progress/1-000001")), pause=0.002)
            process.kill()
            self.assertEqual(process.wait(), -signal.SIGKILL)
        self.goes_on(file, output, wanted, lambda *args: self.mpi(3, *args))


if __name__ == "__main__":
    harness.main()
