"""The soak (soak.py), short: every kind of job once at least, under disturbances, over the sample
experts; that it finds what it looks for; and that its page says so."""

import json
import os
import random
import sqlite3
import types

import harness
import soak
import soak_jobs
import soak_page
import soak_samples
from harness import SAMPLE, SAMPLE_BASE
from http_case import Answer


def made_up(value, seconds=7200, every=5):
    """Samples of a coordinator whose memory is value(seconds), while all else stands still."""
    return [{"time": t, "journal": 1 << 20, "list": 3.0, "get": 1.0,
             "coordinator": {"pid": 1, "memory": int(value(t)), "descriptors": 40, "threads": 30},
             "workers": [{"pid": 2, "memory": 1 << 28, "descriptors": 20, "threads": 9}]}
            for t in range(0, seconds, every)]


class LinesTest(harness.Case):
    def memory(self, value):
        return next(line for line in soak_samples.judge(made_up(value), 2)
                    if (line.who, line.what) == ("coordinator", "memory"))

    def test_noise_peaks_and_what_levels_off_are_flat(self):
        rng = random.Random(1)
        for value in (lambda t: 100e6, lambda t: 100e6 + rng.uniform(-2e7, 2e7),
                      lambda t: 100e6 if t % 300 else 900e6,
                      lambda t: 100e6 * min(1, t / 1800), lambda t: 200e6 - 1e4 * t):
            line = self.memory(value)
            self.assertTrue(line.flat, "%s of %s" % (line.growth, line.allowed))

    def test_a_leak_is_not(self):
        rng = random.Random(2)
        # 20 MiB in the second half, beneath noise of as much.
        for value in (lambda t: 100e6 + 20 * soak_samples.MIB * t / 3600,
                      lambda t: 100e6 + 20 * soak_samples.MIB * t / 3600 + rng.uniform(-1e7, 1e7)):
            line = self.memory(value)
            self.assertFalse(line.flat, "%s of %s" % (line.growth, line.allowed))
            self.assertAlmostEqual(line.growth / soak_samples.MIB, 20, delta=3)

    def test_every_line_is_judged(self):
        judged = soak_samples.judge(made_up(lambda t: 1e8), 2)
        self.assertEqual({(line.who, line.what) for line in judged},
                         {(who, what) for who in ("coordinator", "worker")
                          for what in ("memory", "descriptors", "threads")} |
                         {("coordinator", what) for what in ("journal", "list", "get")})
        self.assertEqual({line.what for line in judged}, set(soak_samples.BOUNDS))


class JournalTest(harness.Case):
    def test_what_is_left_is_found(self):
        file = sqlite3.connect(self.path("merganser.db"))
        self.addCleanup(file.close)
        file.execute("CREATE TABLE jobs (uid, state)")
        file.execute("CREATE TABLE results (job)")
        file.execute("INSERT INTO jobs VALUES ('a', 'SUCCEEDED')")
        file.commit()
        self.assertEqual(soak.check_journal(self.dir), [])
        file.execute("INSERT INTO results VALUES ('a')")
        file.execute("INSERT INTO jobs VALUES ('b', 'RUNNING')")
        file.commit()
        self.assertEqual([text.split(" holds ")[1] for text in soak.check_journal(self.dir)],
                         ["1 jobs that are not over, expected 0 at most",
                          "1 results of units, expected 0 at most"])


class FindingsTest(harness.Case):
    """What a job may come to, by made-up answers."""

    def look(self, answer, digests=None, names=None):
        made = {"model.safetensors": "1"}
        place = types.SimpleNamespace(name="disk", read=lambda output: (
            made if digests is None else digests, set(made) if names is None else names))
        site = types.SimpleNamespace(ask=lambda *args, **kw: answer)
        kind = soak_jobs.Kind("linear", place, "", made, set(made))
        run = soak.Soak(None, site, [kind], [place], None, 1, 60, (1, 2))
        over = run.look(soak.Job("jobs/a", kind, "out"))
        return over, run.problems

    def answer(self, state, status=200, why="why"):
        error = {"message": why, "reason": "RETRY_MAY_HELP"}
        return Answer(status, {}, json.dumps({"state": state, "error": error}))

    def test_what_is_as_it_has_to_be(self):
        self.assertEqual(self.look(self.answer("RUNNING")), (False, []))
        self.assertEqual(self.look(self.answer("SUCCEEDED")), (True, []))
        tried = self.answer("FAILED", why="unit 1 in round 1 was tried 5 times")
        self.assertEqual(self.look(tried, digests={}, names=set()), (True, []))

    def test_what_is_not(self):
        for answer, kw, text in (
                (self.answer("FAILED"), {}, "why"), (self.answer("CANCELLED"), {}, "CANCELLED"),
                (self.answer("", 404), {}, "404"),
                (self.answer("FAILED", why="unit 1 in round 1 was tried 5 times"), {}, "it left"),
                (self.answer("SUCCEEDED"), {"digests": {"model.safetensors": "2"}},
                 "other bytes than undisturbed in ['model.safetensors']"),
                (self.answer("SUCCEEDED"), {"digests": {}}, "['model.safetensors']"),
                (self.answer("SUCCEEDED"), {"names": {"model.safetensors", "x"}},
                 "other files than undisturbed: ['x']")):
            over, problems = self.look(answer, **kw)
            self.assertTrue(over)
            self.assertEqual(len(problems), 1)
            self.assertIn(text, problems[0])


class SoakTest(harness.Case):
    def test_every_kind_of_job_under_disturbances(self):
        out = self.path("page")
        run, judged = soak.soak(self.path(), out, [SAMPLE_BASE, *SAMPLE], seconds=40, seed=7,
                                every=1, tell_every=10, pause=(4, 10))
        self.assertEqual(run.problems, [])
        methods = [m["name"] for m in json.loads(self.ok("methods", "--json").out)["methods"]]
        for method in methods:
            for place in ("disk", "bucket"):
                self.assertGreater(run.done["%s, %s" % (method, place)], 0)
        self.assertGreater(len(run.disturbances.events), 3)
        with open(os.path.join(out, "samples.jsonl"), encoding="utf-8") as f:
            self.assertEqual(len(f.readlines()), len(run.sampler.samples))
        with open(os.path.join(out, "soak.md"), encoding="utf-8") as f:
            page = f.read()
        self.assertIn("Verdict: %s." % soak_page.verdict(run, judged), page)
        for line in judged:
            name = "%s-%s.svg" % (line.who, line.what)
            self.assertIn("(%s)" % name, page)
            self.assertGreater(os.path.getsize(os.path.join(out, name)), 500)


if __name__ == "__main__":
    harness.main()
