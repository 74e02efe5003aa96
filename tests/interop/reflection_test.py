"""A coordinator's reflection and health in the hands of clients that nobody here wrote: gRPC's own
for Python, and one for Node. Needs grpcio-reflection, and grpc-js-reflection-client in NODE_PATH
(tests/run.sh --full installs them).

usage: reflection_test.py        environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR, NODE_PATH
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import grpc  # noqa: E402
from google.protobuf import descriptor_pool, message_factory  # noqa: E402
from grpc_reflection.v1alpha import proto_reflection_descriptor_database  # noqa: E402

import harness  # noqa: E402

HEALTH, MERGES, WORKERS = ("grpc.health.v1.Health", "merganser.v1.MergeService",
                           "merganser.v1.WorkerService")
METHODS = {
    MERGES: ["CancelJob", "CreateJob", "DeleteJob", "GetCluster", "GetJob", "GetJobActivity",
             "ListJobs", "ListWorkers", "PlanJob", "SetJobPriority", "WatchJob"],
    WORKERS: ["GetJobGates", "GetJobPlan", "Sync"],
    HEALTH: ["Check", "Watch"],
    "grpc.reflection.v1.ServerReflection": ["ServerReflectionInfo"],
    "grpc.reflection.v1alpha.ServerReflection": ["ServerReflectionInfo"],
}
SERVING = 1


class WithToken(grpc.StreamStreamClientInterceptor):
    """The library has no argument for metadata."""

    def __init__(self, token):
        self.token = token

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=metadata(self.token)), requests)


def metadata(token):
    return [("authorization", "Bearer " + token)]


class ReflectionTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.token = "a-token-for-reading-alone"
        with open(self.path("tokens"), "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(self.token + " read\n")
        self.cluster = harness.Cluster(0, self.path("state"),
                                       coordinator_args=("--token-file", self.path("tokens")))
        self.enterContext(self.cluster)

    def reflected(self, channel, token):
        return proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(
            grpc.intercept_channel(channel, WithToken(token)))

    def test_python(self):
        with grpc.insecure_channel(self.cluster.address) as channel:
            database = self.reflected(channel, self.token)
            self.assertEqual(sorted(database.get_services()), sorted(METHODS))
            pool = descriptor_pool.DescriptorPool(database)
            for name, methods in METHODS.items():
                service = pool.FindServiceByName(name)
                self.assertEqual(sorted(m.name for m in service.methods), methods)
            health = self.call(channel, pool, HEALTH, "Check", {"service": MERGES})
            self.assertEqual(health.status, SERVING)
            self.assertEqual(len(self.call(channel, pool, MERGES, "ListJobs", {}).jobs), 0)

    def call(self, channel, pool, service, name, fields):
        method = pool.FindServiceByName(service).FindMethodByName(name)
        answer = message_factory.GetMessageClass(method.output_type)
        ask = channel.unary_unary(
            "/%s/%s" % (service, name), response_deserializer=answer.FromString,
            request_serializer=lambda request: request.SerializeToString())
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        return ask(request, metadata=metadata(self.token), timeout=20)

    def test_python_with_a_wrong_token(self):
        with grpc.insecure_channel(self.cluster.address) as channel:
            with self.assertRaises(grpc.RpcError) as caught:
                self.reflected(channel, "not-one-of-these-tokens").get_services()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
        details = dict(caught.exception.trailing_metadata())["grpc-status-details-bin"]
        self.assertIn(b"TOKEN_UNKNOWN", details)

    def node(self, version, token):
        done = subprocess.run(
            ["node", os.path.join(HERE, "reflection_client.js"), self.cluster.address, version],
            env=harness.environment({"TOKEN": token}), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def test_node(self):
        for version in ("v1", "v1alpha"):
            with self.subTest(version):
                self.assertEqual(self.node(version, self.token),
                                 {"services": METHODS, "health": "SERVING", "jobs": 0})
                error = self.node(version, "not-one-of-these-tokens")["error"]
                self.assertIn("UNAUTHENTICATED: found a token that is none of", error)
        # Clients that try a newer version first go on with an older one only after this.
        with grpc.insecure_channel(self.cluster.address) as channel:
            ask = channel.stream_stream("/grpc.reflection.v2.ServerReflection/ServerReflectionInfo")
            with self.assertRaises(grpc.RpcError) as caught:
                list(ask(iter([b""]), metadata=metadata(self.token), timeout=20))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


if __name__ == "__main__":
    harness.main()
