"""What is done to a cluster to see whether its jobs mind: workers killed with -9 or stopped for longer
than the coordinator waits for them, the coordinator killed with -9 and started again, the network
between the two silent or cut. A generator of random numbers decides whom it meets and for how long.

The network: workers connect through a proxy of this process, which falls silent or closes connections,
or are in a network namespace of their own (as root), whose link goes down, or both.
"""

import os
import signal
import socket
import subprocess
import threading
import time

import harness

TIMEOUT = 2  # --worker-timeout, seconds


class Proxy:
    """Forwards connections to a port. Silent, it keeps them and passes nothing on; cut, it closes
    them and takes no new ones."""

    def __init__(self, host, port):
        self._to = (host, port)
        self._lock = threading.Lock()
        self._pairs = {}  # of sockets, with the number of threads that forward between them
        self._flows = threading.Event()
        self._flows.set()
        self._cut = False
        self._listener = socket.create_server((host, 0))
        self.address = "%s:%d" % self._listener.getsockname()
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
                far = socket.create_connection(self._to, timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            with self._lock:
                self._pairs[pair] = 2
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(source, target, pair),
                                 daemon=True).start()

    def _pump(self, source, target, pair):
        try:
            while True:
                data = source.recv(1 << 16)
                self._flows.wait()
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        self._end(pair)
        with self._lock:
            self._pairs[pair] -= 1
            if self._pairs[pair] > 0:
                return
            del self._pairs[pair]
        for end in pair:
            end.close()

    @staticmethod
    def _end(pair):
        for end in pair:
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
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

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


def namespace(number):
    """One of its own; None, and why, where none can be made."""
    try:
        return Namespace(number)
    except OSError as error:
        print("no network namespace: %s" % error)
        return None


class DisturbedCluster(harness.Cluster):
    """A coordinator and workers, whose token stands in a file, with a network between them that
    can be disturbed: `space`, a namespace of the workers', and where that is None or `proxied`, a
    proxy. The namespace ends with the cluster."""

    def __init__(self, workers, state, token, space=None, proxied=False, coordinator_args=(), **kw):
        beyond = () if space is None else ("--plaintext-beyond-loopback",)
        roots = () if space is None else ("--allow-root", "/")
        super().__init__(workers, state,
                         coordinator_args=("--token-file", token, "--worker-timeout", str(TIMEOUT),
                                           *beyond, *roots, *coordinator_args),
                         connect_args=("--token-file", token, *beyond),
                         listen="%s:0" % ("127.0.0.1" if space is None else space.host), **kw)
        self.space, self.proxy = space, None
        self._proxied = proxied or space is None
        if space is not None:
            self.worker_prefix = space.prefix

    def add_worker(self):
        if not self._proxied:
            return super().add_worker()
        direct = self.address
        if self.proxy is None:
            host, port = direct.rsplit(":", 1)
            self.proxy = Proxy(host, int(port))
        self.address = self.proxy.address
        try:
            return super().add_worker()
        finally:
            self.address = direct

    def silence(self, silent):
        (self.proxy if self.space is None else self.space).silence(silent)

    def cut(self, cut):
        self.proxy.cut(cut)

    def __exit__(self, *unused):
        super().__exit__(*unused)
        for network in (self.proxy, self.space):
            if network is not None:
                network.close()


class Disturbances:
    """What may be done to a cluster. What does not end by itself is undone by `repair`, which
    has to be called again and again."""

    def __init__(self, cluster, rng):
        self.cluster, self.random = cluster, rng
        self._repairs = []

    def kinds(self):
        found = [self.kill_worker, self.stop_worker, self.kill_coordinator, self.silence]
        if self.cluster.proxy is not None:
            found.append(self.cut)
        return found

    def later(self, seconds, undo):
        self._repairs.append((time.monotonic() + seconds, undo))

    def repair(self, everything=False):
        due = [r for r in self._repairs if everything or r[0] <= time.monotonic()]
        self._repairs = [r for r in self._repairs if r not in due]
        for _, undo in due:
            undo()

    def live_workers(self):
        return [w for w in self.cluster.workers if w.poll() is None]

    def victim(self):
        return self.random.choice(self.live_workers())

    def dying(self, worker):
        """Called of a worker that stands still, before it is killed."""

    def kill_worker(self):
        victim = self.victim()
        victim.send_signal(signal.SIGSTOP)
        self.dying(victim)
        victim.kill()
        victim.wait()
        self.cluster.add_worker()

    def stop_worker(self):
        victim = self.victim()
        victim.send_signal(signal.SIGSTOP)
        self.later(TIMEOUT + self.random.uniform(0.5, 2),
                   lambda: victim.poll() is None and victim.send_signal(signal.SIGCONT))

    def kill_coordinator(self):
        self.cluster.kill_coordinator()
        time.sleep(self.random.uniform(0, 0.5))
        self.cluster.start_coordinator()

    def silence(self):
        self.cluster.silence(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.cluster.silence(False))

    def cut(self):
        self.cluster.cut(True)
        self.later(self.random.uniform(0.3, TIMEOUT + 2), lambda: self.cluster.cut(False))
