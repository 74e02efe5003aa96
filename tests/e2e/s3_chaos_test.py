"""The disturbances of chaos_test.py to a job from bucket to bucket: workers killed or stopped, the
coordinator killed and started again, the network between them silent or cut. One seed, 20 with
MERGANSER_CHAOS=1; MERGANSER_SEED runs one again."""

import os

import chaos_test
import harness
from s3_case import BucketCase

SEEDS = int(os.environ.get("MERGANSER_SEEDS",
                           "20" if harness.CHAOS else "1"))


class ChaosOverBucketsTest(BucketCase, chaos_test.ChaosTest):
    def namespace(self, seed):
        # From a network of their own workers would not find the store.
        return None

    def test_seeds(self):
        only = os.environ.get("MERGANSER_SEED")
        local, remote = self.generated()
        wanted = self.wanted(local)
        token = self.path("token")
        with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
            f.write("c" * 40 + " admin\n")
        events = []
        for seed in [int(only)] if only else range(1, SEEDS + 1):
            output = "out/chaos-%d" % seed
            with self.subTest(seed=seed), self.cluster(seed, token) as cluster:
                job = cluster.submit(remote, "s3://models/" + output)
                chaos = chaos_test.Chaos(seed, cluster, job, output, small=False)
                last = chaos.run()
                print("seed %d: %s; %s" % (seed, ", ".join(chaos.events), last["progress"]),
                      flush=True)
                self.assertEqual(harness.state_of(last), "SUCCEEDED", str(last) + cluster.log())
                self.check(output, wanted)
                self.remove(output)
                events += chaos.events
        self.assertGreater(len(events), 0)


if __name__ == "__main__":
    harness.main()
