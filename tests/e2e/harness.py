"""What the end-to-end tests share: running the program, clusters, hashing outputs.

Environment: MERGANSER_BIN (the program), MERGANSER_SOURCE_DIR, MERGANSER_DATA (a folder
for generated checkpoints that outlives a test), MERGANSER_SLOW=1 (sanitized builds: smaller
data, longer limits).
"""

import contextlib
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

import make_models

BIN = os.environ.get("MERGANSER_BIN", "merganser")
SOURCE = os.environ.get(
    "MERGANSER_SOURCE_DIR",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SLOW = os.environ.get("MERGANSER_SLOW", "") == "1"
# Many more seeds and cases: tests/run.sh --full.
LONG = os.environ.get("MERGANSER_LONG", "") not in ("", "0")
CHAOS = os.environ.get("MERGANSER_CHAOS", "") not in ("", "0")
# Limits are for hangs, not for speed: a build machine may be busy.
LIMIT = 600 if SLOW else 240
EXPERTS = os.path.join(SOURCE, "tests", "data", "experts")
SAMPLE = [os.path.join(EXPERTS, "expert_" + name) for name in ("add", "sort", "parity")]
SAMPLE_BASE = os.path.join(EXPERTS, "base")
INDEX = "model.safetensors.index.json"
DATA = os.environ.get("MERGANSER_DATA")
_HERE = os.path.dirname(os.path.abspath(__file__))


# While it is a list: all that the program says, for tests of what it must not say.
heard = None


class Result:
    def __init__(self, args, code, out, err):
        hear(out, err)
        self.args, self.code, self.out, self.err = args, code, out, err

    def __str__(self):
        return "%s\nexit code %s\nstdout:\n%s\nstderr:\n%s" % (
            " ".join(self.args), self.code, self.out[-4000:], self.err[-4000:])


def hear(*texts):
    if heard is not None:
        heard.extend(texts)


def environment(extra=None):
    env = dict(os.environ)
    # What a machine of a cloud says of itself is no matter of a test.
    env.update({"LC_ALL": "C.UTF-8", "AWS_EC2_METADATA_DISABLED": "true"})
    env.setdefault("HF_HUB_OFFLINE", "1")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
                 "grpc_proxy", "MERGANSER_TOKEN"):
        env.pop(name, None)
    env.update(extra or {})
    return env


def run(*args, env=None, cwd=None, timeout=LIMIT):
    """Runs the program to its end."""
    command = [BIN] + [str(a) for a in args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                          env=environment(env), cwd=cwd, timeout=timeout)
    return Result(command, done.returncode, done.stdout.decode("utf-8", "replace"),
                  done.stderr.decode("utf-8", "replace"))


def run_measured(*args, timeout=LIMIT):
    """Like run; also returns the peak resident memory in bytes (the kernel's VmHWM)."""
    with tempfile.NamedTemporaryFile("r", suffix=".peak") as peak:
        command = [BIN] + [str(a) for a in args]
        # Between fork and exec a child's peak is its parent's: start it from a small one.
        helper = [sys.executable, "-I", "-S", os.path.join(_HERE, "peak.py"), peak.name]
        done = subprocess.run(helper + command, stdin=subprocess.DEVNULL, capture_output=True,
                              env=environment(), timeout=timeout)
        result = Result(command, done.returncode, done.stdout.decode("utf-8", "replace"),
                        done.stderr.decode("utf-8", "replace"))
        return result, int(peak.read())


def start(*args, env=None, stderr=subprocess.PIPE, prefix=()):
    return subprocess.Popen([*prefix, BIN] + [str(a) for a in args], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=stderr, env=environment(env))


def resolves(host):
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def wait_for(what, probe, limit=LIMIT, pause=0.01):
    """Polls `probe` until it returns something true, and returns that."""
    deadline = time.monotonic() + limit
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("waited %.0f s in vain: %s" % (limit, what))
        time.sleep(pause)


# --- checkpoints ----------------------------------------------------------------------


def data(family, whole=False, **arguments):
    """Folders of a generated set, base first; made once and kept where MERGANSER_DATA says.
    `whole`: as large in sanitized builds, for a job that lasts and has many units."""
    if family in ("generated", "adapters", "quantised") and SLOW and not whole:
        arguments.setdefault("scale", 0.34)
    if DATA is None:
        raise RuntimeError("MERGANSER_DATA is not set")
    name = "-".join([family] + ["%s%s" % kv for kv in sorted(arguments.items())])
    return make_models.make(family, os.path.join(DATA, name), **arguments)


def link_folder(source, target, skip=()):
    """A checkpoint of its own made of hard links or copies: its files may be replaced."""
    os.makedirs(target)
    for name in os.listdir(source):
        if name not in skip:
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
    return target


def recipe(path, method, base, models, parameters=None, per_model=None, **top):
    """Writes a recipe (JSON is YAML) and returns its path."""
    body = {"merge_method": method}
    if base is not None:
        body["base_model"] = str(base)
    body["models"] = []
    for i, model in enumerate(models):
        item = {"model": str(model)}
        if per_model:
            item["parameters"] = per_model[i]
        body["models"].append(item)
    if parameters:
        body["parameters"] = parameters
    body.update(top)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(body, f, indent=2)
    return str(path)


def weight_files(folder):
    """Names that a loader of checkpoints would take for weights or their index."""
    if not os.path.isdir(folder):
        return []
    return sorted(n for n in os.listdir(folder)
                  if n.endswith(".safetensors") or n.endswith(".safetensors.index.json"))


def leftovers(folder):
    """Everything below `folder`, hidden files and folders included."""
    found = []
    for at, folders, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, n), folder) for n in folders + files]
    return sorted(found)


def hash_output(folder):
    """sha256 of every weight file and the index."""
    hashes = {}
    for name in weight_files(folder):
        digest = hashlib.sha256()
        with open(os.path.join(folder, name), "rb") as f:
            while True:
                block = f.read(1 << 20)
                if not block:
                    break
                digest.update(block)
        hashes[name] = digest.hexdigest()
    return hashes


def report(folder):
    with open(os.path.join(folder, "merge_report.json"), encoding="utf-8") as f:
        return json.load(f)


# --- clusters -------------------------------------------------------------------------


class Cluster:
    """A coordinator and workers on this machine. A context manager; every process that it
    started is gone when it ends."""

    def __init__(self, workers, state, worker_args=("--threads", "1", "--memory", "2GiB"),
                 coordinator_args=(), connect_args=(), listen="127.0.0.1:0"):
        """`connect_args` are those of workers and clients."""
        self._state, self._worker_args, self._count = [], worker_args, workers
        self._coordinator_args, self._connect_args = coordinator_args, connect_args
        self._listen = listen
        if "--state" in run("coordinator", "--help").out:
            self._state = ["--state", str(state)]
        self.workers, self._logs, self._readers = [], {}, []
        self.worker_prefix = ()  # of their command lines, such as `ip netns exec NAME`
        self.coordinator, self.address = None, None
        self.coordinators, self._started = 0, []

    def _spawn(self, name, *args, prefix=()):
        process = start(*args, prefix=prefix)
        lines = self._logs[name] = []
        firsts = queue.Queue()

        def drain(stream, first):
            for line in stream:
                text = line.decode("utf-8", "replace").rstrip("\n")
                lines.append(text)
                hear(text)
                if first:
                    firsts.put(text)
            firsts.put(None)

        for stream, first in ((process.stdout, True), (process.stderr, False)):
            thread = threading.Thread(target=drain, args=(stream, first), daemon=True)
            thread.start()
            self._readers.append(thread)
        return process, firsts

    def __enter__(self):
        try:
            self.start_coordinator(self._listen)
            for _ in range(self._count):
                self.add_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_coordinator(self, listen=None):
        """Starts one, at the address of the last by default, and waits until it listens."""
        self.coordinators += 1
        process, lines = self._spawn("coordinator %d" % self.coordinators, "coordinator",
                                     "--listen", listen or self.address, *self._state,
                                     *self._coordinator_args)
        self._started.append(process)
        self.coordinator, self.address = process, None
        while self.address is None:
            line = lines.get(timeout=LIMIT)
            if line is None:
                raise AssertionError("no coordinator:\n" + self.log())
            found = re.match(r"listening on (\S+)$", line)
            if found:
                self.address = found.group(1)

    def kill_coordinator(self):
        """Kills it with SIGKILL; its address and state stay for the next."""
        self.coordinator.kill()
        self.coordinator.wait()

    def add_worker(self):
        name = "worker %d" % len(self.workers)
        process, _ = self._spawn(name, "worker", "--coordinator", self.address,
                                 *self._worker_args, *self._connect_args,
                                 prefix=self.worker_prefix)
        self.workers.append(process)
        return process

    def signal_workers(self, number):
        for worker in self.workers:
            worker.send_signal(number)

    def stop_workers(self):
        """Has them stand still once all are connected: a machine may do all of a job while a
        client starts, or while one of several workers is still on its way."""
        wait_for("workers to connect", lambda: all(
            any(line.endswith(": connected") for line in self._logs["worker %d" % i])
            for i in range(len(self.workers))))
        self.signal_workers(signal.SIGSTOP)

    def step(self, name, what, there):
        """Lets workers run for moments, between which it looks, until `there` holds for the
        progress that the coordinator tells of the job; returns that. Then they stand still: what
        they hold they keep, until they are woken (SIGCONT) or killed. They should stand still
        since before the job was submitted (stop_workers)."""
        # Of the time that a look takes on this machine, and never more seconds than `longest`; both
        # grow only while nothing is done, so that never more than a few units are, also where the
        # machine was busy with others and is no longer.
        shortest = 0.1
        part, longest, before = shortest, 0.2, 0

        def look():
            nonlocal part, longest, before
            began = time.monotonic()
            job = self.job(name)
            if finished(job):
                raise AssertionError("over before it came to %s: %s\n%s" % (what, job, self.log()))
            progress = job["progress"]
            if there(progress):
                return progress
            done = int(progress.get("units_done", 0))
            if done > before:
                part, longest = shortest, 0.2
            elif int(progress.get("units_leased", 0)) > 0:
                part, longest = min(1.5 * part, 1), 1.25 * longest
            before = done
            took = time.monotonic() - began
            self.signal_workers(signal.SIGCONT)
            time.sleep(min(part * took, longest))
            self.signal_workers(signal.SIGSTOP)
            return None

        self.signal_workers(signal.SIGSTOP)
        return wait_for(what, look)

    def __exit__(self, *unused):
        # Workers first: they hand back what they hold.
        groups = [self.workers, self._started]
        for group in groups:
            for process in group:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.send_signal(signal.SIGCONT)  # it may stand still
            deadline = time.monotonic() + 20
            for process in group:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        everyone = groups[0] + groups[1]
        for thread in self._readers:
            thread.join(5)
        for process in everyone:
            process.stdout.close()
            process.stderr.close()

    def log(self):
        return "\n".join("[%s] %s" % (name, line)
                         for name, lines in self._logs.items() for line in lines[-60:])

    def client(self, *args, **kw):
        return run(*args, "--coordinator", self.address, *self._connect_args, **kw)

    def submit(self, recipe_file, output, *args):
        result = self.client("submit", recipe_file, output, *args)
        if result.code != 0 or not re.fullmatch(r"jobs/[a-z0-9-]+\n", result.out):
            raise AssertionError("submit: %s\n%s" % (result, self.log()))
        return result.out.strip()

    def job(self, name):
        result = self.client("get", name, "--json")
        if result.code != 0:
            raise AssertionError("get: %s\n%s" % (result, self.log()))
        return json.loads(result.out)

    def finish(self, name):
        """Waits until the job is over; returns its last state."""
        def over():
            job = self.job(name)
            return job if finished(job) else None
        try:
            return wait_for("%s to finish" % name, over, pause=0.05)
        except AssertionError as error:
            raise AssertionError("%s\n%s\n%s" % (error, self.job(name), self.log()))


def state_of(job):
    """`SUCCEEDED`, `FAILED`, ... however long the enumerator's prefix is."""
    return str(job["state"]).upper().rsplit("_", 1)[-1]


def finished(job):
    return state_of(job) in ("SUCCEEDED", "FAILED", "CANCELLED")


# --- test cases -----------------------------------------------------------------------


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # Beside the data: the same file system, and room for outputs.
        self.dir = tempfile.mkdtemp(prefix="e2e-", dir=DATA)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        # Where a coordinator leaves its token, and clients look for it.
        runtime = tempfile.TemporaryDirectory(prefix="run-")
        self.addCleanup(runtime.cleanup)
        variable = unittest.mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": runtime.name})
        variable.start()
        self.addCleanup(variable.stop)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def ok(self, *args, **kw):
        result = run(*args, **kw)
        if result.code != 0:
            self.fail(str(result))
        return result

    def merge(self, recipe_file, output, *args, **kw):
        self.ok("merge", recipe_file, output, *args, **kw)
        return output

    def assertOneError(self, result, code, *texts):
        """One line on stderr that says `merganser: error:` and every one of `texts`."""
        self.assertEqual(result.code, code, str(result))
        lines = [x for x in result.err.splitlines() if "error:" in x]
        self.assertEqual(len(lines), 1, str(result))
        self.assertTrue(lines[0].startswith("merganser: error: "), str(result))
        for text in texts:
            options = text if isinstance(text, tuple) else (text,)
            self.assertTrue(any(x in lines[0] for x in options),
                            "%r is not in %r" % (text, lines[0]))
        return lines[0]

    def assertNoOutput(self, folder):
        """Nothing in `folder`, or no such folder."""
        self.assertEqual(leftovers(folder), [])


@contextlib.contextmanager
def running(*args, **kw):
    """A child of our own that is gone afterwards, whatever the test did."""
    process = start(*args, **kw)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# CTest's SKIP_RETURN_CODE.
SKIPPED = 77


def main():
    if DATA:
        os.makedirs(DATA, exist_ok=True)
    result = unittest.main(verbosity=2, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == 0:
        # Nothing ran: not a test that passed. Every reason was printed, if there was one.
        sys.exit(SKIPPED if result.skipped else 1)
