"""From bucket to bucket with shards of many parts, units of several parts among them: the bytes of
the merge on disks for every way of running, within a small memory, while no file of a process may
grow beyond a megabyte and there is no folder for temporary ones."""

import os
import subprocess

import harness
from mpi_case import MPI_ENVIRONMENT, command
from s3_case import BucketCase

MOST = 1 << 20  # bytes of any file on a disk
LIMITED = ("prlimit", "--fsize=%d" % MOST)
MEMORY = ("--memory", "320MiB")


class PartsTest(BucketCase):
    def setUp(self):
        super().setUp()
        # Nine tensors have 32 MiB, two parts, and are units of their own.
        self.local, self.remote = self.generated("wide", max_shard_size="100MB",
                                                 out_dtype="float32")
        self.expected = self.wanted(self.local)
        self.shards = [name for name in self.expected if name.endswith(".safetensors")]
        self.assertGreaterEqual(len(self.shards), 3)

    def passes(self, output, line, env=None):
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True,
                              env=harness.environment({"TMPDIR": self.path("none"), **(env or {})}),
                              timeout=harness.LIMIT, check=False)
        result = harness.Result(line, done.returncode, done.stdout.decode("utf-8", "replace"),
                                done.stderr.decode("utf-8", "replace"))
        self.assertEqual(result.code, 0, str(result))
        self.check(output, self.expected)

    def test_embedded(self):
        output = "out/embedded"
        self.passes(output, [*LIMITED, harness.BIN, "merge", self.remote, "s3://models/" + output,
                             *MEMORY])
        parts = {name: self.s3.parts("models", "%s/%s" % (output, name)) for name in self.shards}
        print("parts of each shard: %s" % sorted(parts.values()))
        self.assertGreaterEqual(sum(parts.values()), 20)
        units = len(harness.json.loads(self.s3.get(
            "models", output + "/merge_report.json"))["run"]["unit_workers"])
        print("units: %d" % units)
        self.assertGreater(sum(parts.values()), units)

    def test_workers(self):
        output = "out/workers"
        with harness.Cluster(0, self.path("state"),
                             worker_args=("--threads", "1", *MEMORY)) as cluster:
            cluster.worker_prefix = LIMITED
            for _ in range(3):
                cluster.add_worker()
            job = cluster.finish(cluster.submit(self.remote, "s3://models/" + output))
            self.assertEqual(harness.state_of(job), "SUCCEEDED", str(job) + cluster.log())
        self.check(output, self.expected)

    def test_ranks(self):
        scratch = self.path("scratch")
        os.makedirs(scratch)
        # Over TCP: ranks that share memory do so by a file.
        self.passes("out/ranks", command(3, self.remote, "s3://models/out/ranks", "--threads", "1",
                                         *MEMORY, before=LIMITED),
                    {**MPI_ENVIRONMENT, "OMPI_MCA_btl": "self,tcp", "TMPDIR": scratch})
        self.assertEqual(harness.leftovers(scratch), [])


if __name__ == "__main__":
    harness.main()
