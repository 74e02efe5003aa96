"""The last version and this one together: a coordinator of one with workers of the other, a merge that
one began and the other resumes, a journal that goes from one to the other. versions.json says what has
to come of each: the bytes of an undisturbed merge, or the one line with which it is refused.

The last version is 0.1.0, of which no tag was made: its commit is the last before what is called 0.2.0
was begun, so what people have who built 0.1.0 from its end. An earlier one, such as of before buckets were
read, has another numerics version: coordinators and workers of it are refused by that number alone (held by
worker_calls_test.cc), and nothing of what travels or lies on disks would be asked. When a version is
released, its commit goes into versions.json; what is expected follows what this test then says.

tests/old_version.sh builds it into build-old (tests/run.sh --full does); without that, this is skipped.
MERGANSER_OLD_BIN names another program.
"""

import contextlib
import json
import os
import re
import signal
import unittest
import unittest.mock

import harness
import origin_models
from coordinator_restart_test import RestartCase
from harness import SAMPLE, SAMPLE_BASE
from resume_test import ResumeCase

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(harness.SOURCE, "build-old")
NEW = harness.BIN
OLD = os.environ.get("MERGANSER_OLD_BIN", os.path.join(BUILD, "bin", "merganser"))
SAME = "same bytes"

with open(os.path.join(HERE, "versions.json"), encoding="utf-8") as versions:
    LAST = json.load(versions)


@contextlib.contextmanager
def program(path):
    """What is started meanwhile is of that version."""
    with unittest.mock.patch.object(harness, "BIN", path):
        yield


def last_error(text, process=""):
    """The one line in which a process says why it ends; `process`: of a cluster's log, as named there."""
    lines = [line for line in text.splitlines()
             if "merganser: error: " in line and line.startswith(process)]
    return lines[0] if len(lines) == 1 else "%d errors in: %s" % (len(lines), text[-2000:])


class BothVersions:
    """Has what versions.json expects to hold. A mixin of cases."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.path.exists(OLD):
            reason = "there is no %s: tests/old_version.sh builds version %s" % (OLD, LAST["version"])
            print(reason)
            raise unittest.SkipTest(reason)
        if OLD.startswith(BUILD + os.sep):
            with open(os.path.join(BUILD, "commit"), encoding="ascii") as f:
                built = f.read().strip()
            if built != LAST["commit"]:
                raise AssertionError("%s is of commit %s, expected %s (versions.json): run "
                                     "tests/old_version.sh" % (OLD, built, LAST["commit"]))

    def expect(self, what, outcome):
        """`outcome`: SAME, or the line that was said."""
        expected = LAST["expected"][what]
        print("%s: %s" % (what, outcome))
        if expected == SAME or outcome == SAME:
            self.assertEqual(outcome, expected, what)
        else:
            self.assertRegex(outcome, expected, what)
            # Whoever reads it knows what to do.
            self.assertRegex(outcome, r"install|use that one|begin again", what)

    def recipes(self):
        """Of a method in one round and in several, and of models that are decoded as they are read."""
        made = [harness.recipe(self.path("r%d.yaml" % i), "resmerge", SAMPLE_BASE, SAMPLE, parameters,
                               unit_size="1MB", max_shard_size="2MB")
                for i, parameters in enumerate((None, {"scope": "model"}))]
        return made + [origin_models.recipe(self.path(family + ".yaml"), family,
                                            harness.data(family, scale=0.34), unit_size="1MB")
                       for family in origin_models.RECIPES]

    def wanted(self, file):
        """What this version makes of it, alone."""
        return harness.hash_output(self.merge(file, file + "-wanted"))


class ClustersTest(BothVersions, harness.Case):
    def test_alone(self):
        for file in self.recipes():
            wanted = self.wanted(file)
            with program(OLD):
                result = harness.run("merge", file, file + "-old")
            outcome = last_error(result.err) if result.code else (
                SAME if harness.hash_output(file + "-old") == wanted else "other bytes")
            self.expect("merge of the last version", outcome)

    def outcome(self, coordinator, workers):
        """Of a job of each recipe, submitted by both versions' clients."""
        files = self.recipes()
        with program(coordinator):
            cluster = harness.Cluster(0, self.path("state"))
            cluster.__enter__()
        try:
            for path in workers:
                with program(path):
                    worker = cluster.add_worker()
            jobs = []
            for i, file in enumerate(files):
                with program((OLD, NEW)[i % 2]):
                    jobs.append(cluster.submit(file, file + "-out"))

            def over():
                # One that is refused ends by itself.
                return worker.poll() is not None or all(
                    harness.finished(cluster.job(job)) for job in jobs)
            harness.wait_for("jobs to end or a worker to be refused", over, pause=0.1)
            refused = None
            if worker.poll() is not None:
                self.assertEqual(worker.returncode, 3)
                refused = last_error(cluster.log(), "[worker %d]" % (len(workers) - 1))
                if cluster.workers[0].poll() is not None or workers[0] == workers[-1]:
                    return refused
            for file, job in zip(files, jobs):
                last = cluster.finish(job)  # by the worker that is left, if one is
                if harness.state_of(last) != "SUCCEEDED":
                    return last["error"]["message"]
                for path in (OLD, NEW):
                    with program(path):
                        self.assertEqual(harness.state_of(cluster.job(job)), "SUCCEEDED")
                        self.assertIn(job, cluster.client("list").out)
                        self.assertEqual(cluster.client("watch", job).code, 0)
                if harness.hash_output(file + "-out") != self.wanted(file):
                    return "other bytes"
                for path in (OLD, NEW):
                    with program(path):
                        self.ok("verify", file + "-out")
                        self.ok("report", file + "-out")
            return refused or SAME
        finally:
            cluster.__exit__()

    def test_workers_of_this_version(self):
        self.expect("coordinator of the last version, workers of this one",
                    self.outcome(OLD, [NEW, NEW]))

    def test_workers_of_the_last_version(self):
        self.expect("coordinator of this version, workers of the last one",
                    self.outcome(NEW, [OLD, OLD]))

    def test_workers_of_both(self):
        """As in the middle of an upgrade, whose last worker is the last that is started anew."""
        self.expect("coordinators and workers of both at once", self.outcome(NEW, [NEW, OLD]))


class ResumeVersionsTest(BothVersions, ResumeCase):
    def outcome(self, first, second):
        for file in (self.recipe(), self.recipe("resmerge", {"scope": "model"}, "model.yaml")):
            wanted = harness.hash_output(self.merge(file, file + "-wanted"))
            output = file + "-out"
            with program(first):
                self.assertIsNotNone(self.disturb(file, output, 2, signal.SIGKILL))
            with program(second):
                result = harness.run("merge", file, output, "--threads", "2", "--resume")
            if result.code != 0:
                # What was done is not lost.
                with program(first):
                    self.assertGreater(self.resume(file, output), 0)
                self.check(output, wanted)
                return last_error(result.err)
            self.assertRegex(result.err, r"going on: [1-9]\d* of \d+ units")
            if harness.hash_output(output) != wanted:
                return "other bytes"
            self.check(output, wanted)
        return SAME

    def test_this_version_resumes(self):
        self.expect("begun by the last version, resumed by this one", self.outcome(OLD, NEW))

    def test_the_last_version_resumes(self):
        self.expect("begun by this version, resumed by the last one", self.outcome(NEW, OLD))


class JournalVersionsTest(BothVersions, RestartCase):
    def outcome(self, first, second):
        """Of a job in the middle of which the coordinator is killed and one of the other version is
        started over its journal, with workers of its own."""
        models = harness.data("generated")
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              max_shard_size="8MB", unit_size="1MB")
        undisturbed = self.merge(file, self.path("undisturbed"))
        output, state = self.path("out"), self.path("state")
        with program(first), harness.Cluster(2, state) as cluster:
            cluster.stop_workers()
            job = cluster.submit(file, output)
            told = self.kill_with_units_in_flight(cluster, job, 2)
            for worker in cluster.workers:
                worker.kill()
        outcome = self.go_on(second, state, job, told)
        if outcome == SAME:
            self.assertSameOutput(output, undisturbed)
        else:
            # Nothing is lost to the version that had it.
            self.assertEqual(self.go_on(first, state, job, told), SAME)
            self.assertSameOutput(output, undisturbed)
        return outcome

    def go_on(self, path, state, job, told):
        with program(path):
            cluster = harness.Cluster(2, state)
            try:
                cluster.__enter__()
            except AssertionError as error:
                return last_error(str(error))
            try:
                last = cluster.finish(job)
            finally:
                cluster.__exit__()
        if harness.state_of(last) != "SUCCEEDED":
            return last["error"]["message"]
        found = [re.match(r"goes on: (\d+) units", event["text"]) for event in last["events"]]
        self.assertGreaterEqual(max(int(m.group(1)) for m in found if m), int(told["units_done"]))
        return SAME

    def test_this_version_takes_the_journal(self):
        self.expect("journal of the last version under this one", self.outcome(OLD, NEW))

    def test_the_last_version_takes_the_journal(self):
        self.expect("journal of this version under the last one", self.outcome(NEW, OLD))


if __name__ == "__main__":
    harness.main()
