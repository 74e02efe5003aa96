"""A coordinator that is killed or stopped, and started again with the same --state, costs
time, not bytes: it goes on with every job, and repeats only units that were in flight."""

import os
import random
import re
import signal

import harness
import processes


class RestartCase(harness.Case):
    def kill_with_units_in_flight(self, cluster, job, done, detail=""):
        """Kills the coordinator once `done` units are, while more are in flight; what it had
        told of its progress. Workers stand still then."""
        progress = cluster.step(
            job, "%d units done and others in flight" % done,
            lambda told: (int(told["units_done"]) >= done and int(told["units_leased"]) > 0
                          and detail in told["detail"]))
        cluster.kill_coordinator()
        return progress

    def on_record(self, cluster, job):
        """How many units the coordinator that runs now found on record."""
        def told():
            events = [e["text"] for e in cluster.job(job)["events"]]
            found = [re.match(r"goes on: (\d+) units", text) for text in events]
            # One for every start but the first.
            counts = [int(m.group(1)) for m in found if m]
            return counts if len(counts) == cluster.coordinators - 1 else None
        return harness.wait_for("the job to go on", told)[-1]

    def written(self, cluster):
        """Bytes that the workers handed to write calls."""
        return sum(processes.written(worker.pid) for worker in cluster.workers)

    def assertSameOutput(self, output, undisturbed):
        self.assertEqual(harness.hash_output(output), harness.hash_output(undisturbed))
        self.assertEqual(harness.leftovers(output), harness.leftovers(undisturbed))
        self.ok("verify", output)


class CoordinatorRestartTest(RestartCase):
    def test_kill_9_at_seeded_moments(self):
        models = harness.data("generated", whole=True)
        # Small shards, many units: what is in flight is a small part.
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              max_shard_size="2MB")
        undisturbed = self.merge(file, self.path("undisturbed"))
        size = sum(os.path.getsize(os.path.join(undisturbed, name))
                   for name in harness.weight_files(undisturbed))
        for seed, kills in ((1, 1), (2, 1), (3, 3)):
            random_ = random.Random(seed)
            moments = sorted(random_.uniform(0, 0.8) for _ in range(kills))
            output = self.path("out-%d" % seed)
            with self.subTest(seed=seed), \
                    harness.Cluster(2, self.path("state-%d" % seed)) as cluster:
                cluster.stop_workers()
                job = cluster.submit(file, output)
                harness.wait_for("the plan", lambda: int(
                    cluster.job(job)["progress"]["units_total"]) > 0)
                units = int(cluster.job(job)["progress"]["units_total"])
                in_flight = 0
                for moment in moments:
                    told = self.kill_with_units_in_flight(cluster, job, int(moment * units))
                    cluster.start_coordinator()
                    recorded = self.on_record(cluster, job)
                    # What was told as done is not done again; the rest was not done.
                    self.assertGreaterEqual(recorded, int(told["units_done"]))
                    self.assertLess(recorded, units)
                    # As told; each worker may have got one more before the kill.
                    in_flight += int(told["units_leased"]) + len(cluster.workers)
                cluster.signal_workers(signal.SIGCONT)
                last = cluster.finish(job)
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
                self.assertEqual(int(last["progress"]["units_done"]), units)
                self.assertEqual(int(last["progress"]["retries"]), 0, str(last))
                repeated = self.written(cluster) - size
            print("seed %d: killed at %s of %d units; written twice: %.1f MB of %.1f MB, about %.1f "
                  "units, of at most %d in flight"
                  % (seed, ["%.2f" % m for m in moments], units, repeated / 1e6, size / 1e6,
                     repeated * units / size, in_flight))
            # Half as large again as the mean, as units are not all of one size.
            self.assertLess(repeated, 1.5 * in_flight * size / units)
            self.assertSameOutput(output, undisturbed)

    def test_kill_9_in_every_round(self):
        models = harness.data("generated", whole=True)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              {"scope": "model"}, max_shard_size="8MB")
        undisturbed = self.merge(file, self.path("undisturbed"))
        output = self.path("out")
        with harness.Cluster(2, self.path("state")) as cluster:
            cluster.stop_workers()
            job = cluster.submit(file, output)
            for detail in ("round 1 of 2", "round 2 of 2"):
                told = self.kill_with_units_in_flight(cluster, job, 1, detail)
                cluster.start_coordinator()
                self.assertGreaterEqual(self.on_record(cluster, job), int(told["units_done"]))
            cluster.signal_workers(signal.SIGCONT)
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
        self.assertSameOutput(output, undisturbed)

    def test_kill_9_as_it_publishes(self):
        models = harness.data("tiny", seed=13, experts=3)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              max_shard_size="20KB")
        undisturbed = self.merge(file, self.path("undisturbed"))
        total = len(harness.weight_files(undisturbed))
        random_ = random.Random(5)
        seen = []

        def in_the_middle():
            return sum(0 < n < total for n in seen)
        with harness.Cluster(1, self.path("state")) as cluster:
            # Files become visible in no time: not every kill comes between two of them.
            while len(seen) < 6 or (in_the_middle() < 2 and len(seen) < 40):
                output = self.path("out-%d" % len(seen))
                job = cluster.submit(file, output)
                shards = random_.randrange(total - 1)
                harness.wait_for("shards to become visible",
                                 lambda: len(harness.weight_files(output)) > shards, pause=0)
                cluster.kill_coordinator()
                seen.append(len(harness.weight_files(output)))
                cluster.start_coordinator()
                last = cluster.finish(job)
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
                self.assertSameOutput(output, undisturbed)
        print("seed 5: weight files visible at the kills: %s of %d" % (seen, total))
        self.assertGreaterEqual(in_the_middle(), 2, seen)

    def test_queued_jobs_and_a_cancellation(self):
        models = harness.data("tiny", seed=13, experts=3)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:])
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        with harness.Cluster(0, self.path("state")) as cluster:
            jobs = [cluster.submit(file, self.path("out-%d" % i)) for i in range(7)]
            harness.wait_for("a job to run",
                             lambda: harness.state_of(cluster.job(jobs[0])) == "RUNNING")
            cancelled = cluster.client("cancel", jobs[0])
            self.assertEqual(cancelled.code, 0, str(cancelled))
            cluster.kill_coordinator()
            cluster.start_coordinator()
            cluster.add_worker()
            self.assertEqual(harness.state_of(cluster.finish(jobs[0])), "CANCELLED")
            for job in jobs[1:]:
                self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED",
                                 cluster.log())
        self.assertNoOutput(self.path("out-0"))
        for i in range(1, 7):
            self.assertEqual(harness.hash_output(self.path("out-%d" % i)), wanted)

    def test_a_stop_is_no_failure_and_watching_survives_it(self):
        models = harness.data("tiny", seed=13, experts=3)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:])
        with harness.Cluster(0, self.path("state")) as cluster:
            job = cluster.submit(file, self.path("out"))
            harness.wait_for("the job to run",
                             lambda: harness.state_of(cluster.job(job)) == "RUNNING")
            log = open(self.path("watch.log"), "wb")
            self.addCleanup(log.close)
            with harness.running("watch", job, "--coordinator", cluster.address,
                                 stderr=log) as watcher:
                def said(text):
                    with open(self.path("watch.log"), encoding="utf-8") as f:
                        return text in f.read()
                harness.wait_for("the watcher to connect", lambda: said("no worker is alive"))
                cluster.coordinator.send_signal(signal.SIGTERM)
                self.assertEqual(cluster.coordinator.wait(harness.LIMIT), 0)
                harness.wait_for("the watcher to notice", lambda: said("went away"))
                cluster.start_coordinator()
                self.assertEqual(harness.state_of(cluster.job(job)), "RUNNING")
                cluster.add_worker()
                self.assertEqual(watcher.wait(harness.LIMIT), 0)
                self.assertTrue(said("%s: is back" % cluster.address))
            self.assertEqual(harness.state_of(cluster.job(job)), "SUCCEEDED")
            self.assertIn("jobs stay as they are", cluster.log())

    def test_an_input_that_changed_is_named_and_nothing_left(self):
        models = harness.data("tiny", seed=13, experts=3)
        expert = harness.link_folder(models[1], self.path("expert"))
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], [expert] + models[2:])
        with harness.Cluster(0, self.path("state")) as cluster:
            job = cluster.submit(file, self.path("out"))
            harness.wait_for("the job to run",
                             lambda: harness.state_of(cluster.job(job)) == "RUNNING")
            cluster.kill_coordinator()
            weights = os.path.join(expert, harness.weight_files(expert)[0])
            os.utime(weights, ns=(0, 0))
            cluster.start_coordinator()
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "FAILED")
            self.assertIn("these inputs changed: %s" % os.path.abspath(expert),
                          last["error"]["message"])
        self.assertNoOutput(self.path("out"))

    def test_storage_that_is_not_mounted_yet_is_waited_for(self):
        models = harness.data("tiny", seed=13, experts=3)
        shares = [self.path("inputs"), self.path("outputs")]
        for share in shares:
            os.makedirs(share)
        expert = harness.link_folder(models[1], os.path.join(shares[0], "expert"))
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], [expert] + models[2:])
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        for share in shares:
            with self.subTest(share=share), \
                    harness.Cluster(0, self.path("state-" + os.path.basename(share))) as cluster:
                for end in ("CANCELLED", "SUCCEEDED"):
                    output = os.path.join(shares[1], os.path.basename(share), end)
                    last = self.restart_without(cluster, share, file, output, end)
                    self.assertEqual(harness.state_of(last), end, cluster.log())
                    if end == "SUCCEEDED":
                        self.assertEqual(harness.hash_output(output), wanted)
                    elif share == shares[0]:
                        self.assertNoOutput(output)
                    else:
                        self.assertIn("partial output may remain", str(last["warnings"]))

    def restart_without(self, cluster, share, file, output, end):
        """Restarts the coordinator under a job that has begun, with `share` away; it is there
        again once the job waits, or was cancelled. What the job is in the end."""
        job = cluster.submit(file, output)
        harness.wait_for("the job to run", lambda: int(
            cluster.job(job)["progress"]["units_total"]) > 0)
        cluster.kill_coordinator()
        os.rename(share, share + "-away")
        cluster.start_coordinator()
        harness.wait_for("the job to wait", lambda: "mount its storage, or cancel the job"
                         in cluster.job(job)["progress"]["detail"])
        self.assertEqual(harness.state_of(cluster.job(job)), "RUNNING")
        if end == "CANCELLED":
            self.assertEqual(cluster.client("cancel", job).code, 0)
            last = cluster.finish(job)
        os.rename(share + "-away", share)
        if end == "SUCCEEDED":
            cluster.add_worker()
            last = cluster.finish(job)
        return last

    def test_a_second_coordinator_is_refused(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            refused = harness.run("coordinator", "--listen", "127.0.0.1:0", "--state",
                                  self.path("state"))
            self.assertOneError(refused, 2, "--state %s" % self.path("state"),
                                "held by pid %d on host" % cluster.coordinator.pid)
            self.assertEqual(cluster.client("health").code, 0)


if __name__ == "__main__":
    harness.main()
