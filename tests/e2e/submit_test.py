"""What a coordinator says of a request before it takes it, and the commands that follow a job."""

import os
import re

import harness

LINEAR = """merge_method: linear
models:
  - {model: %(base)s, parameters: {weight: 1}}
  - {model: %(expert)s, parameters: {weight: 1}}
"""
TIES = """merge_method: ties
base_model: %(base)s
models:
  - {model: %(expert)s, parameters: {density: %(density)s}}
"""


class SubmitTest(harness.Case):
    def recipe(self, text, **values):
        values = {"base": harness.SAMPLE_BASE, "expert": harness.SAMPLE[0], **values}
        with open(self.path("r.yaml"), "w", encoding="utf-8") as f:
            f.write(text % values)
        return self.path("r.yaml")

    def wrong(self):
        """What can never run, and what is said of it."""
        broken = harness.link_folder(harness.SAMPLE[0], self.path("broken"))
        with open(os.path.join(broken, "model.safetensors"), "r+b") as f:
            f.truncate(1000)
        yield LINEAR.replace("linear", "lineer"), {}, "lineer"
        yield LINEAR.replace("weight", "wieght"), {}, "wieght"
        yield LINEAR.replace("weight: 1", "weight: many"), {}, "many"
        yield LINEAR, {"expert": self.path("nope")}, "nope"
        yield LINEAR, {"expert": broken}, "broken"
        yield TIES.replace("base_model: %(base)s\n", ""), {"density": 1}, "base_model"
        yield TIES, {"density": 7}, "density"
        yield TIES.replace("density:", "densty:"), {"density": 1}, "density"
        yield TIES.replace("ties", "slerp"), {"density": 1}, "parameters.t"

    def test_what_can_never_run_is_told_at_once(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            for text, values, said in self.wrong():
                file = self.recipe(text, **values)
                self.assertEqual(harness.run("plan", file).code, 2)
                for args in ((), ("--dry-run",)):
                    with self.subTest(text, args=args):
                        result = cluster.client("submit", file, self.path("out"), *args)
                        self.assertOneError(result, 2, said)
                        self.assertEqual(result.out, "")
            self.assertEqual(cluster.client("list", "--json").out.strip(), "[]")

    def test_dry_run(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            file = self.recipe(LINEAR)
            result = cluster.client("submit", file, self.path("out"), "--dry-run")
            self.assertEqual(result.code, 0, str(result))
            self.assertRegex(result.out, r"^would be accepted: [1-9][0-9]* units, .* to analyze and "
                                         r"write\n$")
            self.assertEqual(cluster.client("list", "--json").out.strip(), "[]")
            self.assertNoOutput(self.path("out"))
            both = cluster.client("submit", file, self.path("out"), "--dry-run", "--watch")
            self.assertOneError(both, 2, "--dry-run", "--watch")

    def test_ids_are_taken_with_and_without_the_collection(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            job = cluster.submit(self.recipe(LINEAR), self.path("out"))
            id = re.fullmatch("jobs/(.*)", job).group(1)
            self.assertIn(job, cluster.client("get", id).out)
            self.assertIn(job, cluster.client("cancel", id).out)
            watched = cluster.client("watch", id)
            self.assertEqual(watched.code, 3, str(watched))
            self.assertIn(job + " was cancelled", watched.err)
            self.assertOneError(cluster.client("get", "runs/" + id), 2, "runs/" + id)


if __name__ == "__main__":
    harness.main()
