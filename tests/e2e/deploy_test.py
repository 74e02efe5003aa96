"""The image, the scripts and the page of deploy/, as far as they can be checked without an engine;
kubernetes_test.py has the manifests."""

import glob
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import yaml

import harness
import readme_blocks
from deploy_files import DEPLOY, DOCKER, HTTP_PORT, PORT, Dockerfile, flags_of, text_of, version
from ports import free_port


class DockerTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.file = Dockerfile()

    def copies(self):
        """Sources of the build stage and of the run stage that come from the context."""
        found = []
        for stage, _ in self.file.stages:
            for rest in self.file.all(stage, "COPY"):
                words = shlex.split(rest)
                if not words[0].startswith("--from="):
                    found += [(source, words[-1]) for source in words[:-1]]
        return found

    def test_stages(self):
        self.assertEqual([s for s, _ in self.file.stages], ["build", "run"])
        for stage, _ in self.file.stages:
            self.assertEqual(self.file.all(stage, "FROM"), ["debian:12-slim AS " + stage])
        # The one thing that comes of the other stage: the package, which is no part of the image.
        self.assertEqual(self.file.all("run", "COPY"), [])
        run, = self.file.all("run", "RUN")
        mount = dict(x.split("=", 1) for x in re.match(r"--mount=(\S+) ", run).group(1).split(","))
        self.assertEqual(mount["from"], "build")
        build = self.file.all("build", "WORKDIR")[0] + "/build"
        self.assertEqual(mount["source"], build + "/packages")
        self.assertIn(" %s/merganser_*.deb " % mount["target"], run)

    def test_not_root_and_without_a_shell(self):
        user, = self.file.all("run", "USER")
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$")
        self.assertIn("--uid %s --gid %s " % tuple(user.split(":")),
                      " ".join(self.file.all("run", "RUN")))
        for word in ("ENTRYPOINT", "CMD"):
            self.assertTrue(self.file.all("run", word)[0].startswith("["), word)
        self.assertEqual(self.file.all("run", "ENTRYPOINT"), ['["merganser"]'])
        self.assertEqual(self.file.all("run", "EXPOSE"), ["%d %d" % (PORT, HTTP_PORT)])

    def test_health_check(self):
        check, = self.file.all("run", "HEALTHCHECK")
        command = yaml.safe_load(check.split(" CMD ")[1])
        self.assertEqual(command[:2], ["merganser", "health"])
        self.assertEqual(command[-1], "127.0.0.1:%d" % PORT)
        self.assertIn(command[2], flags_of("health"))

    def test_what_is_copied_is_there_and_enough_to_build(self):
        ignore = [x for x in text_of(DOCKER, "Dockerfile.dockerignore").splitlines()
                  if x and not x.startswith("#")]
        self.assertEqual(ignore[0], "*")
        kept = [x[1:] for x in ignore[1:]]
        for source, target in self.copies():
            self.assertTrue(os.path.exists(os.path.join(harness.SOURCE, source)), source)
            self.assertIn(source, kept, "Dockerfile.dockerignore hides it")
            if target.startswith("/"):
                continue
            at = os.path.join(self.path("source"), target)
            full = os.path.join(harness.SOURCE, source)
            if os.path.isdir(full):
                shutil.copytree(full, at)
            else:
                os.makedirs(at if target.endswith("/") else os.path.dirname(at), exist_ok=True)
                shutil.copy(full, at)
        build, = [x for x in self.file.all("build", "RUN") if "cmake" in x]
        # Its own commands, where building is only thought of.
        for command in build.split(" && ")[:-1] + [build.split(" && ")[-1] + " -- -n"]:
            done = subprocess.run(["bash", "-c", command], cwd=self.path("source"),
                                  env={**os.environ, "MERGANSER_COMMIT": "0123abcd"},
                                  capture_output=True, text=True, timeout=harness.LIMIT,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertIn("bin/merganser", done.stdout)
        self.assertIn("MERGANSER_COMMIT=", self.file.all("build", "ARG"))
        self.assertIn('"0123abcd"', text_of(self.path("source"), "build", "coordinator", "cli",
                                            "commit.h"))

    def test_version(self):
        self.assertIn("-t merganser:%s " % version(), text_of(DOCKER, "Dockerfile"))


class ScriptsTest(harness.Case):
    def test_shell_can_read_them(self):
        scripts = (glob.glob(os.path.join(DEPLOY, "*.sh"))
                   + glob.glob(os.path.join(DEPLOY, "slurm", "*.s*")))
        self.assertGreaterEqual(len(scripts), 8)
        for script in scripts:
            done = subprocess.run(["bash", "-n", script], capture_output=True, text=True,
                                  check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), script)
            # job.sh is sourced, sbatch reads its files.
            if script.endswith(".sh") and not script.endswith("/job.sh"):
                self.assertTrue(os.access(script, os.X_OK), script)

    def test_batch_scripts_can_be_requeued_and_are_told_of_the_end(self):
        scripts = glob.glob(os.path.join(DEPLOY, "slurm", "*.sbatch"))
        self.assertEqual(len(scripts), 4)
        for script in scripts:
            options = re.findall(r"^#SBATCH (\S+)$", text_of(script), re.MULTILINE)
            self.assertIn("--requeue", options)
            self.assertIn("--open-mode=append", options)
            self.assertRegex(" ".join(options), r"--signal=B:USR1@\d+")

    def test_signals_at_any_time_do_not_break_the_shell(self):
        # bash 5.2 runs a trap in the middle of parsing a command substitution and then fails
        # with a syntax error, so that a job ended without going back to the queue.
        folder = os.path.join(DEPLOY, "slurm")
        for script in glob.glob(os.path.join(folder, "*.sbatch")):
            _, found, rest = text_of(script).partition('. "$here/job.sh"')
            self.assertTrue(found, script)
            self.assertEqual(re.findall(r"^ *[^ #\n].*\$\((?!\().*$", rest, re.M), [], script)
        with open(self.path("line"), "w", encoding="ascii") as f:
            f.write("text\n")
        script = """
            set -uo pipefail
            . "$1/job.sh" || exit 2
            stop_with=WINCH # does nothing to the child
            pause() { { sleep 0.002; } 2>/dev/null || true; } # as in job.sh, but shorter
            echo ready
            for ((i = 0; i < 300; i++)); do
              say "round $i"
              read_line "$2"
              [ "$line" = text ] || exit 3
              find_program bash
              find_resources
              find_connection
              run bash -c "exit $((i % 3))"
              [ "$code" -eq $((i % 3)) ] || { say "code $code"; exit 4; }
            done
            echo "$ended_by"
            """
        job = subprocess.Popen(
            ["bash", "-c", script, "job", folder, self.path("line")], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "MERGANSER_BIN_DIR": "/bin",
                 "MERGANSER_RUN": self.path("run")})
        self.assertEqual(job.stdout.readline(), "ready\n")
        sent = itertools.cycle((signal.SIGTERM, signal.SIGUSR1))
        while job.poll() is None:
            job.send_signal(next(sent))
            time.sleep(0.0005)
        out, err = job.communicate()
        self.assertEqual(job.returncode, 0, err)
        self.assertEqual(out, "slurm\n")
        self.assertNotRegex(err, "unexpected|Aborting|bad jump")
        self.assertEqual(len(re.findall(r"^\S+ \S+ \S+ job none: round \d+$", err, re.M)), 300)


class ReadmeTest(harness.Case):
    """deploy/README.md: what it tells an operator to type."""

    def test_kinds_of_blocks(self):
        # slurm_test.py runs those of `slurm`.
        self.assertEqual(readme_blocks.kinds(), ["", "buckets", "mpi", "slurm"])

    def test_commands_that_need_the_program_alone(self):
        result = readme_blocks.run("", self.dir, {"COORDINATOR": "127.0.0.1:%d" % free_port()})
        self.assertEqual(result.code, 0, str(result))

    def test_commands_of_mpi(self):
        binary = os.path.join(os.path.dirname(os.path.abspath(harness.BIN)), "merganser-mpi")
        if not os.path.exists(binary):
            print("skipped: there is no %s" % binary, flush=True)
            self.skipTest("there is no " + binary)
        result = readme_blocks.run("mpi", self.dir, {"OMPI_ALLOW_RUN_AS_ROOT": "1",
                                                     "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})
        self.assertEqual(result.code, 0, str(result))

    def test_paths_that_it_names_exist(self):
        named = set(re.findall(r"\bdeploy/[\w./-]*\w", text_of(DEPLOY, "README.md")))
        self.assertGreaterEqual(len(named), 8)
        for path in sorted(named):
            self.assertTrue(os.path.exists(os.path.join(harness.SOURCE, path)), path)


if __name__ == "__main__":
    harness.main()
