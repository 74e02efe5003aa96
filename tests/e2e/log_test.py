"""--log-format and --log-level: what is told, of what, and that a line is a line and JSON is JSON."""

import json
import os
import re
import unittest
import unittest.mock

import harness
import mpi_case
import stio

TIME = r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
TEXT = re.compile("^" + TIME + r" (debug|info |warn |error) (.*)$")
SECRET = "a-token-that-nobody-may-read-1234567890"


def lines(text):
    return [line for line in text.splitlines() if line]


def spoilt(folder):
    """A copy of an expert in which one element of a matrix is NaN; and the matrix' name."""
    harness.link_folder(harness.SAMPLE[0], folder)
    entry = next(e for e in stio.Checkpoint(folder).tensors.values()
                 if e.name.endswith("q_proj.weight"))
    with open(entry.path, "r+b") as f:
        f.seek(entry.offset)
        f.write(b"\xff" * (2 if entry.dtype in ("BF16", "F16") else 4))
    return folder, entry.name


class LogTest(harness.Case):
    def recipe(self, *experts):
        return harness.recipe(self.path("r.json"), "linear", None,
                              [harness.SAMPLE_BASE, *experts], parameters={"weight": 1})

    def objects(self, err):
        found = [json.loads(line) for line in lines(err)]
        for one in found:
            self.assertRegex(one["time"], "^" + TIME + "$")
            self.assertIn(one["level"], ("debug", "info", "warn", "error"))
            self.assertTrue(one["message"])
        return found

    def test_a_merge_that_fails_says_which_unit_and_why(self):
        model, tensor = spoilt(self.path("spoilt"))
        file = self.recipe(model)
        result = harness.run("merge", file, self.path("out"), "--log-format", "json")
        self.assertEqual(result.code, 3, str(result))
        told = self.objects(result.err)
        failed = [t for t in told if t["message"].startswith("unit failed: ")]
        self.assertEqual(len(failed), 1, told)
        self.assertEqual((failed[0]["level"], failed[0]["job"]),
                         ("warn", self.path("out")))
        self.assertIsInstance(failed[0]["unit"], int)
        self.assertIn(tensor, failed[0]["message"])
        self.assertEqual(told[-1]["level"], "error")
        self.assertIn(tensor, told[-1]["message"])
        # For people it is one line, and the last.
        plain = harness.run("merge", file, self.path("out"))
        self.assertOneError(plain, 3, tensor)
        self.assertNotRegex(plain.err, TIME)

    def test_levels_and_formats(self):
        file = self.recipe(harness.SAMPLE[0])
        debug = self.ok("merge", file, self.path("a"), "--log-format", "text", "--log-level",
                        "debug")
        for line in lines(debug.err):
            self.assertRegex(line, TEXT)
        done = [line for line in lines(debug.err) if "unit done" in line]
        self.assertTrue(done, str(debug))
        self.assertRegex(done[0], r" debug job=/\S+ unit=\d+ .*unit done: .* read, .* written")
        quiet = self.ok("merge", file, self.path("b"), "--log-format", "json", "--log-level",
                        "error")
        self.assertEqual(quiet.err, "")
        self.assertEqual(harness.hash_output(self.path("a")), harness.hash_output(self.path("b")))
        for flags in (("--log-format", "xml"), ("--log-level", "loud")):
            self.assertOneError(harness.run("merge", file, self.path("c"), *flags), 2, flags[0])

    @unittest.skipUnless(os.path.exists(mpi_case.MPI_BIN), "built without MPI")
    def test_ranks_log_as_well(self):
        model, tensor = spoilt(self.path("spoilt"))
        result = mpi_case.mpi_run(mpi_case.command(2, self.recipe(model), self.path("out"),
                                                   "--log-format", "json"))
        self.assertNotEqual(result.code, 0)
        told = [json.loads(line) for line in lines(result.err) if line.startswith("{")]
        failed = [t for t in told if t["message"].startswith("unit failed: ")]
        self.assertTrue(failed, str(result))
        self.assertRegex(failed[0]["worker"], r"^rank \d on ")
        self.assertIn(tensor, failed[0]["message"])

    def test_both_sides_tell_of_a_unit_that_failed(self):
        model, tensor = spoilt(self.path("spoilt"))
        flags = ("--log-format", "json", "--log-level", "debug")
        env = {"MERGANSER_TOKEN": SECRET}
        with unittest.mock.patch.dict(os.environ, {"HF_TOKEN": SECRET}), harness.Cluster(
                1, self.path("state"), worker_args=("--threads", "1", "--memory", "2GiB", *flags),
                coordinator_args=flags) as cluster:
            job = cluster.submit(self.recipe(model), self.path("out"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "FAILED")
            # A location with a secret in its query is refused; the log has none of it either.
            cluster.client("submit", self.recipe("https://me:%s@127.0.0.1:1/m?sig=%s"
                                                 % (SECRET, SECRET)), self.path("o2"), env=env)
            harness.wait_for("the worker's word", lambda: any(
                "unit failed" in line for line in cluster._logs["worker 0"]))
            logs = {name: [line for line in kept if not line.startswith("listening on ")]
                    for name, kept in cluster._logs.items()}
        self.assertNotIn(SECRET, str(logs))
        told = {name: self.objects("\n".join(kept)) for name, kept in logs.items()}
        served = [t for t in told["coordinator 1"] if t.get("job") == job]
        self.assertEqual((served[0]["message"], served[0]["owner"], served[0]["output"],
                          served[0]["priority"]), ("submitted", "admin", self.path("out"), 0))
        self.assertEqual([t["state"] for t in served if t["message"].startswith(("is ", "has "))],
                         ["PLANNING", "RUNNING", "FAILED"])
        self.assertEqual((served[-1]["level"], served[-1]["state"]), ("error", "FAILED"))
        failed = next(t for t in served if t["message"].startswith("unit failed: "))
        self.assertEqual(failed["level"], "warn")
        worker = [t for t in told["worker 0"] if t["message"].startswith("unit failed: ")]
        self.assertEqual((worker[0]["level"], worker[0]["job"]), ("warn", job))
        # Both sides say the same of it.
        for field in ("unit", "tensor", "worker", "code", "message"):
            self.assertEqual(worker[0][field], failed[field])
        self.assertIn(tensor, worker[0]["message"])
        self.assertTrue([t for t in told["worker 0"] if t["message"] == "unit begun"])

    def test_a_coordinator_and_its_workers_have_times_by_default(self):
        with harness.Cluster(1, self.path("state")) as cluster:
            job = cluster.submit(self.recipe(harness.SAMPLE[0]), self.path("out"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")
        for name, kept in cluster._logs.items():
            for line in kept:
                if not line.startswith("listening on "):
                    self.assertRegex(line, TEXT, name)
        self.assertIn("jobs stay as they are", cluster.log())


if __name__ == "__main__":
    harness.main()
