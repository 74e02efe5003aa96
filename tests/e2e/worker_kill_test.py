"""A worker that dies while it holds units costs time, not bytes."""

import os
import signal
import subprocess

import harness


class WorkerKillTest(harness.Case):
    def test_kill_9_while_it_holds_units(self):
        models = harness.data("generated", whole=True)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:],
                              max_shard_size="8MB")
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        output = self.path("disturbed")
        with harness.Cluster(3, self.path("state")) as cluster:
            cluster.stop_workers()
            job = cluster.submit(file, output)
            # All three holding units means that this one does.
            cluster.step(job, "every worker holding units",
                         lambda told: int(told.get("workers", 0)) == 3)
            victim = cluster.workers[1]
            victim.send_signal(signal.SIGKILL)
            self.assertEqual(victim.wait(), -signal.SIGKILL)
            cluster.signal_workers(signal.SIGCONT)
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
            retries = int(last["progress"]["retries"])
            print("units given out again: %d" % retries)
            self.assertGreaterEqual(retries, 1)
        self.assertEqual(harness.hash_output(output), wanted)
        self.assertNotIn(".merganser", os.listdir(output))
        self.ok("verify", output)

    def test_a_worker_told_to_stop_exits_though_the_coordinator_is_gone(self):
        with harness.Cluster(2, self.path("state")) as cluster:
            harness.wait_for("workers to connect",
                             lambda: cluster.log().count("connected") == 2)
            cluster.coordinator.kill()
            cluster.coordinator.wait()
            for worker in cluster.workers:
                worker.send_signal(signal.SIGTERM)
            for worker in cluster.workers:
                try:
                    worker.wait(30 if not harness.SLOW else 120)
                except subprocess.TimeoutExpired:
                    self.fail("it still runs\n" + cluster.log())

    def test_all_workers_die_and_one_comes_later(self):
        models = harness.data("tiny", seed=13, experts=3)
        file = harness.recipe(self.path("r.yaml"), "resmerge", models[0], models[1:])
        wanted = harness.hash_output(self.merge(file, self.path("undisturbed")))
        output = self.path("disturbed")
        with harness.Cluster(2, self.path("state")) as cluster:
            for worker in cluster.workers:
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
            job = cluster.submit(file, output)
            self.assertFalse(harness.finished(cluster.job(job)))
            cluster.add_worker()
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
        self.assertEqual(harness.hash_output(output), wanted)


if __name__ == "__main__":
    harness.main()
