"""Uploads that somebody ends under a merge, as a rule of the bucket or a person may: their shards
are begun again, those alone, by every way of running and by one that goes on; the output is that of
the merge on disks, and no upload is left."""

import signal
import subprocess

import harness
from mpi_case import MPI_ENVIRONMENT, command
from s3_case import BucketCase

# A merge of seconds, of whose units some are done when the upload goes.
SLOW = ("--storage-bandwidth", "120MB")
RECORD = ("--record-every", "0.05")


class GoneTest(BucketCase):
    def setUp(self):
        super().setUp()
        self.local, self.remote = self.generated(whole=True)
        self.expected = self.wanted(self.local)

    def begun(self, output):
        """Waits until a shard has parts: such shards' uploads."""
        def there():
            found = [(key, upload) for key, upload in self.s3.open_uploads("models")
                     if key.startswith(output + "/") and
                     b"<Part>" in self.s3.request("GET", "/models/" + key, {"uploadId": upload})]
            return found
        return harness.wait_for("parts", there, limit=60, pause=0.02)

    def end_one(self, output):
        """Ends an upload of which parts are there already."""
        key, upload = self.begun(output)[0]
        self.s3.request("DELETE", "/models/" + key, {"uploadId": upload})

    def ends_well(self, process, output):
        out, err = process.communicate(timeout=harness.LIMIT)
        self.assertEqual(process.returncode, 0, (out + err).decode("utf-8", "replace"))
        self.assertIn(b"are begun again", err)
        self.check(output, self.expected)

    def test_embedded(self):
        output = "out/embedded"
        with harness.running("merge", self.remote, "s3://models/" + output, "--threads", "2", *SLOW,
                             *RECORD) as process:
            self.end_one(output)
            self.ends_well(process, output)

    def test_killed_and_resumed(self):
        output = "out/resumed"
        with harness.running("merge", self.remote, "s3://models/" + output, "--threads", "1", *SLOW,
                             *RECORD) as process:
            harness.wait_for("a record", lambda: any(key.endswith("progress/1-000001") for key in
                                                     self.s3.keys("models", output)), pause=0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=harness.LIMIT)
        # Of the last shard: what is on record is of earlier ones.
        key, upload = [(key, upload) for key, upload in self.s3.open_uploads("models")
                       if key.startswith(output + "/")][-1]
        self.s3.request("DELETE", "/models/" + key, {"uploadId": upload})
        result = self.ok("merge", self.remote, "s3://models/" + output, "--resume", "--verify")
        self.assertIn("going on: ", result.err)
        self.assertNotIn("going on: 0 of", result.err)
        self.assertIn("checksums", result.out)
        self.check(output, self.expected)

    def test_ranks(self):
        output = "out/ranks"
        process = subprocess.Popen(
            command(3, self.remote, "s3://models/" + output, "--threads", "1", "--storage-bandwidth",
                    "40MB", *RECORD),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=harness.environment(MPI_ENVIRONMENT))
        try:
            self.end_one(output)
            self.ends_well(process, output)
        finally:
            process.kill()

    def test_workers(self):
        output = "out/workers"
        arguments = ("--threads", "1", "--memory", "2GiB", "--storage-bandwidth", "40MB")
        with harness.Cluster(3, self.path("state"), worker_args=arguments) as cluster:
            job = cluster.submit(self.remote, "s3://models/" + output)
            self.end_one(output)
            done = cluster.finish(job)
            self.assertEqual(harness.state_of(done), "SUCCEEDED", done)
            self.assertIn("are begun again", str(done))
        self.check(output, self.expected)


if __name__ == "__main__":
    harness.main()
