"""Who may use a coordinator, over which connections, and where jobs may read and write: what
is refused, and what each is told."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess

import certificates
import harness
from ports import free_port

ROLES = ("read", "submit", "work", "admin")


def token(role, number=1):
    return "the-%s-token-number-%s" % (role, number)


def write_private(path, text):
    """Replaces the file at once, as an operator should."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(text)
    os.rename(path + ".new", path)
    return path


class SecurityCase(harness.Case):
    def tokens(self, number=1):
        """The coordinator's file, and one file a role for clients."""
        for role in ROLES:
            write_private(self.path(role), token(role, number) + "\n")
        return write_private(self.path("tokens"), "# everybody's\n" + "".join(
            "%s %s\n" % (token(role, number), role) for role in ROLES))

    def small(self, experts=2):
        models = harness.data("tiny", seed=10 + experts, experts=experts)
        return harness.recipe(self.path("r.yaml"), "linear", None, models[1:],
                              per_model=[{"weight": 1}] * experts)

    def assertNoToken(self, text):
        self.assertNotRegex(text, r"-token-number-")

    def ask(self, address, *args, role=None, **kw):
        if role:
            args += ("--token-file", self.path(role))
        result = harness.run(*args, "--coordinator", address, **kw)
        self.assertNoToken(str(result.out) + str(result.err))
        return result

    def refused_worker(self, address, *args, **kw):
        return harness.run("worker", "--threads", "1", "--memory", "2GiB", "--coordinator",
                           address, *args, timeout=60 if not harness.SLOW else 240, **kw)


class TokenTest(SecurityCase):
    def test_roles(self):
        file = self.small()
        with harness.Cluster(0, self.path("state"),
                             coordinator_args=("--token-file", self.tokens())) as cluster:
            at = cluster.address

            def submit(**kw):
                return self.ask(at, "submit", file, self.path("out"), **kw)

            self.assertOneError(submit(), 2, "coordinator %s: found no token" % at,
                                "--token-file", "MERGANSER_TOKEN")
            stranger = {"MERGANSER_TOKEN": "a-token-that-is-none-of-these"}
            self.assertOneError(submit(env=stranger), 2, "none of this coordinator's",
                                "the token came from MERGANSER_TOKEN")
            for role in ("read", "work"):
                self.assertOneError(submit(role=role), 2, "CreateJob", "the role %s," % role,
                                    "expected one with submit")
            self.assertOneError(self.ask(at, "list", role="work"), 2, "ListJobs",
                                "expected one with read")
            self.assertEqual(self.ask(at, "list", "--json", role="read").code, 0)

            job = submit(role="submit").out.strip()
            self.assertRegex(job, r"^jobs/")
            self.assertOneError(self.ask(at, "cancel", job, role="read"), 2, "CancelJob",
                                "expected one with submit")
            self.assertEqual(self.ask(at, "get", job, role="read").code, 0)
            self.assertEqual(self.ask(at, "cancel", job, env={
                "MERGANSER_TOKEN": token("admin")}).code, 0)
            # Probes have no token.
            self.assertEqual(self.ask(at, "health").code, 0)
            self.assertNoToken(cluster.log())

    def test_others_jobs_are_cancelled_by_admins_alone(self):
        file = self.small()
        people = {"alice": "submit", "bob": "submit", "olga": "admin", "": "submit"}
        for name, role in people.items():
            write_private(self.path("of-" + name), token(role, name) + "\n")
        unnamed = hashlib.sha256(token("submit", "").encode()).hexdigest()[:8]

        def tokens(others=""):
            return write_private(self.path("tokens"), "".join(
                "%s %s %s\n" % (token(role, name), role, name)
                for name, role in people.items()) + others)

        with harness.Cluster(0, self.path("state"), coordinator_args=(
                "--token-file", tokens())) as cluster:
            at = cluster.address

            def ask(name, *args):
                return self.ask(at, *args, "--token-file", self.path("of-" + name))

            def submit(name, output):
                return ask(name, "submit", file, self.path(output)).out.strip()

            def cancel(name, job):
                return ask(name, "cancel", job)

            job, other = submit("alice", "out"), submit("", "out2")
            for who in people:
                self.assertEqual(json.loads(ask(who, "get", job, "--json").out)["owner"], "alice")
            self.assertRegex(ask("bob", "get", job).out, r"(?m)^ *owner +alice$")
            rows = ask("bob", "list").out.splitlines()
            self.assertRegex(rows[0], r"^job +name +state +owner +age +output$")
            self.assertEqual([row.split()[3] for row in rows[1:]], [unnamed, "alice"])
            self.assertOneError(cancel("bob", job), 2, job, "a job of alice", "the role admin",
                                "this token is bob's")
            self.assertOneError(cancel("alice", other), 2, other, "a job of " + unnamed)
            self.assertEqual(json.loads(ask("bob", "get", job, "--json").out)["cancelling"], False)
            # Whose it is stays on record; a token of hers that came later will do.
            cluster.kill_coordinator()
            write_private(self.path("of-alice"), token("submit", 7) + "\n")
            tokens("%s submit alice\n" % token("submit", 7))
            cluster.start_coordinator(listen=at)
            self.assertOneError(cancel("bob", job), 2, "a job of alice")
            self.assertEqual(cancel("alice", job).code, 0)
            self.assertEqual(cancel("olga", other).code, 0)
            harness.wait_for("the end", lambda: "cancelled by olga" in cluster.log())
            # Who did it is on record, also of one's own.
            for who in ("alice", "olga"):
                self.assertRegex(cluster.log(), r"owner=\S+ state=\w+ cancelled by " + who)
            self.assertNoToken(cluster.log())

    def test_a_worker_without_the_right_token_is_refused(self):
        file = self.small()
        with harness.Cluster(0, self.path("state"),
                             coordinator_args=("--token-file", self.tokens())) as cluster:
            at = cluster.address
            job = self.ask(at, "submit", file, self.path("out"), role="admin").out.strip()
            self.assertOneError(self.refused_worker(at), 2, "coordinator %s: found no token" % at)
            self.assertOneError(
                self.refused_worker(at, env={"MERGANSER_TOKEN": "a-token-that-is-none-of-these"}),
                2, "none of this coordinator's")
            self.assertOneError(self.refused_worker(at, "--token-file", self.path("submit")), 2,
                                "Sync", "the role submit", "expected one with work")
            cluster._connect_args = ("--token-file", self.path("admin"))
            self.assertEqual(cluster.job(job)["progress"].get("workers", 0), 0)
            cluster._connect_args = ("--token-file", self.path("work"))
            cluster.add_worker()
            cluster._connect_args = ("--token-file", self.path("read"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")
            self.assertNoToken(cluster.log())

    def test_tokens_are_replaced_while_the_coordinator_runs(self):
        file = self.small()
        connect = ("--token-file", self.path("admin"))
        tokens = self.tokens()
        with harness.Cluster(1, self.path("state"), coordinator_args=("--token-file", tokens),
                             connect_args=connect) as cluster:
            harness.wait_for("the worker", lambda: "connected" in cluster.log())
            old = {"MERGANSER_TOKEN": token("admin")}
            new = {"MERGANSER_TOKEN": token("admin", 2)}
            self.assertEqual(self.ask(cluster.address, "list", env=old).code, 0)
            self.assertEqual(self.ask(cluster.address, "list", env=new).code, 2)
            self.tokens(number=2)
            self.assertEqual(self.ask(cluster.address, "list", env=new).code, 0)
            self.assertOneError(self.ask(cluster.address, "list", env=old), 2,
                                "none of this coordinator's")
            # The worker's file was replaced too, and it goes on.
            job = cluster.submit(file, self.path("out"))
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED")
            # A file that cannot be used changes nothing.
            os.chmod(tokens, 0o644)

            def told():
                self.assertEqual(self.ask(cluster.address, "list", env=new).code, 0)
                return "chmod 600 " + tokens in cluster.log()
            harness.wait_for("the coordinator to say so", told)
            self.assertNoToken(cluster.log())

    def test_a_token_file_that_others_can_read_is_refused(self):
        tokens = self.tokens()
        os.chmod(tokens, 0o640)
        result = harness.run("coordinator", "--listen", "127.0.0.1:0", "--token-file", tokens,
                             timeout=60)
        self.assertOneError(result, 2, tokens, "0640", "chmod 600 " + tokens)
        self.assertOneError(harness.run("list", "--coordinator", "127.0.0.1:1", "--token-file",
                                        tokens), 2, "chmod 600 " + tokens)

    def test_without_a_file_this_users_clients_find_the_token(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "merganser")
            self.assertEqual(os.listdir(folder), [cluster.address + ".token"])
            self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
            file = os.path.join(folder, cluster.address + ".token")
            self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
            self.assertEqual(cluster.client("list").code, 0)
            port = cluster.address.rsplit(":", 1)[1]
            # By another name; a bare file system knows none (no /etc/hosts).
            if harness.resolves("localhost"):
                result = self.ask("localhost:" + port, "list")
                self.assertEqual(result.code, 0, str(result))
            elsewhere = {"XDG_RUNTIME_DIR": self.path("elsewhere")}
            self.assertOneError(self.ask(cluster.address, "list", env=elsewhere), 2,
                                "found no token")
            with open(file, encoding="utf-8") as f:
                self.assertNotIn(f.read().split()[0], cluster.log())
        self.assertEqual(os.listdir(folder), [])

    def test_a_worker_takes_the_token_of_a_coordinator_that_was_started_anew(self):
        listen = "127.0.0.1:%d" % free_port()
        file = self.small()
        with harness.Cluster(1, self.path("state"), listen=listen) as cluster:
            harness.wait_for("the worker", lambda: "connected" in cluster.log())
            first = cluster.coordinator
            first.send_signal(signal.SIGKILL)
            first.wait()
            with harness.Cluster(0, self.path("state"), listen=listen) as again:
                job = again.submit(file, self.path("out"))
                self.assertEqual(harness.state_of(again.finish(job)), "SUCCEEDED")
            # "started anew" where epochs outlive a coordinator.
            self.assertRegex(cluster.log(), "started anew|connected again")
            self.assertIsNone(cluster.workers[0].poll())


class RootsTest(SecurityCase):
    def setUp(self):
        super().setUp()
        self.root, self.recipes = self.path("data"), 0
        models = harness.data("tiny", seed=12, experts=2)
        self.models = [harness.link_folder(m, os.path.join(self.root, "m%d" % i))
                       for i, m in enumerate(models)]
        self.outside = harness.link_folder(models[1], self.path("database"))

    def recipe_of(self, *models):
        self.recipes += 1
        return harness.recipe(self.path("r%d.yaml" % self.recipes), "linear", None, models,
                              per_model=[{"weight": 1}] * len(models))

    def test_what_leads_out_of_the_roots_is_refused(self):
        out = os.path.join(self.root, "out")
        good = self.recipe_of(*self.models[:2])
        wanted = harness.hash_output(self.merge(good, self.path("embedded")))
        with harness.Cluster(1, self.path("state"),
                             coordinator_args=("--allow-root", self.root)) as cluster:
            link = os.path.join(self.root, "link")
            os.symlink(self.path("database"), link)

            def refused(recipe_file, output, *texts):
                self.assertOneError(cluster.client("submit", recipe_file, output), 2,
                                    "outside of the storage roots that the coordinator allows",
                                    self.root, "--allow-root", *texts)

            refused(good, self.path("database/out"), "output_uri: " + self.path("database/out"))
            refused(good, link + "/out", "output_uri: " + link + "/out")
            refused(self.recipe_of(self.models[1], self.outside), out, "model " + self.outside)
            refused(self.recipe_of(self.models[1], link), out, "model " + link)
            refused(self.recipe_of(self.models[1], self.root + "/../database"), out, "model ")

            # A weights file that is a link is seen when it is read.
            leaking = harness.link_folder(self.models[1], os.path.join(self.root, "leaking"))
            weights = harness.weight_files(leaking)[0]
            os.remove(os.path.join(leaking, weights))
            os.symlink(os.path.join(self.outside, weights), os.path.join(leaking, weights))
            result = cluster.client("submit", self.recipe_of(self.models[1], leaking), out,
                                    "--watch")
            self.assertOneError(result, 2, os.path.join(leaking, weights),
                                "outside of the storage roots that the coordinator allows")
            self.assertEqual(harness.weight_files(out), [])

            # A Hugging Face cache below a root: links that stay.
            snapshot = os.path.join(self.root, "hub", "models--o--n", "snapshots", "abc")
            blobs = os.path.join(self.root, "hub", "models--o--n", "blobs")
            os.makedirs(snapshot)
            shutil.copytree(self.models[1], blobs)
            for name in os.listdir(blobs):
                os.symlink("../../blobs/" + name, os.path.join(snapshot, name))
            job = cluster.submit(self.recipe_of(self.models[0], snapshot), out)
            self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())
            self.assertEqual(harness.hash_output(out), wanted)

    def test_a_worker_has_roots_of_its_own(self):
        narrow = os.path.join(self.root, "m0")
        with harness.Cluster(1, self.path("state"), coordinator_args=("--allow-root", self.root),
                             worker_args=("--threads", "1", "--memory", "2GiB", "--allow-root",
                                          narrow)) as cluster:
            job = cluster.submit(self.recipe_of(*self.models), os.path.join(self.root, "out"))
            last = cluster.finish(job)
            self.assertEqual(harness.state_of(last), "FAILED")
            self.assertIn("%s: found a place outside of the storage roots that the worker allows (%s)" % (
                              self.models[1], narrow),
                          str(last["error"]))
        self.assertEqual(harness.weight_files(os.path.join(self.root, "out")), [])

    def test_an_oversized_recipe_is_refused(self):
        file = self.path("large.yaml")
        with open(self.recipe_of(*self.models), encoding="utf-8") as f:
            text = f.read()
        with open(file, "w", encoding="utf-8") as f:
            f.write(text + "\n" + "#" * (1 << 20))
        with harness.Cluster(0, self.path("state")) as cluster:
            self.assertOneError(cluster.client("submit", file, self.path("out")), 2, file,
                                "found more than 1048576 bytes")
            self.assertEqual(cluster.client("list", "--json").code, 0)


class BeyondLoopbackTest(SecurityCase):
    def test_a_coordinator_needs_tls_and_roots(self):
        def start(*args):
            return harness.run("coordinator", "--listen", "0.0.0.0:0", *args, timeout=60)

        self.assertOneError(start(), 2, "--listen 0.0.0.0:0", "--tls-cert",
                            "--plaintext-beyond-loopback")
        self.assertOneError(start("--allow-root", self.dir), 2, "--tls-cert")
        self.assertOneError(start("--plaintext-beyond-loopback"), 2, "--allow-root")
        self.assertOneError(start("--allow-root", self.path("none"),
                                  "--plaintext-beyond-loopback"), 2, "--allow-root",
                            self.path("none"), "expected one that exists")
        with harness.Cluster(0, self.path("state"), listen="0.0.0.0:0", coordinator_args=(
                "--plaintext-beyond-loopback", "--allow-root", self.dir)) as cluster:
            port = cluster.address.rsplit(":", 1)[1]
            # Clients on this machine find its token.
            self.assertEqual(self.ask("127.0.0.1:" + port, "list").code, 0)

    def test_a_client_does_not_send_its_token_in_plain_text(self):
        mine = {"MERGANSER_TOKEN": token("admin")}
        for command in (("list",), ("worker", "--threads", "1", "--memory", "2GiB")):
            self.assertOneError(self.ask("192.0.2.1:7470", *command, env=mine), 2, "192.0.2.1",
                                "--tls-ca", "--plaintext-beyond-loopback")


class TlsTest(SecurityCase):
    def make(self, name, names=None, ca=None, file=None):
        return certificates.make(self.dir, name, names, ca, file)[0]

    def setUp(self):
        super().setUp()
        self.ca, self.other = self.make("ca"), self.make("other")
        self.make("server", "DNS:localhost,IP:127.0.0.1", "ca")
        self.make("client", "DNS:client", "ca")
        self.make("stranger", "DNS:client", "other")

    def identity(self, name):
        return ("--tls-cert", self.path(name + ".pem"), "--tls-key", self.path(name + ".key"))

    def one_job(self, cluster):
        job = cluster.submit(self.small(), self.path("out"))
        self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())

    def test_tls(self):
        with harness.Cluster(1, self.path("state"), coordinator_args=self.identity("server"),
                             connect_args=("--tls-ca", self.ca)) as cluster:
            self.one_job(cluster)
            at = cluster.address
            self.assertEqual(cluster.client("health").code, 0)
            for command in ("list", "health"):
                self.assertOneError(self.ask(at, command, "--tls-ca", self.other), 2,
                                    "not signed by the CA in --tls-ca " + self.other,
                                    "give the CA that signed the coordinator's --tls-cert")
            self.assertOneError(self.refused_worker(at, "--tls-ca", self.other), 2,
                                "not signed by the CA in --tls-ca " + self.other)
            self.assertOneError(self.ask(at, "list"), 4, "without --tls-ca")
            self.assertOneError(self.ask(at, "list", "--tls-ca", self.path("ca.key")), 2,
                                "no certificate")

    def test_a_name_that_is_not_in_the_certificate_is_refused(self):
        self.make("elsewhere", "DNS:elsewhere.example.org", "ca")
        with harness.Cluster(0, self.path("state"),
                             coordinator_args=self.identity("elsewhere")) as cluster:
            self.assertOneError(self.ask(cluster.address, "list", "--tls-ca", self.ca), 2,
                                "its certificate is for other names", "subjectAltName")

    def test_tls_to_a_coordinator_without_it(self):
        with harness.Cluster(0, self.path("state")) as cluster:
            self.assertOneError(self.ask(cluster.address, "list", "--tls-ca", self.ca), 2,
                                "it speaks no TLS")

    def test_mutual_tls(self):
        mine = ("--tls-ca", self.ca) + self.identity("client")
        with harness.Cluster(1, self.path("state"), connect_args=mine, coordinator_args=(
                self.identity("server") + ("--tls-client-ca", self.ca))) as cluster:
            self.one_job(cluster)
            at = cluster.address
            for command in ("list", "health"):
                self.assertOneError(self.ask(at, command, "--tls-ca", self.ca), 4,
                                    "--tls-client-ca", "--tls-cert")
                self.assertOneError(
                    self.ask(at, command, "--tls-ca", self.ca, *self.identity("stranger")), 4,
                    "--tls-client-ca", "--tls-cert")

    def test_certificates_are_replaced_while_the_coordinator_runs(self):
        with harness.Cluster(0, self.path("state"), coordinator_args=self.identity("server"),
                             connect_args=("--tls-ca", self.ca)) as cluster:
            self.assertEqual(cluster.client("list").code, 0)
            self.make("next", "IP:127.0.0.1", "other", file="server")
            harness.wait_for("the new certificate", lambda: self.ask(
                cluster.address, "list", "--tls-ca", self.other).code == 0, pause=0.2)

    def test_the_commands_of_the_operators_page(self):
        with open(os.path.join(harness.SOURCE, "deploy", "README.md"), encoding="utf-8") as f:
            page = f.read().replace("\\\n", "")
        commands = re.findall(r"^    ((?:\(umask 077|openssl req).*)$", page, re.MULTILINE)
        self.assertEqual(len(commands), 3, commands)
        folder = self.path("page")
        os.mkdir(folder)
        for command in commands:
            self.assertIn("IP:10.0.0.5", page)
            subprocess.run(["bash", "-euc", command.replace("IP:10.0.0.5", "IP:127.0.0.1")],
                           cwd=folder, check=True, capture_output=True)

        def made(name):
            return os.path.join(folder, name)

        with open(made("tokens"), encoding="utf-8") as f:
            line = next(x for x in f if x.endswith(" submit\n"))
        mine = write_private(self.path("mine"), line)
        with harness.Cluster(0, self.path("state"), connect_args=(
                "--tls-ca", made("ca.pem"), "--token-file", mine), coordinator_args=(
                    "--tls-cert", made("server.pem"), "--tls-key", made("server.key"),
                    "--token-file", made("tokens"), "--allow-root", self.dir)) as cluster:
            self.assertEqual(cluster.client("list").code, 0, cluster.log())

    def test_keys_that_do_not_fit_are_refused(self):
        result = harness.run("coordinator", "--listen", "127.0.0.1:0", "--tls-cert",
                             self.path("server.pem"), "--tls-key", self.path("client.key"),
                             timeout=60)
        self.assertOneError(result, 2, self.path("client.key"), "another key")
        result = harness.run("coordinator", "--listen", "127.0.0.1:0", "--tls-cert",
                             self.path("server.pem"), timeout=60)
        self.assertOneError(result, 2, "--tls-key")

    def test_a_key_that_others_can_read_is_refused(self):
        os.chmod(self.path("server.key"), 0o644)
        result = harness.run("coordinator", "--listen", "127.0.0.1:0", *self.identity("server"),
                             timeout=60)
        self.assertOneError(result, 2, "--tls-key", self.path("server.key"), "found mode 0644",
                            "chmod 600")
        result = harness.run("list", "--coordinator", "127.0.0.1:1", "--tls-ca", self.ca,
                             *self.identity("server"), env={"MERGANSER_TOKEN": token("read")},
                             timeout=60)
        self.assertOneError(result, 2, "--tls-key", "found mode 0644")


if __name__ == "__main__":
    harness.main()
