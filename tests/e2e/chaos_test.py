"""Whatever is done to a running job, its output is the undisturbed one, nothing is left beside
it, and no more is repeated than was in flight.

A seed decides what happens and when, while units are in flight: workers are killed with -9 or
stopped for longer than the coordinator waits for them, the coordinator is killed with -9 and
started again, the network between workers and coordinator goes silent or is cut (workers connect
through a proxy of this test), and the output's file system fills up (where this user may mount
one). MERGANSER_SEEDS says how many seeds (5, or 50 with MERGANSER_LONG=1); MERGANSER_SEED runs one
again.
"""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import harness

SEEDS = int(os.environ.get("MERGANSER_SEEDS",
                           "50" if os.environ.get("MERGANSER_LONG") == "1" else "5"))
TIMEOUT = 2  # --worker-timeout, seconds
RECIPES = (("resmerge", None), ("resmerge", {"scope": "model"}), ("scf_rkl", {"scope": "model"}))


class Proxy:
    """Forwards connections to a port. Silent, it keeps them and passes nothing on; cut, it closes
    them and takes no new ones."""

    def __init__(self, port):
        self._port = port
        self._lock = threading.Lock()
        self._pairs = []
        self._flows = threading.Event()
        self._flows.set()
        self._cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._cut:
                    raise OSError("cut")
                far = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source, target):
        try:
            while True:
                data = source.recv(1 << 16)
                self._flows.wait()
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def silence(self, silent):
        if silent:
            self._flows.clear()
        else:
            self._flows.set()

    def cut(self, cut):
        self._cut = cut
        if not cut:
            return
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()

    def close(self):
        self.cut(True)
        self._flows.set()
        self._listener.close()


class Chaos:
    """One job under one seed."""

    def __init__(self, case, seed, cluster, proxy, job, output, small):
        self.case, self.cluster, self.proxy, self.job = case, cluster, proxy, job
        self.output, self.small = output, small
        self.random = random.Random(seed)
        self.events, self.in_flight, self.repaired = [], 0, []
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
            with open("/proc/%d/io" % process.pid, encoding="ascii") as f:
                return int(re.search(r"^wchar: (\d+)$", f.read(), re.M).group(1))
        except OSError:
            return 0

    def total_written(self):
        return sum(self.written.values()) + sum(
            self.bytes_of(w) for w in self.cluster.workers if w.poll() is None)

    def later(self, seconds, undo):
        self.repaired.append((time.monotonic() + seconds, undo))

    def repair(self, everything=False):
        due = [r for r in self.repaired if everything or r[0] <= time.monotonic()]
        self.repaired = [r for r in self.repaired if r not in due]
        for _, undo in due:
            undo()

    def live_workers(self):
        return [w for w in self.cluster.workers if w.poll() is None]

    def kill_worker(self):
        victim = self.random.choice(self.live_workers())
        victim.send_signal(signal.SIGSTOP)
        self.written[victim.pid] = self.bytes_of(victim)
        victim.kill()
        victim.wait()
        self.cluster.add_worker()

    def stop_worker(self):
        victim = self.random.choice(self.live_workers())
        victim.send_signal(signal.SIGSTOP)
        self.later(TIMEOUT + self.random.uniform(0.5, 2),
                   lambda: victim.poll() is None and victim.send_signal(signal.SIGCONT))

    def kill_coordinator(self):
        self.cluster.kill_coordinator()
        time.sleep(self.random.uniform(0, 0.5))
        self.cluster.start_coordinator()

    def silence(self):
        self.proxy.silence(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.proxy.silence(False))

    def cut(self):
        self.proxy.cut(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.proxy.cut(False))

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
        kinds = [self.kill_worker, self.stop_worker, self.kill_coordinator, self.silence, self.cut]
        if self.small:
            kinds.append(self.fill_disk)
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
        models = harness.data("generated")
        undisturbed, times = {}, {}
        counts = {}
        for number, (method, parameters) in enumerate(RECIPES):
            file = harness.recipe(self.path("r%d.yaml" % number), method, models[0], models[1:],
                                  parameters, max_shard_size="8MB", unit_size="1MB")
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
            with self.subTest(seed=seed), self.cluster(seed, token) as (cluster, proxy):
                begin = time.monotonic()
                job = cluster.submit(file, output)
                chaos = Chaos(self, seed, cluster, proxy, job, output, small)
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
                print("seed %d: %s %s: %s; %.1f s beside %.1f s%s; written twice %.1f MB of %.1f, "
                      "units in flight at the events %d of %d"
                      % (seed, *RECIPES[number], ", ".join(chaos.events) or "nothing in time",
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

    def cluster(self, seed, token):
        """A coordinator, and three workers that reach it through a proxy."""
        test = self

        class Proxied(harness.Cluster):
            def add_worker(self):
                direct = self.address
                if self.proxy is None:
                    self.proxy = Proxy(int(direct.rsplit(":", 1)[1]))
                self.address = self.proxy.address
                try:
                    return super().add_worker()
                finally:
                    self.address = direct

            def __enter__(self):
                self.proxy = None
                super().__enter__()
                return self, self.proxy

            def __exit__(self, *unused):
                super().__exit__(*unused)
                if self.proxy is not None:
                    self.proxy.close()

            def client(self, *args, **kw):
                return harness.run(*args, "--coordinator", self.address, "--token-file", token,
                                   **kw)

        return Proxied(3, test.path("state-%d" % seed),
                       coordinator_args=("--token-file", token, "--worker-timeout", str(TIMEOUT)),
                       connect_args=("--token-file", token))


if __name__ == "__main__":
    harness.main()
