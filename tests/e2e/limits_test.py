"""Limits of threads (RLIMIT_NPROC) and of address space (RLIMIT_AS), from those under which a
program hardly starts to those that it does not notice: every run ends with an exit code of the
command line's page and a line, never by a signal; what serves refuses to start where it could not
serve.

As root everything runs under a user of its own, since RLIMIT_NPROC does not bind root."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

import harness
import mpi_case

LONG = harness.LONG
USER = 54321  # nobody has an account of that number
MIB = 1 << 20
TOKEN = "a-token-of-thirty-two-characters"
NO_ROOM_TO_LOAD = "loading shared libraries"  # what ld.so says where the program cannot even begin


def threads_of(user):
    """How many threads `user` has, which is what RLIMIT_NPROC counts."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat("/proc/" + pid).st_uid == user:
                count += len(os.listdir("/proc/%s/task" % pid))
    return count


class LimitsCase(harness.Case):
    """Copies of the program and its data that any user may read."""

    def setUp(self):
        super().setUp()
        self.top = tempfile.mkdtemp(prefix="limits-")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        os.chmod(self.top, 0o777)
        self.experts = os.path.join(self.top, "experts")
        shutil.copytree(harness.EXPERTS, self.experts)
        self.bin = shutil.copy(harness.BIN, self.top)
        models = [os.path.join(self.experts, "expert_" + n) for n in ("add", "sort", "parity")]
        self.recipe = harness.recipe(os.path.join(self.top, "recipe.yaml"), "resmerge",
                                     os.path.join(self.experts, "base"), models)
        for folder, _, files in os.walk(self.top):
            os.chmod(folder, 0o777)
            for name in files:
                os.chmod(os.path.join(folder, name), 0o755)
        self.merged = self.merge(self.recipe, os.path.join(self.top, "merged"))
        self.reference = harness.hash_output(self.merged)

    def fresh(self):
        folder = tempfile.mkdtemp(dir=self.top)
        os.chmod(folder, 0o777)
        return folder

    @staticmethod
    def confine(threads=None, space=None):
        """For preexec_fn: at most so many threads, and bytes of address space."""
        user = USER if os.geteuid() == 0 else os.geteuid()
        # Those that run already count as well.
        most = None if threads is None else threads + threads_of(user)

        def confined():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(USER)
                os.setuid(USER)
            if most is not None:
                resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            if space is not None:
                resource.setrlimit(resource.RLIMIT_AS, (space, space))
        return confined

    def environment(self, folder, extra=None):
        return harness.environment({"HOME": folder, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder,
                                    **(extra or {})})

    def confined(self, command, env=None, **limits):
        folder = self.fresh()
        line = [str(a) for a in command]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, cwd=folder,
                              env=self.environment(folder, env), timeout=harness.LIMIT,
                              preexec_fn=self.confine(**limits))
        return harness.Result(line + [str(limits)], done.returncode,
                              done.stdout.decode("utf-8", "replace"),
                              done.stderr.decode("utf-8", "replace"))

    def assertEndedWell(self, result):
        """An exit code and at most one line; 127 is ld.so's where not even libraries fit."""
        if result.code == 127:
            self.assertIn(NO_ROOM_TO_LOAD, result.err, str(result))
            return
        self.assertIn(result.code, (0, 4), str(result))
        if result.code == 4:
            self.assertOneError(result, 4, ("refuses to start threads", "memory"))


class OneProcessTest(LimitsCase):
    def sweep(self, command, limits):
        """Runs `command()` under each of `limits`; returns the codes."""
        codes = []
        for limit in limits:
            result = self.confined(command(), **limit)
            self.assertEndedWell(result)
            codes.append(result.code)
        return codes

    def outputs_of(self, limits):
        """Merges under each; what came out is whole or does not look so, and can be had after."""
        codes, folders = [], []
        for limit in limits:
            output = os.path.join(self.fresh(), "out")
            result = self.confined([self.bin, "merge", self.recipe, output], **limit)
            self.assertEndedWell(result)
            if result.code == 0:
                self.assertEqual(harness.hash_output(output), self.reference, str(result))
            else:
                self.assertEqual(harness.weight_files(output), [], str(result))
                folders.append(output)
            codes.append(result.code)
        for output in folders[-2:]:
            self.merge(self.recipe, output, "--resume", "--threads", "2")
            self.assertEqual(harness.hash_output(output), self.reference)
        return codes

    def test_merge_under_every_limit_of_threads(self):
        codes = self.outputs_of([{"threads": n} for n in range(1, 21)])
        self.assertIn(4, codes, "no limit bit")
        self.assertEqual(codes[-1], 0)
        self.assertEqual(codes, sorted(codes, reverse=True), "more threads, yet no merge")

    def test_merge_in_30_steps_of_address_space(self):
        codes = self.outputs_of([{"space": n * MIB} for n in range(20, 320, 10)])
        self.assertIn(4, codes, "no limit bit")
        self.assertEqual(codes[-1], 0)

    def test_what_reads_headers_alone(self):
        base = os.path.join(self.experts, "base")
        for words in (["plan", self.recipe], ["inspect", base], ["verify", self.merged], ["methods"]):
            with self.subTest(words[0]):
                command = [self.bin, *words]
                codes = self.sweep(lambda: command, [{"threads": n} for n in (1, 2, 3, 4, 8)])
                self.assertEqual(codes[-1], 0)
                codes = self.sweep(lambda: command,
                                   [{"space": n * MIB} for n in range(20, 320, 10)])
                self.assertNotEqual(codes[0], 0, "no limit bit")
                self.assertEqual(codes[-1], 0)


class MpiTest(LimitsCase):
    def setUp(self):
        super().setUp()
        if shutil.which("mpirun") is None or not os.path.exists(mpi_case.MPI_BIN):
            self.skipTest("built without MPI")
        self.mpi_bin = shutil.copy(mpi_case.MPI_BIN, self.top)
        os.chmod(self.mpi_bin, 0o755)

    def run_under(self, space=None, **limits):
        """`space`: of each rank. mpirun is another program: with too little it dies by a signal."""
        output = os.path.join(self.fresh(), "out")
        # Where memory is short, mpirun waits for ever for a lock of PMIx's shared memory.
        env = {**mpi_case.MPI_ENVIRONMENT, "PMIX_MCA_gds": "hash"}
        rank = [self.mpi_bin, self.recipe, output]
        if space is not None:
            rank = ["sh", "-c", 'ulimit -v %d; exec "$@"' % (space // 1024), "rank", *rank]
        result = self.confined(["mpirun", "-n", "2", *rank], env=env, **limits)
        # What Open MPI cannot start, it ends with 1 or 137 and pages of its own.
        self.assertNotIn("exited on signal", result.err, str(result))
        self.assertNotIn("terminate called", result.err, str(result))
        if result.code == 0:
            self.assertEqual(harness.hash_output(output), self.reference, str(result))
        else:
            self.assertEqual(harness.weight_files(output), [], str(result))
            if result.code == 127:
                self.assertIn(NO_ROOM_TO_LOAD, result.err, str(result))
            elif result.code not in (1, 137):
                self.assertEqual(result.code, 4, str(result))
                self.assertIn("merganser: error: ", result.err)
        return result.code

    def test_ranks_under_limits_of_threads(self):
        codes = [self.run_under(threads=n) for n in range(4, 40, 1 if LONG else 4)]
        self.assertIn(4, codes, "no limit bit where ranks ran")
        self.assertEqual(codes[-1], 0)

    def test_ranks_under_limits_of_address_space(self):
        codes = [self.run_under(space=n * MIB)
                 for n in range(40, 640, 20 if LONG else 60)]
        self.assertIn(4, codes, "no limit bit where ranks ran")
        self.assertEqual(codes[-1], 0)


class ServiceTest(LimitsCase):
    def refused(self, command, needed, **limits):
        """Ends with 2 and a line that says what is expected; returns that number."""
        result = self.confined(command, **limits)
        line = self.assertOneError(result, 2, needed)
        return int(re.search(r"expected (?:at least )?(\d+)", line).group(1))

    @contextlib.contextmanager
    def started(self, command, env=None, **limits):
        """Yields the process and what reads its log; it ends by SIGTERM, with 0. Without limits
        it is not a process of the other user's, whose threads would count."""
        folder = self.fresh()
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen([str(a) for a in command], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
                                       env=self.environment(folder, env), umask=0,
                                       preexec_fn=self.confine(**limits) if limits else None)

            def text():
                log.seek(0)
                return log.read()
            try:
                yield process, text
                self.assertIsNone(process.poll(), "%s\n%s" % (limits, text()))
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(harness.LIMIT), 0, text())
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdout.close()

    def token(self, confined):
        path = os.path.join(self.top, "tokens")
        with open(path, "w", encoding="utf-8") as f:
            f.write(TOKEN + " read,submit,work\n")
        os.chmod(path, 0o600)
        if confined and os.geteuid() == 0:
            os.chown(path, USER, USER)
        return path

    def coordinator(self, confined=True):
        return [self.bin, "coordinator", "--listen", "127.0.0.1:0", "--state",
                os.path.join(self.fresh(), "state"), "--token-file", self.token(confined),
                "--allow-root", self.top]

    def client(self, address, *words):
        return subprocess.Popen(
            [harness.BIN, *words, "--coordinator", address], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=harness.environment({"MERGANSER_TOKEN": TOKEN}))

    def answers(self, *clients):
        found = []
        for client in clients:
            out, err = client.communicate(timeout=harness.LIMIT)
            self.assertIn(client.returncode, (0, 4), err)  # 4: too many at once
            found.append((client.returncode, out, err))
        return found

    def serve(self, worker_limits=None, **limits):
        """A coordinator under `limits` answers, bears more clients than it has threads for, and
        sees a job through."""
        with self.started(self.coordinator(bool(limits)), **limits) as (process, log):
            line = process.stdout.readline()
            self.assertTrue(line.startswith("listening on "), log())
            address = line.split()[-1]
            worker = [harness.BIN if worker_limits is None else self.bin, "worker",
                      "--coordinator", address, "--threads", "1", "--memory", "200MiB"]
            env = {"MERGANSER_TOKEN": TOKEN}
            output = os.path.join(self.fresh(), "out")
            [(code, name, err)] = self.answers(self.client(address, "submit", self.recipe, output))
            self.assertEqual(code, 0, err + log())
            watching = [self.client(address, "watch", name.strip()) for _ in range(4)]
            self.answers(*[self.client(address, "list") for _ in range(8)])
            if worker_limits is None:
                working = harness.running(*worker[1:], env=env)
            else:
                working = self.started(worker, env, **worker_limits)
            with working:
                harness.wait_for("the job to end", lambda: json.loads(self.answers(
                    self.client(address, "get", name.strip(), "--json"))[0][1] or "{}").get(
                        "state", "").endswith(("SUCCEEDED", "FAILED")), pause=0.05)
            self.answers(*watching)
            self.assertEqual(harness.hash_output(output), self.reference, log())

    def test_coordinator_with_few_threads(self):
        self.refused(self.coordinator(), "ulimit -u", threads=3)
        needed = self.refused(self.coordinator(), "ulimit -u", threads=20)
        if os.geteuid() == 0:  # nobody else counts for this user
            self.refused(self.coordinator(), "ulimit -u", threads=needed - 1)
        for threads in (needed, needed + 3, needed + 20):
            with self.subTest(threads=threads):
                self.serve(threads=threads)

    def test_coordinator_with_little_address_space(self):
        self.refused(self.coordinator(), "ulimit -v", space=100 * MIB)
        needed = self.refused(self.coordinator(), "ulimit -v", space=200 * MIB) * 1024
        self.refused(self.coordinator(), "ulimit -v", space=needed - 4096)
        for space in (needed, needed + 40 * MIB, needed + 400 * MIB):
            with self.subTest(space=space):
                self.serve(space=space)

    def test_worker_with_little_of_both(self):
        worker = [self.bin, "worker", "--coordinator", "127.0.0.1:1", "--threads", "1",
                  "--memory", "200MiB"]
        threads = self.refused(worker, "ulimit -u", threads=4)
        space = self.refused(worker, "ulimit -v", space=100 * MIB) * 1024
        self.serve(worker_limits={"threads": threads})
        self.serve(worker_limits={"space": space})

    def test_client_with_few_threads(self):
        result = self.confined([self.bin, "list", "--coordinator", "127.0.0.1:1"], threads=2)
        self.assertOneError(result, 2, "ulimit -u")


if __name__ == "__main__":
    harness.main()
