"""Certificates that are renewed under a worker which stays: the authority, the coordinator's and the
worker's own. Who has the new ones goes on, who has the old ones is refused."""

import os
import re
import shutil
import time
import unittest.mock

import certificates
import harness

# Longer than a client takes to look at its files again.
NOTICED = 5
ADDRESS = "IP:127.0.0.1"


class TlsRenewalTest(harness.Case):
    def setUp(self):
        super().setUp()
        for ca in ("first", "next"):
            certificates.make(self.dir, ca)
        self.trust("first", "trusted.pem")
        certificates.make(self.dir, "server", ADDRESS, "first")
        certificates.make(self.dir, "worker", "DNS:worker", "first")

    def trust(self, ca, file):
        """Replaces a file of authorities at once."""
        shutil.copyfile(self.path(ca + ".pem"), self.path(file + ".new"))
        os.rename(self.path(file + ".new"), self.path(file))

    def identity(self, name):
        return ("--tls-cert", self.path(name + ".pem"), "--tls-key", self.path(name + ".key"))

    def client(self, name, trusted="trusted.pem"):
        return ("--tls-ca", self.path(trusted)) + self.identity(name)

    def cluster(self):
        return harness.Cluster(
            1, self.path("state"), connect_args=self.client("worker"),
            coordinator_args=self.identity("server") + ("--tls-client-ca", self.path("trusted.pem")))

    def heard(self, cluster, worker, pattern):
        return re.search(r"(?m)^\[worker %d\] .*(%s)" % (worker, pattern), cluster.log())

    def wait_for(self, cluster, worker, pattern):
        try:
            harness.wait_for("worker %d to say '%s'" % (worker, pattern),
                             lambda: self.heard(cluster, worker, pattern), limit=harness.LIMIT / 2,
                             pause=0.1)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, cluster.log())) from error

    def restart(self, cluster):
        cluster.kill_coordinator()
        cluster.start_coordinator()

    def one_job(self, cluster, output):
        models = harness.data("tiny", seed=12, experts=2)
        file = harness.recipe(self.path("r.yaml"), "linear", None, models[1:],
                              per_model=[{"weight": 1}] * 2)
        job = cluster.submit(file, self.path(output))
        self.assertEqual(harness.state_of(cluster.finish(job)), "SUCCEEDED", cluster.log())

    BACK = "connected again|was started anew"

    def test_a_worker_goes_on_with_a_new_authority(self):
        with self.cluster() as cluster:
            self.wait_for(cluster, 0, "connected")
            self.one_job(cluster, "before")
            # Another one, whose files nobody renews.
            self.trust("first", "old-ca.pem")
            certificates.make(self.dir, "worker", "DNS:worker", "first", file="old")
            renewed, cluster._connect_args = cluster._connect_args, self.client("old", "old-ca.pem")
            cluster.add_worker()
            self.wait_for(cluster, 1, "connected")
            cluster._connect_args = renewed

            certificates.make(self.dir, "worker", "DNS:worker", "next")
            certificates.make(self.dir, "server", ADDRESS, "next")
            self.trust("next", "trusted.pem")
            self.restart(cluster)
            self.wait_for(cluster, 0, self.BACK)
            self.wait_for(cluster, 1, "not signed by the CA in --tls-ca " + self.path("old-ca.pem"))
            self.one_job(cluster, "after")
            self.assertIsNone(cluster.workers[0].poll(), cluster.log())
            self.assertIsNone(self.heard(cluster, 1, self.BACK), cluster.log())

            def refused(client, code, *texts):
                self.assertOneError(harness.run("list", "--coordinator", cluster.address, *client),
                                    code, *texts)
            refused(self.client("old", "old-ca.pem"), 2, "not signed by the CA in --tls-ca")
            refused(self.client("old"), 4, "--tls-client-ca", "--tls-cert")
            self.assertEqual(cluster.client("list").code, 0)

    def test_a_key_that_comes_before_its_certificate_is_waited_out(self):
        certificates.make(self.dir, "worker", "DNS:worker", "first", file="later")
        with self.cluster() as cluster:
            self.wait_for(cluster, 0, "connected")
            os.rename(self.path("later.key"), self.path("worker.key"))
            time.sleep(NOTICED)
            self.restart(cluster)
            self.wait_for(cluster, 0, "--tls-key %s: found another key than that of --tls-cert %s"
                          % (self.path("worker.key"), self.path("worker.pem")))
            self.assertIsNone(cluster.workers[0].poll(), cluster.log())
            os.rename(self.path("later.pem"), self.path("worker.pem"))
            self.wait_for(cluster, 0, self.BACK)
            self.one_job(cluster, "after")

    def test_an_authority_that_was_emptied_is_no_reason_to_trust_others(self):
        # As the system's are found, which gRPC turns to where it is given none.
        everybody = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": self.path("next.pem")}
        with unittest.mock.patch.dict(os.environ, everybody), self.cluster() as cluster:
            self.wait_for(cluster, 0, "connected")
            with open(self.path("worker-ca.pem"), "wb"):
                pass
            os.rename(self.path("worker-ca.pem"), self.path("trusted.pem"))
            time.sleep(NOTICED)
            certificates.make(self.dir, "server", ADDRESS, "next")
            cluster._coordinator_args = self.identity("server")
            self.restart(cluster)
            self.wait_for(cluster, 0, "--tls-ca %s: found no certificate" % self.path("trusted.pem"))
            self.assertIsNone(self.heard(cluster, 0, self.BACK), cluster.log())

    def test_an_address_is_no_common_name(self):
        for names in (None, "IP:192.0.2.1"):
            with self.subTest(names=names):
                certificates.make(self.dir, "127.0.0.1", names, "first", file="server")
                with harness.Cluster(0, self.path("state"), connect_args=self.client("worker"),
                                     coordinator_args=self.identity("server")) as cluster:
                    for command in ("list", "health"):
                        self.assertOneError(cluster.client(command), 2,
                                            "its certificate is for other names", "subjectAltName")


if __name__ == "__main__":
    harness.main()
