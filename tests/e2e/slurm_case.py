"""What tests of the batch scripts share: a Slurm of one node for a class of tests, recipes, and what became
of jobs.

Skipped, with the reason, only where Slurm's daemons cannot run; with MERGANSER_LONG=1, which
says that they are installed, that is a failure.
"""

import os
import shutil
import tempfile
import unittest

import harness
import slurm_cluster

SCRIPTS = os.path.join(harness.SOURCE, "deploy", "slurm")
BINARIES = os.path.dirname(os.path.abspath(harness.BIN))
# What jobs may read and write, and by what name others reach the node: one that needs no
# /etc/hosts.
SERVES = {"MERGANSER_HOST": "127.0.0.1",
          "MERGANSER_ALLOW_ROOT": harness.SOURCE + ":" + os.path.abspath(harness.DATA)}
# What a job asks of the node.
SMALL = ("--nodes=1", "--cpus-per-task=1", "--mem=2G")


class SlurmCase(harness.Case):
    can_start = False  # it has, in this run

    @classmethod
    def setUpClass(cls):
        # Sockets have short names: not below the build folder.
        cls.folder = tempfile.mkdtemp(prefix="merganser-slurm-")
        cls.slurm = slurm_cluster.SlurmCluster(cls.folder)
        try:
            cls.slurm.__enter__()
            SlurmCase.can_start = True
        except slurm_cluster.CannotStart as error:
            shutil.rmtree(cls.folder, ignore_errors=True)
            if SlurmCase.can_start or harness.LONG:
                raise
            print("skipped: Slurm cannot run here: %s" % error, flush=True)
            raise unittest.SkipTest("Slurm cannot run here: %s" % error)

    @classmethod
    def tearDownClass(cls):
        cls.slurm.__exit__()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def environment(self, **more):
        # Open MPI asks root to insist, as it does everywhere.
        return dict({"MERGANSER_BIN_DIR": BINARIES, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                     "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}, **more)

    def submit(self, script, *args, options=(), **env):
        return self.slurm.sbatch("--output", self.log_file(), *SMALL, *options,
                                 os.path.join(SCRIPTS, script), *args,
                                 env=self.environment(**env))

    def log_file(self):
        return self.path("job.log")

    def log(self):
        text = ""
        for at, _, files in os.walk(self.dir):
            for name in sorted(files):
                if name.endswith(".log"):
                    with open(os.path.join(at, name), encoding="utf-8", errors="replace") as f:
                        text += "".join("[%s] %s" % (name, line) for line in f)
        return text

    def assertEnd(self, job, state, code, restarts):
        self.assertEqual((job["JobState"], job["ExitCode"], job["Restarts"]),
                         (state, "%d:0" % code, str(restarts)), "%s\n%s" % (job, self.log()))

    def sample(self):
        """A recipe of the sample experts, and the bytes that it makes."""
        file = harness.recipe(self.path("sample.yaml"), "resmerge", harness.SAMPLE_BASE,
                              harness.SAMPLE)
        return file, harness.hash_output(self.merge(file, self.path("sample-embedded")))

    def generated(self):
        """The same of the generated set: it takes seconds, over three rounds."""
        models = harness.data("generated")
        file = harness.recipe(self.path("generated.yaml"), "scf_rkl", models[0], models[1:],
                              parameters={"scope": "model"}, max_shard_size="8MB")
        return file, harness.hash_output(self.merge(file, self.path("generated-embedded")))
