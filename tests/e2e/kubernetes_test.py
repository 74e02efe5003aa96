"""Kubernetes' manifests as far as they can be checked without a cluster: selectors, ports, volumes and secrets
fit together, and the program starts with the flags that they give it."""

import glob
import os
import re

import yaml

import harness
from deploy_files import DEPLOY, HTTP_PORT, PORT, Dockerfile, flags_of, text_of, version
from ports import free_port

KUBERNETES = os.path.join(DEPLOY, "kubernetes")
BASE = os.path.join(KUBERNETES, "base")


def manifests(folder):
    """(file, document) of every YAML document of a folder but kustomization.yaml."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "*.yaml"))):
        if os.path.basename(path) != "kustomization.yaml":
            found += [(os.path.basename(path), x) for x in yaml.safe_load_all(text_of(path))]
    return found


class KubernetesTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.documents = [d for _, d in manifests(BASE)]

    def one(self, kind, name):
        found = [d for d in self.documents
                 if d["kind"] == kind and d["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, (kind, name))
        return found[0]

    def pods(self):
        """Pod templates by the name of what makes them."""
        return {d["metadata"]["name"]: d["spec"]["template"] for d in self.documents
                if d["kind"] in ("StatefulSet", "Deployment")}

    def container(self, name):
        container, = self.pods()[name]["spec"]["containers"]
        return container

    def arguments(self, name):
        """{flag: value} of a container; a flag without a value is True."""
        found = {}
        for argument in self.container(name)["args"][1:]:
            flag, _, value = argument.partition("=")
            found[flag] = value or True
        return found

    def matched(self, labels):
        return [name for name, pod in self.pods().items()
                if labels.items() <= pod["metadata"]["labels"].items()]

    def test_kustomizations_name_every_file_and_only_those(self):
        for folder in ([BASE] + glob.glob(os.path.join(KUBERNETES, "overlays", "*"))
                       + glob.glob(os.path.join(KUBERNETES, "components", "*"))):
            kustomization = yaml.safe_load(text_of(folder, "kustomization.yaml"))
            for component in kustomization.get("components", []):
                self.assertTrue(os.path.isfile(os.path.join(folder, component,
                                                            "kustomization.yaml")))
            named = kustomization["resources"] + [p["path"] for p in
                                                  kustomization.get("patches", [])]
            files = [n for n in named if n.endswith(".yaml")]
            self.assertEqual(sorted(files + ["kustomization.yaml"]), sorted(os.listdir(folder)))
            for other in set(named) - set(files):
                self.assertTrue(os.path.samefile(os.path.join(folder, other), BASE))

    def test_kinds(self):
        self.assertEqual(sorted(d["kind"] for d in self.documents), sorted(
            ["Namespace", "PersistentVolumeClaim", "Service", "StatefulSet", "Deployment",
             "HorizontalPodAutoscaler", "PodDisruptionBudget"] + 5 * ["NetworkPolicy"]))
        names = [(d["kind"], d["metadata"]["name"]) for d in self.documents]
        self.assertEqual(len(set(names)), len(names))
        kustomization = yaml.safe_load(text_of(BASE, "kustomization.yaml"))
        self.assertEqual(kustomization["namespace"], self.one("Namespace", "merganser")[
            "metadata"]["name"])

    def test_selectors(self):
        self.assertEqual(set(self.pods()), {"merganser-coordinator", "merganser-worker"})
        for kind, name in (("StatefulSet", "merganser-coordinator"),
                           ("Deployment", "merganser-worker"),
                           ("PodDisruptionBudget", "merganser-worker")):
            self.assertEqual(self.matched(
                self.one(kind, name)["spec"]["selector"]["matchLabels"]), [name], kind)
        service = self.one("Service", "merganser-coordinator")
        self.assertEqual(self.matched(service["spec"]["selector"]), ["merganser-coordinator"])
        self.assertEqual(self.one("StatefulSet", "merganser-coordinator")["spec"]["serviceName"],
                         service["metadata"]["name"])
        scaler = self.one("HorizontalPodAutoscaler", "merganser-worker")["spec"]
        self.assertEqual(scaler["scaleTargetRef"],
                         {"apiVersion": "apps/v1", "kind": "Deployment",
                          "name": "merganser-worker"})
        # A number of replicas of its own would undo what the autoscaler chose.
        self.assertNotIn("replicas", self.one("Deployment", "merganser-worker")["spec"])
        self.assertLess(scaler["minReplicas"], scaler["maxReplicas"])

    def test_scaling_by_the_queue_and_by_processors(self):
        metric, = self.one("HorizontalPodAutoscaler", "merganser-worker")["spec"]["metrics"]
        self.assertEqual(metric["external"]["metric"]["name"], "merganser_units_pending")
        folder = os.path.join(KUBERNETES, "overlays", "cpu")
        target = yaml.safe_load(text_of(folder, "kustomization.yaml"))["patches"][0]["target"]
        self.assertEqual(target, {"kind": "HorizontalPodAutoscaler", "name": "merganser-worker"})
        patch, = yaml.safe_load(text_of(folder, "autoscaler.yaml"))
        self.assertEqual((patch["op"], patch["path"]), ("replace", "/spec/metrics"))
        self.assertEqual(patch["value"][0]["resource"]["name"], "cpu")
        # Utilisation is of what is requested.
        self.assertIn("cpu", self.container("merganser-worker")["resources"]["requests"])

    def test_the_monitoring_component(self):
        folder = os.path.join(KUBERNETES, "components", "monitoring")
        made = {(d["kind"], d["metadata"]["name"]): d["spec"] for _, d in manifests(folder)}
        service = self.one("Service", "merganser-coordinator")
        coordinator = made.pop(("ServiceMonitor", "merganser-coordinator"))
        self.assertLessEqual(coordinator["selector"]["matchLabels"].items(),
                             service["metadata"]["labels"].items())
        worker = made.pop(("PodMonitor", "merganser-worker"))
        self.assertEqual(self.matched(worker["selector"]["matchLabels"]), ["merganser-worker"])
        ports = ([p["name"] for p in service["spec"]["ports"]],
                 [p["name"] for p in self.container("merganser-worker")["ports"]])
        for (endpoint,), names in zip((coordinator["endpoints"], worker["podMetricsEndpoints"]),
                                      ports):
            self.assertIn(endpoint["port"], names)
            self.assertEqual(endpoint["path"], "/metrics")
        rules = made.pop(("PrometheusRule", "merganser"))
        self.assertEqual(rules, yaml.safe_load(text_of(DEPLOY, "prometheus", "rules.yml")))
        self.assertEqual(made, {})

    def test_scaling_by_an_adapter_and_by_keda(self):
        base = self.one("HorizontalPodAutoscaler", "merganser-worker")["spec"]
        metric = base["metrics"][0]["external"]
        rule, = yaml.safe_load(text_of(DEPLOY, "prometheus", "adapter.yml"))["rules"]["external"]
        self.assertEqual(rule["name"]["as"], metric["metric"]["name"])
        series, condition = re.fullmatch(r"(\w+)\{(.*)\}", rule["seriesQuery"]).groups()
        asked = rule["metricsQuery"].replace("<<.Series>>", series)
        self.assertEqual(asked, "sum(%s{%s})" % (series, condition))
        self.assertIn("| `%s` |" % series, text_of(DEPLOY, "prometheus", "METRICS.md"))
        made = {d["kind"]: d for _, d in manifests(os.path.join(KUBERNETES, "components", "keda"))}
        removed = made.pop("HorizontalPodAutoscaler")
        self.assertEqual((removed["metadata"]["name"], removed["$patch"]),
                         ("merganser-worker", "delete"))
        scaler = made.pop("ScaledObject")["spec"]
        self.assertEqual(made, {})
        # The same in every respect.
        self.assertEqual(scaler["scaleTargetRef"]["name"], base["scaleTargetRef"]["name"])
        self.assertEqual((scaler["minReplicaCount"], scaler["maxReplicaCount"]),
                         (base["minReplicas"], base["maxReplicas"]))
        self.assertEqual(scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
                         base["behavior"])
        trigger, = scaler["triggers"]
        self.assertEqual(trigger["metadata"]["query"], asked)
        self.assertEqual(trigger["metadata"]["threshold"], metric["target"]["averageValue"])

    def test_flags_are_the_program_s(self):
        for name in self.pods():
            command = self.container(name)["args"][0]
            self.assertEqual(name, "merganser-" + command)
            known = flags_of(command)
            unknown = set(self.arguments(name)) - known
            self.assertEqual(unknown, set(), "of `merganser %s`, which knows %s"
                             % (command, sorted(known)))

    def test_ports(self):
        container = self.container("merganser-coordinator")
        port, pages = container["ports"]
        self.assertEqual(port, {"name": "grpc", "containerPort": PORT})
        self.assertEqual(pages, {"name": "http", "containerPort": HTTP_PORT})
        self.assertEqual(self.container("merganser-worker")["ports"], [pages])
        self.assertEqual(self.arguments("merganser-coordinator")["--listen"], "0.0.0.0:%d" % PORT)
        for name in self.pods():
            self.assertEqual(self.arguments(name)["--http"], "0.0.0.0:%d" % HTTP_PORT)
        service = self.one("Service", "merganser-coordinator")
        self.assertEqual(service["spec"]["ports"],
                         [{"name": p["name"], "port": p["containerPort"], "targetPort": p["name"]}
                          for p in (port, pages)])
        self.assertEqual(self.arguments("merganser-coordinator")["--http-name"],
                         service["metadata"]["name"])
        self.assertEqual(self.arguments("merganser-worker")["--coordinator"],
                         "%s:%d" % (service["metadata"]["name"], PORT))

    def test_probes(self):
        container = self.container("merganser-coordinator")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            command = container[probe]["exec"]["command"]
            self.assertEqual(command, ["merganser", "health", "--coordinator=127.0.0.1:%d" % PORT])
            self.assertGreaterEqual(container[probe]["timeoutSeconds"], 5)
        self.assertIn("--coordinator", flags_of("health"))

    def test_network(self):
        rules = {d["metadata"]["name"]: d["spec"] for d in self.documents
                 if d["kind"] == "NetworkPolicy"}
        deny = rules.pop("merganser-default-deny")
        self.assertEqual(deny, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        entry = rules.pop("merganser-coordinator")
        self.assertEqual(self.matched(entry["podSelector"]["matchLabels"]),
                         ["merganser-coordinator"])
        rule, = entry["ingress"]
        self.assertEqual(rule["ports"], [{"protocol": "TCP", "port": p}
                                         for p in (PORT, HTTP_PORT)])
        metrics = rules.pop("merganser-metrics")
        self.assertEqual(self.matched(metrics["podSelector"]["matchLabels"]), sorted(self.pods()))
        scrape, = metrics["ingress"]
        self.assertEqual(scrape["ports"], [{"protocol": "TCP", "port": HTTP_PORT}])
        self.assertEqual(self.matched(rule["from"][0]["podSelector"]["matchLabels"]),
                         ["merganser-worker"])
        clients = [next(iter(x.values()))["matchLabels"] for x in rule["from"][1:]]
        self.assertEqual(clients, 2 * [{"merganser/client": "true"}])
        way, = rules.pop("merganser-to-coordinator")["egress"]
        self.assertEqual(self.matched(way["to"][0]["podSelector"]["matchLabels"]),
                         ["merganser-coordinator"])
        self.assertEqual(way["ports"], [{"protocol": "TCP", "port": PORT}])
        names, = rules.pop("merganser-names")["egress"]
        self.assertEqual({p["port"] for p in names["ports"]}, {53})
        self.assertEqual(rules, {})

    def test_the_public_overlay(self):
        folder = os.path.join(KUBERNETES, "overlays", "public")
        patches = {(d["kind"], d["metadata"]["name"]): d["spec"] for _, d in manifests(folder)}
        # Every one changes something that is there.
        for kind, name in patches:
            self.one(kind, name)
        pods = {name: patches[kind, name]["template"]["spec"] for kind, name in patches
                if kind in ("StatefulSet", "Deployment")}
        self.assertEqual(set(pods), set(self.pods()))
        secrets = set()
        for name, pod in pods.items():
            container = pod["containers"][0]
            given = dict(a.partition("=")[::2] for a in container["args"][1:])
            self.assertLessEqual(set(given), flags_of(container["args"][0]))
            self.assertNotIn("--plaintext-beyond-loopback", given)
            # All that the base says and this does not change, it says too.
            changed = {"--plaintext-beyond-loopback", "--listen"}
            if name == "merganser-coordinator":  # with TLS any name will do
                changed |= {"--http", "--http-name"}
            for flag, value in self.arguments(name).items():
                if flag not in changed:
                    self.assertEqual(given.get(flag, "") or True, value, flag)
            mount, *more = container["volumeMounts"]
            volume, = [v for v in pod["volumes"] if v["name"] == mount["name"]]
            self.assertTrue(given["--tls-cert" if more else "--tls-ca"].startswith(
                mount["mountPath"] + "/"))
            keys = {os.path.basename(v) for f, v in given.items() if f.startswith("--tls-")}
            secrets.add((volume["secret"]["secretName"], *sorted(keys)))
            if "items" in volume["secret"]:
                self.assertEqual({i["key"] for i in volume["secret"]["items"]}, keys)
        self.assertEqual(secrets, {("merganser-tls", "tls.crt", "tls.key"),
                                   ("merganser-tls", "ca.crt")})
        secret = re.search(r"create secret generic merganser-tls (.*?)`", text_of(
            DEPLOY, "README.md"), re.DOTALL).group(1)
        self.assertEqual(set(re.findall(r"--from-file=([\w.]+)=", secret)),
                         {"tls.crt", "tls.key", "ca.crt"})
        # The proxy has the service's ports, and passes on to the coordinator's.
        coordinator, proxy = pods["merganser-coordinator"]["containers"]
        service = self.one("Service", "merganser-coordinator")["spec"]["ports"]
        self.assertEqual(proxy["ports"], [{"name": port["targetPort"], "containerPort": port["port"]}
                                          for port in service])
        self.assertNotIn("ports", patches["Service", "merganser-coordinator"])
        self.assertEqual([(port["containerPort"], port["$patch"]) for port in coordinator["ports"]],
                         [(port["port"], "delete") for port in service])
        opened, = patches["NetworkPolicy", "merganser-coordinator"]["ingress"]
        self.assertEqual([port["port"] for port in opened["ports"]],
                         [port["port"] for port in service])
        configuration = text_of(DEPLOY, "proxy", "haproxy.cfg")
        for port, flag, server in ((PORT, "--listen", "coordinator"),
                                   (HTTP_PORT, "--http", "coordinator-http")):
            self.assertIn("bind :%d\n" % port, configuration)
            self.assertIn("%s=%s" % (flag, re.search(
                r"^ *server %s (\S+) send-proxy-v2$" % server, configuration, re.M).group(1)),
                coordinator["args"])
        # What everybody can reach tells its metrics to whoever has a token alone.
        mount = coordinator["volumeMounts"][1]
        volume, = [v for v in pods["merganser-coordinator"]["volumes"]
                   if v["name"] == mount["name"]]
        self.assertIn("--metrics-token=%s/token" % mount["mountPath"], coordinator["args"])
        self.assertIn("create secret generic %s --from-file=token=" % volume["secret"]["secretName"],
                      text_of(DEPLOY, "README.md"))
        self.assertEqual(proxy["securityContext"],
                         self.container("merganser-coordinator")["securityContext"])
        component = os.path.join(folder, yaml.safe_load(
            text_of(folder, "kustomization.yaml"))["components"][0])
        made, = yaml.safe_load(text_of(component, "kustomization.yaml"))["configMapGenerator"]
        self.assertEqual(proxy["command"][-1], os.path.join(
            proxy["volumeMounts"][0]["mountPath"], made["files"][0]))
        self.assertIn({"name": proxy["volumeMounts"][0]["name"],
                       "configMap": {"name": made["name"]}},
                      pods["merganser-coordinator"]["volumes"])

    def test_the_buckets_overlay(self):
        folder = os.path.join(KUBERNETES, "overlays", "buckets")
        made = {(d["kind"], d["metadata"]["name"]): d for _, d in manifests(folder)}
        account = made.pop(("ServiceAccount", "merganser"))
        policy = made.pop(("NetworkPolicy", "merganser-buckets"))
        self.assertEqual(self.matched(policy["spec"]["podSelector"]["matchLabels"]),
                         sorted(self.pods()))
        # The rest changes what is there: the volume goes, and nothing says where it was.
        claim = made.pop(("PersistentVolumeClaim", "merganser-models"))
        self.assertEqual(claim["$patch"], "delete")
        for (kind, name), document in made.items():
            self.one(kind, name)
            pod = document["spec"]["template"]["spec"]
            self.assertEqual(pod["serviceAccountName"], account["metadata"]["name"])
            container, = pod["containers"]
            given = dict(a.partition("=")[::2] for a in container["args"][1:])
            roots = [given.pop("--allow-root")]
            base = {f: "" if v is True else v for f, v in self.arguments(name).items()}
            removed = [base.pop("--allow-root")]
            self.assertEqual(given, base)
            self.assertEqual(roots, ["s3://BUCKET/PREFIX"])
            self.assertEqual([m["mountPath"] for m in container["volumeMounts"]
                              if m["$patch"] == "delete"], removed)
            self.assertEqual(pod["volumes"], [{"name": "models",
                                               "$patch": "delete"}])
        self.assertEqual(set(name for _, name in made), set(self.pods()))

    def test_contained(self):
        namespace = self.one("Namespace", "merganser")
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
                         "restricted")
        uid = int(Dockerfile().all("run", "USER")[0].split(":")[0])
        for name, pod in self.pods().items():
            context = pod["spec"]["securityContext"]
            self.assertTrue(context["runAsNonRoot"])
            self.assertEqual({context[k] for k in ("runAsUser", "runAsGroup", "fsGroup")}, {uid})
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertFalse(pod["spec"]["automountServiceAccountToken"])
            self.assertEqual(self.container(name)["securityContext"], {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]}})

    def test_volumes(self):
        claims = {d["metadata"]["name"] for d in self.documents
                  if d["kind"] == "PersistentVolumeClaim"}
        state = self.one("StatefulSet", "merganser-coordinator")["spec"]["volumeClaimTemplates"]
        readme = text_of(DEPLOY, "README.md")
        for name, pod in self.pods().items():
            volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
            if name == "merganser-coordinator":
                volumes.update({v["metadata"]["name"]: v for v in state})
            mounts = {m["mountPath"]: volumes[m["name"]]
                      for m in self.container(name)["volumeMounts"]}
            self.assertEqual(len(mounts), len(volumes))
            arguments = self.arguments(name)
            models = mounts[arguments["--allow-root"]]
            self.assertIn(models["persistentVolumeClaim"]["claimName"], claims)
            folder, key = os.path.split(arguments["--token-file"])
            secret = mounts[folder]["secret"]
            self.assertEqual(secret["defaultMode"], 0o440)
            # The page says how to make it, with this key.
            self.assertIn("create secret generic %s --from-file=%s=" % (
                secret["secretName"], key), readme)
            if "--state" in arguments:
                claim = mounts[os.path.dirname(arguments["--state"])]
                self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOnce"])
            self.assertIn("emptyDir", mounts["/tmp"])
        self.assertEqual(self.one("PersistentVolumeClaim", "merganser-models")["spec"][
            "accessModes"], ["ReadWriteMany"])

    def test_resources(self):
        arguments = self.arguments("merganser-worker")
        resources = self.container("merganser-worker")["resources"]
        self.assertEqual(resources["requests"]["cpu"], arguments["--threads"])
        promised = int(re.fullmatch(r"(\d+)GiB", arguments["--memory"]).group(1))
        limit = int(re.fullmatch(r"(\d+)Gi", resources["limits"]["memory"]).group(1))
        self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
        self.assertTrue(promised * 1.1 <= limit <= promised * 1.5, (promised, limit))
        # Longer than the 30 s that a worker waits to hand over its last results.
        self.assertGreaterEqual(
            self.pods()["merganser-worker"]["spec"]["terminationGracePeriodSeconds"], 120)

    def test_image(self):
        images = yaml.safe_load(text_of(BASE, "kustomization.yaml"))["images"]
        self.assertEqual(images, [{"name": "merganser", "newTag": version()}])
        for name in self.pods():
            self.assertEqual(self.container(name)["image"], "merganser")

    def test_they_start_with_these_arguments_and_the_probe_finds_them(self):
        folder = self.path("mounts")
        tokens = self.path("mounts", "etc", "merganser")
        os.makedirs(tokens)
        os.makedirs(self.path("mounts", "models"))
        os.makedirs(self.path("mounts", "var", "lib", "merganser"))
        for name, line in (("tokens", "0123456789abcdef0123456789abcdef work\n"),
                           ("token", "0123456789abcdef0123456789abcdef\n")):
            with open(os.path.join(tokens, name), "w", encoding="utf-8") as f:
                os.fchmod(f.fileno(), 0o400)
                f.write(line)
        port = free_port()

        def here(argument):
            argument = re.sub(r"=(?=/)", "=" + folder, argument)
            argument = argument.replace("merganser-coordinator:", "127.0.0.1:")
            argument = argument.replace("--memory=16GiB", "--memory=2GiB")
            # Both are on one machine here.
            argument = re.sub(r"^--http=.*", "--http=127.0.0.1:0", argument)
            return re.sub(r"\b%d$" % PORT, str(port), argument).replace("0.0.0.0:", "127.0.0.1:")

        log = self.path("worker.log")
        with open(log, "wb") as err, harness.running(
                *map(here, self.container("merganser-coordinator")["args"])) as coordinator:
            self.assertEqual(coordinator.stdout.readline().decode(),
                             "listening on 127.0.0.1:%d\n" % port)
            probe = self.container("merganser-coordinator")["readinessProbe"]["exec"]["command"]
            self.ok(*map(here, probe[1:]))
            with harness.running(*map(here, self.container("merganser-worker")["args"]),
                                 stderr=err) as worker:
                harness.wait_for("the worker to connect", lambda: ": connected" in text_of(log)
                                 or worker.poll() is not None)
                self.assertIsNone(worker.poll(), text_of(log))


if __name__ == "__main__":
    harness.main()
