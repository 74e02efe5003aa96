"""Jobs by name, label, filter and order; their priorities; and what is left of them when they are
deleted."""

import json

import harness

LINEAR = """merge_method: linear
models:
  - {model: %s, parameters: {weight: 1}}
  - {model: %s, parameters: {weight: 1}}
""" % (harness.SAMPLE_BASE, harness.SAMPLE[0])


class JobsTest(harness.Case):
    def test_jobs_are_named_listed_changed_and_deleted(self):
        with open(self.path("two models.yaml"), "w", encoding="utf-8") as f:
            f.write(LINEAR)
        file = self.path("two models.yaml")
        with harness.Cluster(0, self.path("state")) as cluster:
            ask = cluster.client

            def submit(output, *args):
                result = ask("submit", file, self.path(output), *args)
                self.assertEqual(result.code, 0, str(result))
                return result.out.strip()

            def listed(*args):
                result = ask("list", "--json", *args)
                self.assertEqual(result.code, 0, str(result))
                return [job["name"] for job in json.loads(result.out)]

            plain = submit("a", "--priority", "3")
            named = submit("b", "--name", "math und Übung", "--label", "team=rl", "--label", "run=")
            last = submit("c", "--label", "team=other=x")
            self.assertEqual(listed(), [last, named, plain])

            job = json.loads(ask("get", named, "--json").out)
            self.assertEqual(job["display_name"], "math und Übung")
            self.assertEqual(job["labels"], {"team": "rl", "run": ""})
            self.assertEqual(job["method"], "linear")
            self.assertEqual(job["models"], [harness.SAMPLE_BASE, harness.SAMPLE[0]])
            text = ask("get", named).out
            self.assertRegex(text, r"(?m)^  name +math und Übung$")
            self.assertRegex(text, r"(?m)^  label +team=rl$")
            rows = ask("list").out.splitlines()
            self.assertRegex(rows[0], r"^job +name +state +owner +age +output$")
            self.assertRegex(rows[1], r"^%s  two models.yaml +[A-Z]+ .* \d+s  .*/c$" % last)
            self.assertRegex(rows[2], r"^%s  math und Übung   [A-Z]+ " % named)

            self.assertEqual(listed("--filter", "labels.team = rl"), [named])
            self.assertEqual(listed("--filter", "labels.team:*", "--order-by", "create_time"),
                             [named, last])
            self.assertEqual(listed("--filter", "ÜBUNG OR und"), [named])
            self.assertEqual(listed("--order-by", "priority desc, create_time"),
                             [plain, named, last])
            self.assertEqual(listed("--limit", "2"), [last, named])
            self.assertEqual(ask("list", "--limit", "2").err, "2 of 3 jobs\n")
            self.assertOneError(ask("list", "--filter", "stat = FAILED"), 2, "filter: at 1",
                                "did you mean 'state'?")
            self.assertOneError(ask("list", "--order-by", "owner, age"), 2, "order_by: at 8")
            self.assertOneError(ask("list", "--state", "gone"), 2, "--state")
            self.assertOneError(ask("submit", file, self.path("d"), "--label", "team"), 2,
                                "--label", "KEY=VALUE")
            self.assertOneError(ask("submit", file, self.path("d"), "--label", "Team=x"), 2,
                                "labels", "Team")
            self.assertOneError(ask("submit", file, self.path("d"), "--name", "x" * 129), 2,
                                "display_name")

            self.assertOneError(ask("delete", plain), 2, plain, "expected one that has ended")
            changed = ask("priority", last, "-7")
            self.assertEqual(changed.code, 0, str(changed))
            self.assertRegex(changed.out, r"(?m)^  priority +-7$")
            events = [e["text"] for e in json.loads(ask("get", last, "--json").out)["events"]]
            self.assertTrue(any(e.startswith("priority 0 -> -7 by ") for e in events), events)
            self.assertOneError(ask("priority", last, "5000"), 2, "PRIORITY")
            self.assertEqual(ask("cancel", last).code, 0)

            cluster.add_worker()
            result = ask("watch", named, "--json")
            self.assertEqual(result.code, 0, str(result))
            states = [json.loads(line)["state"] for line in result.out.splitlines()]
            self.assertEqual(states[-1], "SUCCEEDED")
            self.assertNotIn("SUCCEEDED", states[:-1])
            cluster.finish(plain)
            cluster.finish(last)
            self.assertEqual(listed("--state", "succeeded", "--order-by", "create_time"),
                             [plain, named])
            self.assertEqual(listed("--state", "cancelled", "--state", "failed"), [last])
            self.assertEqual(listed("--state", "SUCCEEDED", "--filter", "labels:team OR nothing"),
                             [named])
            self.assertOneError(ask("priority", named, "1"), 2, "SUCCEEDED")

            result = ask("delete", named, last.split("/")[1])
            self.assertEqual(result.code, 0, str(result))
            self.assertEqual(result.out, "deleted %s\ndeleted %s\n" % (named, last))
            self.assertEqual(listed(), [plain])
            result = ask("delete", named, plain)
            self.assertEqual(result.code, 2, str(result))
            self.assertEqual(result.out, "deleted %s\n" % plain)
            # What was merged stays, and so does what was deleted, over a restart.
            self.assertEqual(harness.run("verify", self.path("b")).code, 0)
            cluster.kill_coordinator()
            cluster.start_coordinator(cluster.address)
            self.assertEqual(listed(), [])

    def test_workers_are_listed(self):
        with open(self.path("two models.yaml"), "w", encoding="utf-8") as f:
            f.write(LINEAR)
        with harness.Cluster(1, self.path("state")) as cluster:
            done = cluster.client("submit", self.path("two models.yaml"), self.path("out"), "--watch")
            self.assertEqual(done.code, 0, str(done))
            workers = json.loads(cluster.client("workers", "--json").out)
            self.assertEqual(len(workers), 1)
            worker = workers[0]
            self.assertEqual(worker["state"], "ALIVE")
            self.assertGreater(int(worker["units_done"]), 0)
            self.assertRegex(worker["version"], r"^merganser \d")
            self.assertTrue(worker["name"].startswith(worker["host"] + "-"), worker)
            rows = cluster.client("workers").out.splitlines()
            self.assertRegex(rows[0], "^worker +state +units +done +failed +reads +writes +called$")
            self.assertRegex(rows[1], r"^%s +ALIVE +0 +%s +0 " % (worker["name"],
                                                                  worker["units_done"]))
            self.assertEqual(len(rows), 2)


if __name__ == "__main__":
    harness.main()
