"""From bucket to bucket while requests are disturbed: every job ends with the bytes of the merge on
disks, and leaves neither an upload nor a working folder.

A seed decides which requests fare ill, and how: five kinds of faults a seed, each on 5 % of the
requests, so that three seeds have all kinds. MERGANSER_SEEDS says how many seeds (3, or 30 with
MERGANSER_CHAOS=1); MERGANSER_SEED runs one again.
"""

import contextlib
import os
import subprocess
import time

import harness
import s3_fault_proxy
from mpi_case import MPI_ENVIRONMENT, command
from s3_case import BucketCase
from s3_fault_proxy import FaultProxy

CHAOS = harness.CHAOS
SEEDS = int(os.environ.get("MERGANSER_SEEDS", "30" if CHAOS else "3"))
RATE = 0.05
# One of each row a seed, the rows read round: the last row slows down and fails nothing.
ROWS = ((s3_fault_proxy.RESET, s3_fault_proxy.CUT, s3_fault_proxy.SHORT),
        (s3_fault_proxy.ERROR, s3_fault_proxy.SLOW_DOWN, s3_fault_proxy.TOO_MANY),
        (s3_fault_proxy.LOST, s3_fault_proxy.LOST_500, s3_fault_proxy.EXPIRED),
        (s3_fault_proxy.SPOILED, s3_fault_proxy.GARBLED),
        (s3_fault_proxy.DELAY, s3_fault_proxy.STALL, s3_fault_proxy.DUPLICATE))


def kinds_of(seed):
    # Of every row another combination as seeds go on, and all of them in the first three.
    return [row[(seed + (seed - 1) // 3 * number) % len(row)] for number, row in enumerate(ROWS)]


class FaultsTest(BucketCase):
    def setUp(self):
        super().setUp()
        only = os.environ.get("MERGANSER_SEED")
        self.seeds = [int(only)] if only else range(1, SEEDS + 1)

    @contextlib.contextmanager
    def disturbed(self, seed, what, **how):
        begun = time.monotonic()
        with FaultProxy(self.server.port, seed, **how) as proxy, self.through(proxy):
            try:
                yield proxy
            finally:
                print("seed %d, %s: %.1f s; %s" % (seed, what, time.monotonic() - begun,
                                                   dict(proxy.counts)), flush=True)

    def embedded(self, output):
        self.ok("merge", self.remote, "s3://models/" + output, "--threads", "2")

    def ranks(self, output):
        line = command(3, self.remote, "s3://models/" + output, "--threads", "1")
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True,
                              env=harness.environment(MPI_ENVIRONMENT), timeout=harness.LIMIT,
                              check=False)
        result = harness.Result(line, done.returncode, done.stdout.decode("utf-8", "replace"),
                                done.stderr.decode("utf-8", "replace"))
        self.assertEqual(result.code, 0, str(result))

    def workers(self, output, disturb):
        """Three, and `disturb` when some of the work is done and some in flight."""
        def there():
            now = cluster.job(job)
            self.assertNotIn(harness.state_of(now), ("SUCCEEDED", "FAILED"), "it ended too soon")
            progress = now["progress"]
            return int(progress.get("units_done", 0)) > 1 and \
                int(progress.get("units_leased", 0)) > 0
        # Slow enough to be met at work.
        with harness.Cluster(3, self.path("state-" + os.path.basename(output)),
                             worker_args=("--threads", "1", "--memory", "2GiB",
                                          "--storage-bandwidth", "20MB"),
                             coordinator_args=("--worker-timeout", "3")) as cluster:
            job = cluster.submit(self.remote, "s3://models/" + output)
            harness.wait_for("units in flight", there)
            disturb(cluster)
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())

    @staticmethod
    def kill_worker(cluster):
        cluster.workers[0].kill()
        cluster.workers[0].wait()

    @staticmethod
    def kill_coordinator(cluster):
        cluster.kill_coordinator()
        cluster.start_coordinator()

    def test_seeds(self):
        ways = {"embedded": self.embedded,
                "ranks": self.ranks,
                "a worker killed": lambda output: self.workers(output, self.kill_worker),
                "a coordinator killed": lambda output: self.workers(output, self.kill_coordinator)}
        local, self.remote = self.generated()
        expected = self.wanted(local)
        for seed in self.seeds:
            for number, what in enumerate(["embedded", list(ways)[1 + seed % 3]]):
                output = "out/seed-%d-%d" % (seed, number)
                with self.subTest(seed=seed, way=what):
                    with self.disturbed(seed, what, rates=dict.fromkeys(kinds_of(seed), RATE)):
                        ways[what](output)
                    self.check(output, expected)
                    self.remove(output)

    def test_a_silence_for_longer_than_is_waited(self):
        """One answer stands still: for a minute, of which half is waited, where there is time."""
        local, remote = self.sample()
        stalled = []

        def once(request):
            if stalled or "range" not in request.headers:
                return None
            stalled.append(request)
            return s3_fault_proxy.STALL

        with self.disturbed(1, "a long silence", before=once, stall=60 if CHAOS else 4):
            self.ok("merge", remote, "s3://models/out/silence")
        self.assertEqual(len(stalled), 1)
        self.check("out/silence", self.wanted(local))

    def test_every_request_fares_ill_once(self):
        """Every fourth under a seed, in one of the ways; under enough seeds each in each."""
        kinds = [kind for kind in s3_fault_proxy.KINDS
                 if kind not in (s3_fault_proxy.DELAY, s3_fault_proxy.STALL)]
        local, remote = self.sample()
        expected = self.wanted(local)
        for seed in range(4 * len(kinds)) if CHAOS else self.seeds:
            output = "out/once-%d" % seed
            with self.subTest(seed=seed):
                with self.disturbed(seed, "once", first=kinds):
                    self.ok("merge", remote, "s3://models/" + output)
                self.check(output, expected)
                self.remove(output)


if __name__ == "__main__":
    harness.main()
