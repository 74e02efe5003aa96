"""A merge that is killed or interrupted, and gone on with by `merge --resume`."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import another_machine
import harness
import origin_models
from another_machine import BEAT

RECORD = ("--record-every", "0.02")


class ResumeCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("MERGANSER_SEED", "0")) or random.randrange(1, 1 << 30)
        print("seed %d" % self.seed)
        self.random = random.Random(self.seed)

    def recipe(self, method="resmerge", parameters=None, name="r.yaml", **top):
        models = harness.data("generated")
        top.setdefault("unit_size", "1MB")
        top.setdefault("max_shard_size", "8MB")
        return harness.recipe(self.path(name), method, models[0], models[1:], parameters, **top)

    def records(self, output):
        """Records of the progress log, the first (which tells of no unit) left out."""
        work = os.path.join(output, ".merganser")
        if not os.path.isdir(work):
            return 0
        for job in os.listdir(work):
            log = os.path.join(work, job, "progress")
            if os.path.isdir(log):
                return len([n for n in os.listdir(log) if re.fullmatch(r"\d+-\d+", n) and
                            not n.endswith("-000000")])
        return 0

    def disturb(self, file, output, records, stop, *args):
        """Starts a merge and stops it by the signal once so many records are there. None if
        it was over before; else the ended process' stderr."""
        with harness.running("merge", file, output, "--threads", "1", *RECORD, *args) as process:
            def there():
                return process.poll() is not None or self.records(output) >= records
            harness.wait_for("%d records" % records, there, pause=0.001)
            process.send_signal(stop)
            _, err = process.communicate(timeout=harness.LIMIT)
            if process.returncode == 0:
                return None
            self.assertEqual(process.returncode,
                             -signal.SIGKILL if stop == signal.SIGKILL else 130, err)
            return err.decode("utf-8", "replace")

    def resume(self, file, output):
        """Units that the run found done."""
        result = self.ok("merge", file, output, "--threads", "2", "--resume")
        found = re.search(r"going on: (\d+) of (\d+) units", result.err)
        self.assertTrue(found, str(result))
        self.assertLessEqual(int(found.group(1)), int(found.group(2)))
        return int(found.group(1))

    def check(self, output, wanted):
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.assertEqual([n for n in harness.leftovers(output) if ".partial" in n], [])
        self.ok("verify", output)


class ResumeTest(ResumeCase):
    def test_kill_9_at_any_moment(self):
        killed = 0
        merges = (("resmerge", None), ("resmerge", {"scope": "model"}),
                  ("scf_rkl", {"scope": "model"}))
        for number, (method, parameters) in enumerate(merges):
            file = self.recipe(method, parameters, "%s-%d.yaml" % (method, number))
            with self.subTest(method=method, parameters=parameters, seed=self.seed):
                killed += self.kill_and_resume(file, 3, 4)
        print("killed %d times" % killed)
        self.assertGreaterEqual(killed, 3)

    def test_kill_9_while_models_are_decoded(self):
        for family in origin_models.RECIPES:
            file = origin_models.recipe(self.path(family + ".yaml"), family, harness.data(family),
                                        unit_size="1MB", max_shard_size="8MB")
            with self.subTest(family=family, seed=self.seed):
                self.assertGreaterEqual(self.kill_and_resume(file, 2, 2), 1)

    def kill_and_resume(self, file, most, records):
        """How often a merge was killed, at most `most` times, before it was gone on with: each time
        with up to so many more records."""
        wanted = harness.hash_output(self.merge(file, file + "-wanted"))
        output, args, killed = file + "-out", (), 0
        for _ in range(most):
            # Every run adds to the records of those before it.
            wait = self.records(output) + self.random.randint(1, records)
            if self.disturb(file, output, wait, signal.SIGKILL, *args) is None:
                break
            killed += 1
            args = ("--resume",)
        if os.path.exists(os.path.join(output, ".merganser", "claim")):
            self.assertGreater(self.resume(file, output), 0)
        self.check(output, wanted)
        return killed

    def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(self):
        file, output = self.recipe(), self.path("out")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        err = self.disturb(file, output, 2, signal.SIGINT)
        self.assertIsNotNone(err)
        self.assertIn("--resume", err)
        self.assertEqual(harness.weight_files(output), [])
        # Begun anew by mistake, it is refused and told what to do.
        self.assertOneError(harness.run("merge", file, output), 2, "--resume", "--overwrite")
        self.assertGreater(self.resume(file, output), 0)
        self.check(output, wanted)

    def test_another_recipe_is_refused_and_nothing_is_lost(self):
        file, output = self.recipe(), self.path("out")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        self.assertIsNotNone(self.disturb(file, output, 2, signal.SIGKILL))
        other = self.recipe(parameters={"head_ratio_budget": 0.3}, name="other.yaml")
        self.assertOneError(harness.run("merge", other, output, "--resume"), 2,
                            "recipe, an input, or the program's numerics changed", "--overwrite")
        self.assertGreater(self.resume(file, output), 0)
        self.check(output, wanted)

    def test_a_changed_input_is_refused(self):
        models = harness.data("tiny", seed=13, experts=3)
        copy = harness.link_folder(models[1], self.path("expert"))
        file = harness.recipe(self.path("r.yaml"), "task_arithmetic", models[0],
                              [copy] + models[2:], {"weight": 1}, unit_size="1KB")
        output = self.path("out")
        claim = self.stop_at_once(file, output)
        weights = os.path.join(copy, harness.weight_files(copy)[0])
        os.utime(weights, ns=(1, 1))
        self.assertOneError(harness.run("merge", file, output, "--resume"), 2, "changed")
        self.assertTrue(os.path.exists(claim))
        self.ok("merge", file, output, "--overwrite")

    def test_damaged_records_are_refused_and_overwrite_begins_again(self):
        file, output = self.recipe(), self.path("out")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        self.assertIsNotNone(self.disturb(file, output, 2, signal.SIGKILL))
        work = os.path.join(output, ".merganser")
        damaged = 0
        for at, _, names in sorted(os.walk(work), reverse=True):
            for name in names:
                path = os.path.join(at, name)
                if name not in ("claim", "1-begun.json", "1-000000"):
                    continue
                with self.subTest(record=name):
                    with open(path, "rb") as f:
                        whole = f.read()
                    with open(path, "wb") as f:
                        f.write(whole[:len(whole) // 2])
                    self.assertOneError(harness.run("merge", file, output, "--resume"), 3,
                                        path, "--overwrite")
                    damaged += 1
                    if name != "claim":
                        with open(path, "wb") as f:
                            f.write(whole)
        self.assertEqual(damaged, 3)
        self.ok("merge", file, output, "--overwrite")
        self.check(output, wanted)

    def stop_at_once(self, file, output):
        """Kills a merge as soon as its progress log is begun; the merge may be a short one."""
        for _ in range(200):
            with harness.running("merge", file, output, "--threads", "1", "--overwrite") as process:
                def begun():
                    work = os.path.join(output, ".merganser")
                    return process.poll() is not None or any(
                        os.path.exists(os.path.join(work, job, "progress", "1-000000"))
                        for job in (os.listdir(work) if os.path.isdir(work) else ()))
                harness.wait_for("a progress log", begun, pause=0)
                process.kill()
                process.communicate()
                if process.returncode != 0:
                    return os.path.join(output, ".merganser", "claim")
        self.fail("every merge was over before it could be killed")

    def test_a_merge_that_still_runs_is_left_alone(self):
        file, output = self.recipe(), self.path("out")
        with harness.running("merge", file, output, "--threads", "1", *RECORD) as process:
            harness.wait_for("a record", lambda: process.poll() is not None or
                             self.records(output) > 0, pause=0.001)
            process.send_signal(signal.SIGSTOP)
            self.assertIsNone(process.poll())
            self.assertOneError(harness.run("merge", file, output, "--resume"), 2,
                                "still runs", str(process.pid))
            process.send_signal(signal.SIGCONT)
            _, err = process.communicate(timeout=harness.LIMIT)
            self.assertEqual(process.returncode, 0, err)
        self.ok("verify", output)

    def wait_elsewhere(self, file, output, *args):
        """The outcome of `--resume` on another machine, and how long it took."""
        began = time.monotonic()
        prefix = another_machine.prefix()
        if not prefix:
            claim = os.path.join(output, ".merganser", "claim")
            with open(claim, encoding="utf-8") as f:
                record = json.load(f)
            record["host"] += "-elsewhere"
            with open(claim, "w", encoding="utf-8") as f:
                json.dump(record, f)
        process = harness.start("merge", file, output, "--threads", "2", "--resume", *args,
                                prefix=prefix)
        out, err = process.communicate(timeout=harness.LIMIT)
        return (harness.Result(["merge"], process.returncode, out.decode(), err.decode()),
                time.monotonic() - began)

    def test_on_another_machine_a_killed_merge_is_gone_on_with_when_its_beat_stands_still(self):
        file, output = self.recipe(), self.path("out")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        # In the long run with the intervals of everybody.
        beat, still = ((), 60) if harness.LONG else (BEAT, 6 * 0.3)
        self.assertIsNotNone(self.disturb(file, output, 2, signal.SIGKILL, *beat))
        result, took = self.wait_elsewhere(file, output, *beat)  # at once, as a batch system does
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("waiting: ", result.err)
        self.assertRegex(result.err, r"going on: [1-9]\d* of")
        self.assertGreaterEqual(took, still)
        self.check(output, wanted)

    @contextlib.contextmanager
    def hardly_running(self, process):
        """Lets the process run for moments only: its beats, which are due, go on, and its work
        takes a hundred times as long."""
        over = threading.Event()

        def step():
            while not over.wait(0.1):
                process.send_signal(signal.SIGCONT)
                time.sleep(0.001)
                process.send_signal(signal.SIGSTOP)
        stepping = threading.Thread(target=step)
        stepping.start()
        try:
            yield
        finally:
            over.set()
            stepping.join()
            process.send_signal(signal.SIGCONT)

    def test_on_another_machine_a_merge_that_runs_is_left_alone(self):
        file, output = self.recipe("scf_rkl"), self.path("out")
        with harness.running("merge", file, output, "--threads", "1", *RECORD, *BEAT) as process:
            harness.wait_for("a record", lambda: process.poll() is not None or
                             self.records(output) > 0, pause=0.001)
            with self.hardly_running(process):
                result, took = self.wait_elsewhere(file, output, *BEAT)
                self.assertIsNone(process.poll())
            self.assertOneError(result, 4, "still runs", str(process.pid))
            self.assertGreaterEqual(took, 9 * 0.3)
            _, err = process.communicate(timeout=harness.LIMIT)
            self.assertEqual(process.returncode, 0, err)
        self.ok("verify", output)

    def test_begins_where_there_is_nothing_and_does_nothing_where_all_is_done(self):
        file, output = self.recipe(), self.path("out")
        self.ok("merge", file, output, "--resume")
        before = harness.hash_output(output)
        again = self.ok("merge", file, output, "--resume")
        self.assertIn("holds this merge already", again.out)
        self.check(output, before)
        # Another merge's output is not replaced by it.
        other = self.recipe(parameters={"head_ratio_budget": 0.3}, name="other.yaml")
        self.assertOneError(harness.run("merge", other, output, "--resume"), 2, "--overwrite")
        self.check(output, before)

    def test_where_all_is_done_a_changed_tokenizer_or_config_is_noticed(self):
        models = harness.data("tiny", seed=13, experts=3)
        base = harness.link_folder(models[0], self.path("base"))
        settings = os.path.join(base, "tokenizer_config.json")
        with open(settings, "w", encoding="utf-8") as f:
            f.write("{}")
        file = harness.recipe(self.path("r.yaml"), "task_arithmetic", base, models[1:],
                              {"weight": 1})
        output = self.path("out")
        self.ok("merge", file, output, "--resume")
        self.ok("merge", file, output, "--resume")
        before = harness.hash_output(output)
        for name in ("tokenizer_config.json", "config.json"):
            path, copy = os.path.join(base, name), os.path.join(output, name)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            with open(path, "w", encoding="utf-8") as f:
                json.dump({**json.loads(text), "chat_template": "x"}, f)
            self.assertOneError(harness.run("merge", file, output, "--resume"), 2, copy, path,
                                "--overwrite")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            self.ok("merge", file, output, "--resume")
            os.rename(copy, copy + ".gone")
            self.assertOneError(harness.run("merge", file, output, "--resume"), 2, copy,
                                "is missing", "--overwrite")
            os.rename(copy + ".gone", copy)
            self.check(output, before)
        # What a user put beside it is none of the merge's business.
        with open(os.path.join(output, "notes.txt"), "w", encoding="utf-8") as f:
            f.write("mine")
        self.ok("merge", file, output, "--resume")

    def test_a_share_that_disappears_keeps_what_is_done(self):
        models = [harness.link_folder(m, self.path("model-%d" % i))
                  for i, m in enumerate(harness.data("generated"))]
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              unit_size="1MB", max_shard_size="8MB")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        for what, share in (("inputs", models[1]), ("output", self.path("out-output"))):
            with self.subTest(gone=what):
                output = self.path("out-" + what)
                with harness.running("merge", file, output, "--threads", "1",
                                     *RECORD) as process:
                    harness.wait_for("2 records", lambda: process.poll() is not None or
                                     self.records(output) >= 2, pause=0.001)
                    process.send_signal(signal.SIGSTOP)
                    self.assertIsNone(process.poll())
                    os.rename(share, share + "-gone")
                    process.send_signal(signal.SIGCONT)
                    _, err = process.communicate(timeout=harness.LIMIT)
                os.rename(share + "-gone", share)
                self.assertEqual(process.returncode, 4, err)
                self.assertGreater(self.resume(file, output), 0)
                self.check(output, wanted)

    def test_a_full_disk_keeps_what_is_done(self):
        # A limit on the size of files stands in for a disk that fills: the kernel says so
        # from a given byte on, in the middle of the merge.
        file, output = self.recipe(), self.path("out")
        wanted = harness.hash_output(self.merge(file, self.path("wanted")))
        self.assertIsNotNone(self.disturb(file, output, 2, signal.SIGKILL))
        limited = subprocess.run(
            ["prlimit", "--fsize=2000", harness.BIN, "merge", file, output, "--resume",
             "--threads", "1"], capture_output=True, env=harness.environment(),
            timeout=harness.LIMIT, check=False)
        self.assertEqual(limited.returncode, 4, limited.stderr)
        self.assertIn(b"--resume", limited.stderr)
        self.assertGreater(self.resume(file, output), 0)
        self.check(output, wanted)


if __name__ == "__main__":
    harness.main()
