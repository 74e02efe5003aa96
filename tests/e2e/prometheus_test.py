"""A Prometheus of its own reads a coordinator and its workers during merges: every expression of
deploy/prometheus/rules.yml and of deploy/grafana/merganser.json parses and returns data.

When alerts fire is tested without a server, over hours (metrics_test.py)."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import yaml

import harness
from ports import free_port

DEPLOY = os.path.join(harness.SOURCE, "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "rules.yml")
DASHBOARD = os.path.join(DEPLOY, "grafana", "merganser.json")

# What returns nothing while all is well, and why.
ONLY_IN_TROUBLE = {
    "MerganserJobStuck": "no job is quiet for half an hour",
    "MerganserNoWorker": "workers are there",
    "MerganserLeasesLost": "no lease is lost",
    "MerganserStorageThrottled": "no store asks for fewer requests",
    "MerganserDiskFull": "no disk is full",
    "merganser:storage_throttles:ratio_rate5m": "disks are asked without HTTP",
    "Errors": "no request fails",
    "Throttles and tries again": "disks are asked without HTTP",
    "Journal: errors": "no call of the journal fails",
}


def rules():
    with open(RULES, encoding="utf-8") as f:
        return [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]


def panels():
    with open(DASHBOARD, encoding="utf-8") as f:
        return [p for p in json.load(f)["panels"] if p["type"] != "row"]


class DashboardTest(unittest.TestCase):
    """What Grafana is given, without one."""

    def setUp(self):
        with open(DASHBOARD, encoding="utf-8") as f:
            self.dashboard = json.load(f)

    def test_every_panel_says_what_it_shows(self):
        found = panels()
        self.assertGreater(len(found), 20)
        ids = [p["id"] for p in self.dashboard["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        for panel in found:
            with self.subTest(panel["title"]):
                self.assertGreater(len(panel["description"]), 10)
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertTrue(panel["targets"])
        for name in ("Jobs by state", "Queue", "Units of running jobs", "Errors",
                     "Where the time of units goes", "Throttles and tries again",
                     "Leases lost and failed", "Workers", "Memory against budget",
                     "Journal: time of a call", "gRPC: calls by method", "gRPC: calls by code",
                     "HTTP: requests by route", "HTTP: who is sent away"):
            self.assertIn(name, [p["title"] for p in found])

    def test_panels_lie_side_by_side(self):
        taken = set()
        for panel in self.dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                     for y in range(at["y"], at["y"] + at["h"])}
            self.assertEqual(cells & taken, set(), panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells

    def test_the_source_is_chosen_and_no_label_is_unbounded(self):
        variables = {v["name"]: v for v in self.dashboard["templating"]["list"]}
        self.assertEqual(variables["datasource"]["type"], "datasource")
        for panel in panels():
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                self.assertIn('instance=~"$instance"', target["expr"])
                by = re.findall(r"by \(([^)]*)\)", target["expr"])
                labels = {label.strip() for group in by for label in group.split(",")}
                self.assertLessEqual(labels, {"le", "state", "stage", "scheme", "operation", "code",
                                              "method", "version", "numerics", "simd", "route",
                                              "kind"})


class PrometheusTest(harness.Case):
    @contextlib.contextmanager
    def prometheus(self, targets):
        """One that asks `targets`, {name: HOST:PORT}, every second."""
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [RULES],
            "scrape_configs": [
                {"job_name": name, "scrape_timeout": "1s",
                 "static_configs": [{"targets": [address], "labels": {"instance": name}}]}
                for name, address in targets.items()],
        }
        with open(self.path("prometheus.yml"), "w", encoding="utf-8") as f:
            yaml.safe_dump(config, f)
        self.address = "127.0.0.1:%d" % free_port()
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                ["prometheus", "--config.file", self.path("prometheus.yml"),
                 "--storage.tsdb.path", self.path("tsdb"), "--web.listen-address", self.address,
                 "--log.level", "warn"], stdout=log, stderr=log)
            try:
                def up():
                    self.assertIsNone(process.poll())
                    with contextlib.suppress(OSError):
                        return self.get("/-/ready") is not None
                harness.wait_for("Prometheus", up, pause=0.1)
                yield
            finally:
                process.terminate()
                process.wait()

    def serves(self, cluster, name):
        return harness.wait_for("an address", lambda: re.search(
            r"serving http://(\S+)", "\n".join(cluster._logs[name]))).group(1)

    def get(self, path, **query):
        url = "http://%s%s?%s" % (self.address, path, urllib.parse.urlencode(query))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=30) as answer:
            return answer.read()

    def query(self, expression):
        """The samples of an instant query; fails where it does not parse."""
        try:
            return json.loads(self.get("/api/v1/query", query=expression))["data"]["result"]
        except urllib.error.HTTPError as error:
            self.fail("%s: %s" % (expression, error.read().decode()))

    def expressions(self):
        for rule in rules():
            yield rule.get("alert", rule.get("record")), rule["expr"]
        for panel in panels():
            for target in panel["targets"]:
                yield panel["title"], (target["expr"].replace("$instance", ".*")
                                       .replace("$__rate_interval", "10s"))

    def test_every_expression_returns_data_during_merges(self):
        serve = ("--http", "127.0.0.1:0")
        recipe = harness.recipe(self.path("r.json"), "resmerge", harness.SAMPLE_BASE,
                                harness.SAMPLE, max_shard_size="1MB")
        with harness.Cluster(
                1, self.path("state"), coordinator_args=serve,
                worker_args=("--threads", "1", "--memory", "2GiB", *serve)) as cluster, \
                self.prometheus({name: self.serves(cluster, name)
                                 for name in ("coordinator 1", "worker 0")}):
            left = {(name, expression) for name, expression in self.expressions()
                    if name not in ONLY_IN_TROUBLE}
            done, deadline, number = threading.Event(), time.monotonic() + harness.LIMIT, 0

            def merge():
                nonlocal number
                while not done.is_set():
                    number += 1
                    cluster.finish(cluster.submit(recipe, self.path("out%d" % number)))
            thread = threading.Thread(target=merge)
            thread.start()
            try:
                while left and time.monotonic() < deadline:
                    for name, expression in sorted(left):
                        values = [float(s["value"][1]) for s in self.query(expression)]
                        # A rate of what is seen once is no number yet.
                        if values and any(v == v for v in values):
                            left.discard((name, expression))
                    time.sleep(0.5)
            finally:
                done.set()
                thread.join()
            self.assertEqual(sorted(left), [])
            # The others parse as well, and nothing of them is there.
            for name, expression in self.expressions():
                if name in ONLY_IN_TROUBLE and not name.startswith("Throttles"):
                    self.assertEqual(self.query(expression), [], name)
                else:
                    self.query(expression)
            told = json.loads(self.get("/api/v1/rules"))["data"]["groups"]
            states = {r["name"]: r["health"] for g in told for r in g["rules"]}
            self.assertEqual(set(states.values()), {"ok"}, states)
            self.assertEqual(len(states), len(rules()))
            self.assertEqual(json.loads(self.get("/api/v1/alerts"))["data"]["alerts"], [])

    def test_what_is_only_there_in_trouble_is_named_once(self):
        known = {name for name, _ in self.expressions()}
        self.assertLessEqual(set(ONLY_IN_TROUBLE), known)


if __name__ == "__main__":
    harness.main()
