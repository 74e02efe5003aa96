"""Whatever is done to a running job, its output is the undisturbed one, nothing is left beside
it, and no more is repeated than was in flight.

A seed decides what happens and when, while units are in flight: workers are killed with -9 or
stopped for longer than the coordinator waits for them, the coordinator is killed with -9 and
started again, the network between workers and coordinator is cut, and the output's file system
fills up (where this user may mount one). Under even seeds workers are in a network namespace of
their own (where this user may make one), else they connect through a proxy (disturbances.py).
MERGANSER_SEEDS says how many seeds (5, or 50 with MERGANSER_CHAOS=1); MERGANSER_SEED runs one
again.
"""

import os
import random
import subprocess
import time

import disturbances
import harness
import origin_models
import processes
from disturbances import DisturbedCluster, Disturbances

SEEDS = int(os.environ.get("MERGANSER_SEEDS",
                           "50" if harness.CHAOS else "5"))
# Those of a method merge what was generated, the others models that are decoded as they are read.
RECIPES = (("resmerge", None), ("resmerge", {"scope": "model"}), ("scf_rkl", {"scope": "model"}),
           ("adapters", None), ("quantised", None))


class Chaos(Disturbances):
    """One job under one seed."""

    def __init__(self, seed, cluster, job, output, small):
        super().__init__(cluster, random.Random(seed))
        self.job, self.output, self.small = job, output, small
        self.events, self.in_flight = [], 0
        self.written = {}  # of workers that are gone

    def leased(self):
        """Units in flight; None when the job is over."""
        result = self.cluster.client("get", self.job, "--json")
        if result.code != 0:
            return 0  # the coordinator is on its way
        state = harness.json.loads(result.out)
        return None if harness.finished(state) else int(state["progress"]["units_leased"])

    def bytes_of(self, process):
        try:
            return processes.written(process.pid)
        except OSError:
            return 0

    def total_written(self):
        return sum(self.written.values()) + sum(self.bytes_of(w) for w in self.live_workers())

    def dying(self, worker):
        self.written[worker.pid] = self.bytes_of(worker)

    def kinds(self):
        return super().kinds() + ([self.fill_disk] if self.small else [])

    def fill_disk(self):
        name = os.path.join(os.path.dirname(self.output), "filler")
        with open(name, "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"\0" * (1 << 20))
            except OSError:
                pass
        self.later(self.random.uniform(0.1, 0.7),
                   lambda: os.path.exists(name) and os.remove(name))

    def run(self):
        kinds = self.kinds()
        wanted = self.random.randint(2, 5)
        deadline = time.monotonic() + harness.LIMIT
        pause = self.random.uniform(0.05, 0.5)
        next_event = time.monotonic() + pause
        while time.monotonic() < deadline:
            self.repair()
            leased = self.leased()
            if leased is None:
                break
            if leased > 0 and len(self.events) < wanted and time.monotonic() >= next_event:
                kind = self.random.choice(kinds)
                kind()
                self.events.append(kind.__name__)
                # Of one worker a third, of all everything; each may have got one more.
                if kind in (self.kill_worker, self.stop_worker):
                    self.in_flight += -(-leased // 3) + 2
                else:
                    self.in_flight += leased + 3
                next_event = time.monotonic() + self.random.uniform(0.05, 0.8)
            time.sleep(0.02)
        self.repair(everything=True)
        return self.cluster.finish(self.job)


class ChaosTest(harness.Case):
    def mount(self, path, size):
        """A small file system of its own at `path`, or False where this user may not."""
        os.makedirs(path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size, "tmpfs", path],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            print("no file system of its own: %s" % mounted.stderr.decode().strip())
            return False
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False)
        return True

    def test_seeds(self):
        only = os.environ.get("MERGANSER_SEED")
        seeds = [int(only)] if only else range(1, SEEDS + 1)
        undisturbed, times = {}, {}
        counts = {}
        for number, (method, parameters) in enumerate(RECIPES):
            file = self.path("r%d.yaml" % number)
            cuts = {"max_shard_size": "8MB", "unit_size": "1MB"}
            if method in origin_models.RECIPES:
                # As large as lasts a while.
                size = {} if harness.SLOW else {"scale": 4}
                origin_models.recipe(file, method, harness.data(method, **size), **cuts)
            else:
                models = harness.data("generated")
                harness.recipe(file, method, models[0], models[1:], parameters, **cuts)
            with harness.Cluster(3, self.path("calm-state-%d" % number)) as cluster:
                begin = time.monotonic()
                output = self.path("calm-%d" % number)
                last = cluster.finish(cluster.submit(file, output))
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last))
                times[number] = time.monotonic() - begin
            undisturbed[number] = (file, output)
        token = self.path("token")
        with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
            f.write("c" * 40 + " admin\n")
        for seed in seeds:
            number = seed % len(RECIPES)
            file, calm = undisturbed[number]
            size = sum(os.path.getsize(os.path.join(calm, n)) for n in harness.weight_files(calm))
            disk = self.path("disk-%d" % seed)
            small = self.mount(disk, 2 * size + (8 << 20))
            output = os.path.join(disk, "out")
            with self.subTest(seed=seed), self.cluster(seed, token) as cluster:
                begin = time.monotonic()
                job = cluster.submit(file, output)
                chaos = Chaos(seed, cluster, job, output, small)
                last = chaos.run()
                again = ""
                if (harness.state_of(last) == "FAILED" and "fill_disk" in chaos.events
                        and last["error"]["reason"] == "RETRY_MAY_HELP"):
                    # It says so, and nothing that it left looks whole.
                    self.assertEqual(harness.weight_files(output), [])
                    last = cluster.finish(cluster.submit(file, output, "--overwrite"))
                    again = ", and once more as the full disk had ended it"
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
                units = int(last["progress"]["units_total"])
                repeated = chaos.total_written() - size
                print("seed %d (%s): %s %s: %s; %.1f s beside %.1f s%s; written twice %.1f MB "
                      "of %.1f, units in flight at the events %d of %d"
                      % (seed, "namespace" if cluster.space else "proxy", *RECIPES[number],
                         ", ".join(chaos.events) or "nothing in time",
                         time.monotonic() - begin, times[number], again, repeated / 1e6,
                         size / 1e6, chaos.in_flight, units), flush=True)
                if not again and number == 0:
                    # Half as large again as the mean, as units are not all of one size.
                    self.assertLessEqual(repeated, 1.5 * chaos.in_flight * size / units + (1 << 20))
                self.assertEqual(harness.hash_output(output), harness.hash_output(calm))
                self.assertEqual(harness.leftovers(output), harness.leftovers(calm))
                self.ok("verify", output)
                for event in chaos.events:
                    counts[event] = counts.get(event, 0) + 1
        print("events of all seeds: %s" % counts)
        self.assertGreaterEqual(sum(counts.values()), len(seeds))

    def namespace(self, seed):
        """One for this seed; None where it is not its turn, or none can be made."""
        return None if seed % 2 else disturbances.namespace(seed)

    def cluster(self, seed, token):
        """A coordinator and three workers, with a network between them that can be disturbed."""
        return DisturbedCluster(3, self.path("state-%d" % seed), token, self.namespace(seed))


if __name__ == "__main__":
    harness.main()
