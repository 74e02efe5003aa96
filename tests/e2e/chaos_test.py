"""Whatever is done to a running job, its output is the undisturbed one, nothing is left beside
it, and no more is repeated than was in flight.

A seed decides what happens and when, while units are in flight: workers are killed with -9 or
stopped for longer than the coordinator waits for them, the coordinator is killed with -9 and
started again, the network between workers and coordinator is cut, and the output's file system
fills up (where this user may mount one). The network: under even seeds workers are in a network
namespace of their own, whose link goes down (where this user may make one); else they connect
through a proxy of this test that falls silent or closes connections. MERGANSER_SEEDS says how
many seeds (5, or 50 with MERGANSER_CHAOS=1); MERGANSER_SEED runs one again.
"""

import os
import random
import signal
import socket
import subprocess
import threading
import time

import harness
import origin_models
import processes

SEEDS = int(os.environ.get("MERGANSER_SEEDS",
                           "50" if harness.CHAOS else "5"))
TIMEOUT = 2  # --worker-timeout, seconds
# Those of a method merge what was generated, the others models that are decoded as they are read.
RECIPES = (("resmerge", None), ("resmerge", {"scope": "model"}), ("scf_rkl", {"scope": "model"}),
           ("adapters", None), ("quantised", None))


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


class Namespace:
    """A network namespace for workers, joined to this one by a link. While the link is down
    packets are lost, and nobody is told."""

    def __init__(self, number):
        # Links and addresses are the machine's: another run may have some of its own. Of a link's
        # name 15 letters count.
        own = "mg%d-%d" % (os.getpid(), number)
        self.name = "merganser-" + own
        self._near, self._far = own + "n", own + "f"
        self.prefix = ("ip", "netns", "exec", self.name)
        self._undo = []
        self.host = self._free_network() + "1"
        try:
            self._ip("netns", "add", self.name)
            self._undo.append(("netns", "del", self.name))
            self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far)
            self._undo.append(("link", "del", self._near))
            self._ip("link", "set", self._far, "netns", self.name)
            self._ip("addr", "add", self.host + "/24", "dev", self._near)
            self._ip("link", "set", self._near, "up")
            self._ip("-n", self.name, "addr", "add", self.host[:-1] + "2/24", "dev", self._far)
            self._ip("-n", self.name, "link", "set", self._far, "up")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _ip(*args):
        try:
            done = subprocess.run(["ip", *args], capture_output=True, check=False)
        except FileNotFoundError as error:
            raise OSError("no ip (iproute2)") from error
        if done.returncode != 0:
            raise OSError("ip %s: %s" % (" ".join(args), done.stderr.decode().strip()))
        return done.stdout.decode()

    def _free_network(self):
        """A network, without its last number, of the range that is set aside for tests."""
        for number in range(os.getpid(), os.getpid() + 500):
            prefix = "198.%d.%d." % (18 + number // 250 % 2, number % 250)
            if not self._ip("-o", "addr", "show", "to", prefix + "0/24"):
                return prefix
        raise OSError("every network of 198.18.0.0/15 is in use")

    def silence(self, silent):
        # The far end: the address of the near one stays for those on this side.
        self._ip("-n", self.name, "link", "set", self._far, "down" if silent else "up")

    def close(self):
        for args in reversed(self._undo):
            subprocess.run(["ip", *args], capture_output=True, check=False)


class Chaos:
    """One job under one seed."""

    def __init__(self, seed, cluster, network, job, output, small):
        self.cluster, self.network, self.job = cluster, network, job
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
            return processes.written(process.pid)
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
        self.network.silence(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.network.silence(False))

    def cut(self):
        self.network.cut(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.network.cut(False))

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
        kinds = [self.kill_worker, self.stop_worker, self.kill_coordinator, self.silence]
        if isinstance(self.network, Proxy):
            kinds.append(self.cut)
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
                chaos = Chaos(seed, cluster, cluster.network, job, output, small)
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
                      % (seed, type(cluster.network).__name__.lower(), *RECIPES[number],
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
        if seed % 2:
            return None
        try:
            return Namespace(seed)
        except OSError as error:
            print("no network namespace: %s" % error)
            return None

    def cluster(self, seed, token):
        """A coordinator and three workers, with `network` between them."""
        namespace = self.namespace(seed)
        beyond = () if namespace is None else ("--plaintext-beyond-loopback",)

        class Disturbed(harness.Cluster):
            network = namespace

            def add_worker(self):
                if namespace is not None:
                    self.worker_prefix = namespace.prefix
                    return super().add_worker()
                direct = self.address
                if self.network is None:
                    self.network = Proxy(int(direct.rsplit(":", 1)[1]))
                self.address = self.network.address
                try:
                    return super().add_worker()
                finally:
                    self.address = direct

            def __exit__(self, *unused):
                super().__exit__(*unused)
                if self.network is not None:
                    self.network.close()

            def client(self, *args, **kw):
                return harness.run(*args, "--coordinator", self.address, "--token-file", token,
                                   *beyond, **kw)

        return Disturbed(
            3, self.path("state-%d" % seed),
            coordinator_args=("--token-file", token, "--worker-timeout", str(TIMEOUT), *beyond)
            + (("--allow-root", "/") if beyond else ()),
            connect_args=("--token-file", token, *beyond),
            listen="%s:0" % ("127.0.0.1" if namespace is None else namespace.host))


if __name__ == "__main__":
    harness.main()
