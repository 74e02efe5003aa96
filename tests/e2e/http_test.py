"""What a coordinator and its workers serve over HTTP: health, metrics, the JSON API, held against its
description, and event streams that are taken up again."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.parse

import harness
from http_case import HttpCase, Site, bearer


class ServesTest(HttpCase):
    def test_health_metrics_and_api(self):
        metrics_token = self.path("scraper")
        with open(metrics_token, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("the-scrapers-token-01\n")
        with self.cluster("--metrics-token", metrics_token, workers=0) as (cluster, site):
            self.assertEqual(site.get("/healthz").body, "ok\n")
            self.assertEqual(site.get("/readyz").status, 200)
            self.assertEqual(site.get("/metrics").status, 401)
            metrics = site.get("/metrics", Authorization="Bearer the-scrapers-token-01")
            self.assertEqual(metrics.headers["Content-Type"],
                             "text/plain; version=0.0.4; charset=utf-8")
            self.assertIn("merganser_build_info", metrics.body)
            self.assertEqual(site.ask("HEAD", "/healthz").body, "")

            # Roles are those of the service.
            self.assertEqual(site.get("/api/v1/jobs").status, 401)
            self.assertEqual(site.ask("GET", "/api/v1/jobs", headers=bearer("work")).status, 403)
            new = {"recipe": self.recipe(), "output_uri": self.path("out"), "request_id": "one",
                   "directories": [self.dir]}
            refused = site.ask("POST", "/api/v1/jobs", new, bearer("read"))
            self.assertEqual(refused.status, 403)
            self.assertEqual(refused.json["error"]["details"][0]["reason"], "ROLE_MISSING")
            wrong = site.ask("POST", "/api/v1/jobs", dict(new, recipe="merge_method: no\n"),
                             bearer("submit"))
            self.assertEqual((wrong.status, wrong.json["error"]["status"]),
                             (400, "INVALID_ARGUMENT"))
            unknown = site.ask("POST", "/api/v1/jobs", dict(new, recipes=1), bearer("submit"))
            self.assertEqual(unknown.json["error"]["details"][0]["reason"], "JSON_INVALID")
            made = site.ask("POST", "/api/v1/jobs", new, bearer("submit"))
            self.assertEqual(made.status, 200, str(made))
            name = made.json["name"]
            self.assertEqual(made.json["owner"], "submit-user")
            again = site.ask("POST", "/api/v1/jobs", new, bearer("submit"))
            self.assertEqual(again.json["name"], name)

            # Another door of one room.
            got = site.ask("GET", "/api/v1/" + name, headers=bearer("read")).json
            self.assertEqual(got["recipe"], new["recipe"])
            listed = site.ask("GET", "/api/v1/jobs?page_size=1", headers=bearer("read")).json
            self.assertEqual([job["name"] for job in listed["jobs"]], [name])
            mine = ("--token-file", self.path("submit"))
            told = json.loads(cluster.client("get", name, "--json", *mine).out)
            self.assertEqual(told["name"], name)
            self.assertEqual(site.ask("GET", "/api/v1/jobs/none", headers=bearer("read")).status,
                             404)
            cancelled = site.ask("POST", "/api/v1/%s:cancel" % name, {}, bearer("submit"))
            self.assertEqual(cancelled.status, 200)
            harness.wait_for("the end", lambda: site.ask(
                "GET", "/api/v1/" + name, headers=bearer("read")).json["state"] == "CANCELLED")
            self.check_description(site, name)

    def check_description(self, site, name):
        """Real answers are what the description says."""
        api = site.get("/api/v1/openapi.json").json

        def check(value, schema, where):
            if "$ref" in schema:
                schema = api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
            if not schema:
                return  # what is the pages' own
            kind = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
                    "number": (int, float)}[schema["type"]]
            self.assertIsInstance(value, kind, where)
            if "enum" in schema:
                self.assertIn(value, schema["enum"], where)
            if schema.get("format") in ("int64", "uint64") and schema["type"] == "string":
                self.assertRegex(value, r"^-?[0-9]+$", where)
            for item in value if schema["type"] == "array" else ():
                check(item, schema["items"], where + "[]")
            if schema["type"] == "object":
                for key, inner in value.items():
                    more = schema.get("additionalProperties")
                    known = schema.get("properties", {}).get(key, more)
                    self.assertTrue(known, "%s.%s is not described" % (where, key))
                    check(inner, known, where + "." + key)
                for key in schema.get("required", ()):
                    self.assertIn(key, value, where)

        def answer_of(path, method="get", status="200"):
            return api["paths"][path][method]["responses"][status]["content"][
                "application/json"]["schema"]

        answers = 0
        for path, methods in api["paths"].items():
            if "get" not in methods or path == "/api/v1/events":
                continue
            required = [p for p in methods["get"].get("parameters", ())
                        if p["in"] == "query" and p.get("required")]
            if required or "application/json" not in methods["get"]["responses"]["200"]["content"]:
                continue
            answer = site.ask("GET", path.replace("{id}", name[5:]), headers=bearer("admin"))
            if answer.status == 200:
                answers += 1
                check(answer.json, answer_of(path), path)
            else:
                check(answer.json, answer_of(path, status="default"), path)
        self.assertGreaterEqual(answers, 3)

    def test_a_job_from_plan_to_report(self):
        with self.cluster(connect=("--token-file", self.path("work")), workers=1) as (_, site):
            def look(path):
                answer = site.ask("GET", "/api/v1/" + path, headers=bearer("read"))
                self.assertEqual(answer.status, 200, str(answer))
                return answer

            new = {"recipe": self.recipe(), "output_uri": self.path("out"),
                   "directories": [self.dir]}
            plan = site.ask("POST", "/api/v1/plan", new, bearer("submit"))
            self.assertEqual(plan.json["method"], "linear", str(plan))
            for model in plan.json["models"]:
                self.assertRegex(model["origin"], r"^stored as B?F\d+")
            self.assertFalse(os.path.exists(self.path("out")))
            made = site.ask("POST", "/api/v1/jobs", dict(new, labels={"run": "7"}),
                            bearer("submit"))
            self.assertEqual(made.status, 200, str(made))
            name = made.json["name"]
            raised = site.ask("POST", "/api/v1/%s:setPriority" % name, {"priority": 3},
                              bearer("submit"))
            self.assertIn(raised.status, (200, 400), str(raised))  # it may have ended
            harness.wait_for("the merge", lambda: look(name).json["state"] == "SUCCEEDED",
                             pause=0.1)
            found = look("jobs?filter=labels.run%20%3D%207%20AND%20state%20%3D%20SUCCEEDED")
            self.assertEqual([job["name"] for job in found.json["jobs"]], [name])
            self.assertEqual(look("jobs?filter=state%20%3D%20FAILED").json["jobs"], [])
            self.assertEqual(site.ask("GET", "/api/v1/jobs?filter=nothing%20%3D%201",
                                      headers=bearer("read")).status, 400)
            cluster = look("cluster").json
            self.assertEqual((cluster["workers_alive"], cluster["jobs"]["SUCCEEDED"]), (1, "1"))
            self.assertEqual(len(look("workers").json["workers"]), 1)
            activity = look(name + "/activity").json
            units = look(name).json["progress"]["units_done"]
            self.assertEqual(sum(int(r["units_total"]) for r in activity["rounds"]), int(units))

            # What was published, and nothing else.
            self.assertEqual(look(name + "/report").json, harness.report(self.path("out")))
            picture = look(name + "/picture").json
            self.assertTrue(picture["complete"])
            self.assertIn("page", picture)
            again = look(name + "/picture?since=" + urllib.parse.quote(picture["version"])).json
            self.assertNotIn("page", again)
            page = look(name + "/report.html")
            self.assertIn("attachment", page.headers["Content-Disposition"])
            self.assertIn("<!doctype html>", page.body)
            inline = look(name + "/report.html?inline=true")
            self.assertIn("sandbox allow-scripts", inline.headers["Content-Security-Policy"])
            self.assertEqual(inline.headers.get_all("Content-Security-Policy").__len__(), 1)
            look("compare?a=%s&b=%s" % (name, name))
            self.check_description(site, name)

            gone = site.ask("DELETE", "/api/v1/" + name, headers=bearer("submit"))
            self.assertEqual((gone.status, gone.json), (200, {}), str(gone))
            self.assertEqual(site.ask("GET", "/api/v1/" + name, headers=bearer("read")).status, 404)
            self.assertTrue(os.path.exists(self.path("out", "merge_report.json")))

    def test_a_worker_tells_health_and_metrics_alone(self):
        with self.cluster() as (cluster, _):
            worker = harness.start("worker", "--coordinator", cluster.address, "--http",
                                   "127.0.0.1:0", "--threads", "1", "--memory", "2GiB",
                                   "--token-file", self.path("work"), stderr=subprocess.DEVNULL)
            try:
                line = worker.stdout.readline().decode()
                site = Site(re.match(r"serving (\S+)$", line).group(1))
                self.assertEqual(site.get("/healthz").status, 200)
                self.assertIn("merganser_build_info", site.get("/metrics").body)
                for path in ("/", "/login", "/api/v1/jobs", "/api/v1/session"):
                    self.assertEqual(site.get(path).status, 404, path)
            finally:
                worker.terminate()
                worker.wait(30)
                worker.stdout.close()

    def test_events(self):
        with self.cluster() as (_, site):
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            stream = connection.getresponse()
            self.assertEqual(stream.headers["Content-Type"], "text/event-stream")

            def event():
                lines, deadline = {}, time.monotonic() + harness.LIMIT
                while True:
                    self.assertLess(time.monotonic(), deadline)
                    line = stream.readline().decode().rstrip("\n")
                    if not line and "event" in lines:
                        return lines
                    key, _, value = line.partition(": ")
                    if key:
                        lines[key] = value

            self.assertEqual(event()["event"], "hello")
            new = {"recipe": self.recipe(), "output_uri": self.path("out"),
                   "directories": [self.dir]}
            name = site.ask("POST", "/api/v1/jobs", new, bearer("submit")).json["name"]

            def jobs():
                while True:
                    told = event()
                    if told["event"] == "jobs":
                        return told, json.loads(told["data"])["jobs"]

            first, rows = jobs()
            self.assertEqual([row["name"] for row in rows], [name])
            connection.close()
            site.ask("POST", "/api/v1/%s:cancel" % name, {}, bearer("submit"))
            # What was missed is told, and nothing twice.
            time.sleep(1.5)
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs",
                               headers=dict(bearer("read"), **{"Last-Event-ID": first["id"]}))
            stream = connection.getresponse()
            states = []
            while "CANCELLED" not in states:
                told, rows = jobs()
                self.assertGreater(int(told["id"].split(".")[1]), int(first["id"].split(".")[1]))
                states += [row["state"] for row in rows]
            # A token that is gone ends the stream.
            self.write_tokens(("submit", "submit"))
            stream.fp.raw._sock.settimeout(10)
            while stream.readline():
                pass
            connection.close()
            self.assertEqual(site.ask("GET", "/api/v1/events?view=jobs",
                                      headers=bearer("read")).status, 401)


class StopTest(HttpCase):
    def test_it_stops_while_streams_are_open(self):
        with self.cluster() as (cluster, site):
            connection = site.connect()
            connection.request("GET", "/api/v1/events?view=jobs", headers=bearer("read"))
            stream = connection.getresponse()
            self.assertIn(b"id:", stream.readline())
            cluster.coordinator.send_signal(signal.SIGTERM)
            self.assertEqual(cluster.coordinator.wait(30), 0)
            while stream.readline():
                pass
            connection.close()


if __name__ == "__main__":
    harness.main()
