"""--metrics-file: what a merge, the ranks of an MPI run and a worker tell in a file, that it fails
nothing, and that METRICS.md names all of it and nothing else."""

import os
import re
import signal
import subprocess

import yaml

import harness
from harness import SAMPLE, SAMPLE_BASE
from http_case import Site
from metrics_text import read, total
from mpi_case import command, mpi_run
from ports import free_port

FOLDER = os.path.join(os.environ["MERGANSER_SOURCE_DIR"], "deploy", "prometheus")
TABLE = os.path.join(FOLDER, "METRICS.md")
RULES_TEST = os.path.join(os.environ["MERGANSER_SOURCE_DIR"], "tests", "data", "prometheus",
                          "rules_test.yml")


def table():
    """{name: type} of METRICS.md."""
    with open(TABLE, encoding="utf-8") as f:
        return dict(re.findall(r"^\| `(merganser_[a-z0-9_]+)` \| (\w+) \|", f.read(),
                               re.MULTILINE))


def rules():
    with open(os.path.join(FOLDER, "rules.yml"), encoding="utf-8") as f:
        return [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]


class MetricsTest(harness.Case):
    def sample(self):
        return harness.recipe(self.path("recipe.yaml"), "resmerge", SAMPLE_BASE, SAMPLE, {})

    def test_a_merge_tells_what_its_report_tells(self):
        recipe, file = self.sample(), self.path("merge.prom")
        self.merge(recipe, self.path("out"), "--metrics-file", file)
        series, _ = read(file)
        run = harness.report(self.path("out"))["run"]
        self.assertEqual(total(series, "merganser_worker_input_bytes_total"), run["bytes_read"])
        self.assertEqual(total(series, "merganser_worker_output_bytes_total"),
                         run["bytes_written"])
        units = len(run["unit_seconds"])
        self.assertEqual(total(series, "merganser_worker_units_total", state="completed"), units)
        self.assertEqual(total(series, "merganser_merge_done_units"),
                         total(series, "merganser_merge_planned_units"))
        self.assertEqual(total(series, "merganser_merge_done_bytes"),
                         total(series, "merganser_merge_planned_bytes"))
        self.assertEqual(total(series, "merganser_worker_units_in_flight"), 0)
        self.assertGreater(total(series, "merganser_worker_solver_steps_total"), 0)
        self.assertGreaterEqual(total(series, "merganser_storage_read_bytes_total", scheme="file"),
                                run["bytes_read"])
        self.assertGreaterEqual(
            total(series, "merganser_storage_written_bytes_total", scheme="file"),
            run["bytes_written"])
        for stage, seconds in run["stage_seconds"].items():
            # What was flushed after the results were told is in both or in neither.
            self.assertAlmostEqual(
                total(series, "merganser_worker_stage_seconds_total", stage=stage), seconds,
                delta=0.01, msg=stage)
        for unit in run["unit_stage_seconds"]:
            self.assertEqual(len(unit), 5)
        self.assertGreater(run["stage_seconds"]["compute"], 0)
        self.assertEqual([name for name in os.listdir(os.path.dirname(file))
                          if name.endswith(".tmp")], [])

    def test_output_is_the_same_bytes_with_and_without(self):
        recipe = self.sample()
        self.merge(recipe, self.path("with"), "--metrics-file", self.path("merge.prom"))
        self.merge(recipe, self.path("without"))
        self.assertEqual(harness.hash_output(self.path("with")),
                         harness.hash_output(self.path("without")))

    def test_a_file_that_cannot_be_written_is_a_warning(self):
        result = self.ok("merge", self.sample(), self.path("out"), "--metrics-file",
                         self.path("missing", "merge.prom"))
        self.assertEqual(result.err.count("warning: --metrics-file: "), 1, result.err)
        self.ok("verify", self.path("out"))

    def test_a_merge_that_fails_leaves_its_last_word(self):
        file = self.path("merge.prom")
        os.makedirs(self.path("out"))
        with open(self.path("out", "something"), "w", encoding="utf-8"):
            pass
        result = harness.run("merge", self.sample(), self.path("out"), "--metrics-file", file)
        self.assertNotEqual(result.code, 0)
        self.assertIn("merganser_build_info", read(file)[0])

    def test_every_rank_has_a_file(self):
        file = self.path("merge.prom")
        result = mpi_run(command(
            2, self.sample(), self.path("out"), "--threads", "1", "--metrics-file", file))
        self.assertEqual(result.code, 0, result)
        ranks = [read(file)[0], read(self.path("merge.rank1.prom"))[0]]
        run = harness.report(self.path("out"))["run"]
        self.assertEqual(sum(total(s, "merganser_worker_output_bytes_total") for s in ranks),
                         run["bytes_written"])
        for rank, series in enumerate(ranks):
            for name, of_name in series.items():
                for labels in of_name:
                    self.assertIn(("rank", str(rank)), labels, name)

    def test_labels_of_ones_own_are_on_every_series(self):
        file = self.path("merge.prom")
        self.merge(self.sample(), self.path("out"), "--metrics-file", file, "--metrics-label",
                   "pool=a", "--metrics-label", "slurm_job=12")
        for name, of_name in read(file)[0].items():
            for labels in of_name:
                self.assertLessEqual({("pool", "a"), ("slurm_job", "12")}, labels, name)
        for wrong in ("pool", "stage=x"):
            self.assertOneError(harness.run("merge", self.sample(), self.path("new"),
                                            "--metrics-file", file, "--metrics-label", wrong), 2,
                                "--metrics-label", "NAME=VALUE")

    def test_a_worker_tells_what_it_did(self):
        file = self.path("worker.prom")
        arguments = ("--threads", "1", "--memory", "2GiB", "--metrics-file", file)
        with harness.Cluster(1, self.path("state"), worker_args=arguments) as cluster:
            job = cluster.submit(self.sample(), self.path("out"))
            cluster.finish(job)
            cluster.workers[0].send_signal(signal.SIGTERM)
            cluster.workers[0].wait(timeout=harness.LIMIT)
            run = harness.report(self.path("out"))["run"]
        series, _ = read(file)
        self.assertEqual(total(series, "merganser_worker_output_bytes_total"),
                         run["bytes_written"])
        self.assertEqual(total(series, "merganser_worker_units_total", state="completed"),
                         len(run["unit_seconds"]))
        self.assertAlmostEqual(total(series, "merganser_worker_stage_seconds_total", stage="flush"),
                               run["stage_seconds"]["flush"], delta=0.01)

    def coordinator(self):
        """The file of a coordinator that did one job, was asked over HTTP, and ended."""
        file = self.path("coordinator.prom")
        port = free_port()
        with harness.Cluster(1, self.path("state"), coordinator_args=(
                "--metrics-file", file, "--http", "127.0.0.1:%d" % port)) as cluster:
            cluster.finish(cluster.submit(self.sample(), self.path("served")))
            site = Site("http://127.0.0.1:%d" % port)
            for path, status in (("/healthz", 200), ("/healthz", 200), ("/jobs/abc", 200),
                                 ("/api/v1/jobs/abc", 401), ("/nowhere", 404)):
                self.assertEqual(site.get(path).status, status, path)
            cluster.coordinator.send_signal(signal.SIGTERM)
            cluster.coordinator.wait(timeout=harness.LIMIT)
        return file

    def test_a_coordinator_tells_what_became_of_a_job(self):
        series, _ = read(self.coordinator())
        run = harness.report(self.path("served"))["run"]
        self.assertEqual(total(series, "merganser_jobs", state="succeeded"), 1)
        self.assertEqual(total(series, "merganser_jobs"), 1)
        self.assertEqual(total(series, "merganser_jobs_ended_total", state="succeeded"), 1)
        self.assertEqual(total(series, "merganser_units_completed_total"),
                         len(run["unit_seconds"]))
        self.assertEqual(total(series, "merganser_units_input_bytes_total"), run["bytes_read"])
        self.assertEqual(total(series, "merganser_units_output_bytes_total"),
                         run["bytes_written"])
        for stage, seconds in run["stage_seconds"].items():
            self.assertAlmostEqual(
                total(series, "merganser_units_stage_seconds_total", stage=stage), seconds,
                delta=0.001, msg=stage)
        self.assertEqual(total(series, "merganser_grpc_requests_total",
                               method="merganser.v1.MergeService/CreateJob", code="OK"), 1)
        asked = lambda **labels: total(series, "merganser_http_requests_total", **labels)
        self.assertEqual(asked(route="/healthz", code="2xx"), 2)
        self.assertEqual(asked(route="/jobs/*", code="2xx"), 1)
        self.assertEqual(asked(route="/api/v1/jobs/*", code="4xx"), 1)
        self.assertEqual(asked(route="other", code="4xx"), 1)
        self.assertEqual(asked(), total(series, "merganser_http_request_seconds_count"))
        self.assertEqual(total(series, "merganser_http_refused_total"), 0)
        self.assertEqual(total(series, "merganser_leases_lost_total"), 0)
        self.assertGreaterEqual(total(series, "merganser_journal_requests_total",
                                      operation="add_results", code="OK"), 1)

    def test_the_table_names_what_is_told_and_nothing_else(self):
        file = self.path("merge.prom")
        self.merge(self.sample(), self.path("out"), "--metrics-file", file)
        told = {**read(file)[1], **read(self.coordinator())[1]}
        self.assertEqual(told, table())

    def test_names_are_as_promtool_wants_them(self):
        file = self.path("merge.prom")
        self.merge(self.sample(), self.path("out"), "--metrics-file", file)
        for path in (file, self.coordinator()):
            with open(path, "rb") as text:
                linted = subprocess.run(["promtool", "check", "metrics"], stdin=text,
                                        capture_output=True, check=False)
            self.assertEqual((linted.returncode, linted.stderr.decode()), (0, ""))


class RulesTest(harness.Case):
    """deploy/prometheus/rules.yml."""

    def promtool(self, *args):
        done = subprocess.run(["promtool", *args], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr.decode())

    def test_they_and_the_configuration_are_valid(self):
        self.promtool("check", "rules", os.path.join(FOLDER, "rules.yml"))
        self.promtool("check", "config", os.path.join(FOLDER, "prometheus.yml"))

    def test_alerts_come_when_they_should(self):
        self.promtool("test", "rules", RULES_TEST)

    def test_every_metric_in_them_is_told(self):
        names = set()
        for rule in rules():
            names.update(re.findall(r"\bmerganser_[a-z0-9_]+", rule["expr"]))
        self.assertGreater(len(names), 5)
        self.assertEqual(sorted(names - set(table())), [])

    def test_every_alert_and_every_record_but_one_is_tested(self):
        with open(RULES_TEST, encoding="utf-8") as f:
            tests = yaml.safe_load(f)["tests"]
        tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", [])}
        tested |= {case["expr"] for test in tests for case in test.get("promql_expr_test", [])}
        # Its alert tests this one.
        tested.add("merganser:storage_throttles:ratio_rate5m")
        self.assertEqual(sorted(rule.get("alert", rule.get("record")) for rule in rules()),
                         sorted(tested))


if __name__ == "__main__":
    harness.main()
