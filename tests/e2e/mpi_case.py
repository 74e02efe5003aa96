"""Running merganser-mpi under mpirun."""

import glob
import os
import re
import subprocess

import harness
from harness import SAMPLE, SAMPLE_BASE

MPI_BIN = os.path.join(os.path.dirname(os.path.abspath(harness.BIN)), "merganser-mpi")

# For a container: root, without ssh, without the right to read other processes' memory.
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_plm": "isolated",
    "OMPI_MCA_btl": "self,vader",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    # Open MPI keeps memory until its process ends, which is no leak of ours.
    "ASAN_OPTIONS": "detect_leaks=0",
}


def command(ranks, *args, before=()):
    """`before`: stands between mpirun and the program."""
    return ["mpirun", "-n", str(ranks), *before, MPI_BIN, *[str(a) for a in args]]


def mpi_run(line, env=None):
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True,
                          env=harness.environment({**MPI_ENVIRONMENT, **(env or {})}),
                          timeout=harness.LIMIT)
    return harness.Result(line, done.returncode, done.stdout.decode("utf-8", "replace"),
                          done.stderr.decode("utf-8", "replace"))


def ranks_of(mpirun):
    """Rank -> pid of the program's processes below an mpirun."""
    found = {}
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/stat", encoding="utf-8", errors="replace") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            if parent != mpirun.pid:
                continue
            with open(folder + "/environ", "rb") as f:
                rank = re.search(rb"(?:^|\0)OMPI_COMM_WORLD_RANK=(\d+)\0", f.read())
        except OSError:
            continue  # gone meanwhile
        if rank:
            found[int(rank.group(1))] = int(folder.rsplit("/", 1)[1])
    return found


class MpiCase(harness.Case):
    def mpi(self, ranks, *args):
        return mpi_run(command(ranks, *args, "--threads", "1"))

    def mpi_ok(self, ranks, *args):
        result = self.mpi(ranks, *args)
        if result.code != 0:
            self.fail(str(result))
        return result

    def generated(self, method="resmerge", scope="tensor", **top):
        models = harness.data("generated", whole=True)
        per_model = [{"weight": 1}] * len(models[1:]) if method == "scf_rkl" else None
        return harness.recipe(self.path("%s-%s.yaml" % (method, scope)), method, models[0],
                              models[1:], {"scope": scope}, per_model,
                              **{"max_shard_size": "4MB", **top})

    def sample(self, method, scope):
        return harness.recipe(self.path("sample-%s-%s.yaml" % (method, scope)), method,
                              SAMPLE_BASE, SAMPLE, {"scope": scope})
