// What a client without our .proto files learns from a coordinator's reflection, as JSON:
// its services and their methods; then what it is answered when it calls two of them.
//
// usage: node reflection_client.js ADDRESS v1|v1alpha      environment: TOKEN
"use strict";

const grpc = require("@grpc/grpc-js");
const { GrpcReflection } = require("grpc-js-reflection-client");

const [address, version] = process.argv.slice(2);
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.TOKEN}`);
const options = { deadline: Date.now() + 20000 };

// Calls `method` of `service` with types that were learned.
async function call(reflection, service, method, request) {
  const descriptor = await reflection.getDescriptorBySymbol(service, metadata, options);
  let types = descriptor.getPackageObject({ keepCase: true, enums: String, longs: String });
  for (const part of service.split(".")) types = types[part];
  const client = new types(address, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) =>
    client[method](request, metadata, options, (error, answer) =>
      error ? reject(error) : resolve(answer)));
}

async function main() {
  const credentials = grpc.credentials.createInsecure();
  const reflection = new GrpcReflection(address, credentials, {}, version);
  const services = {};
  for (const service of await reflection.listServices("*", metadata, options)) {
    const methods = await reflection.listMethods(service, metadata, options);
    services[service] = methods.map((method) => method.name).sort();
  }
  const health = await call(reflection, "grpc.health.v1.Health", "Check",
                            { service: "merganser.v1.MergeService" });
  const list = await call(reflection, "merganser.v1.MergeService", "ListJobs", {});
  return { services, health: health.status, jobs: (list.jobs ?? []).length };
}

// The library wraps what gRPC said in an error of its own.
main()
  .catch((error) => ({ error: String(error.message ?? error) }))
  .then((result) => {
    console.log(JSON.stringify(result));
    process.exit(0);
  });
