/** An ordinary gRPC server, with the health service that Kubernetes' probes ask. */
import { Server, ServerCredentials, type handleBidiStreamingCall, type handleUnaryCall, type Metadata } from "@grpc/grpc-js";
import { calculator, type Numbers, type Sum } from "./grpc-calculator.ts";

const callerOf = (metadata: Metadata): string => metadata.get("x-forwarded-client-cert").join();
const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

const add: handleUnaryCall<Numbers, Sum> = ({ request, metadata }, callback) => {
  callback(null, { sum: sumOf(request.numbers), from: callerOf(metadata) });
};
const running: handleBidiStreamingCall<Numbers, Sum> = (call) => {
  let sum = 0;
  call.on("data", ({ numbers }: Numbers) => {
    sum += sumOf(numbers);
    call.write({ sum, from: callerOf(call.metadata) });
  });
  call.on("end", () => call.end());
};
/** grpc.health.v1: the answer is field 1, SERVING, which is 1. */
const health = {
  check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer): Buffer => bytes,
    requestDeserialize: (bytes: Buffer): Buffer => bytes,
    responseSerialize: (bytes: Buffer): Buffer => bytes,
    responseDeserialize: (bytes: Buffer): Buffer => bytes,
  },
} as const;
const check: handleUnaryCall<Buffer, Buffer> = (_call, callback) => {
  callback(null, Buffer.from([0x08, 0x01]));
};

const server = new Server();
server.addService(calculator, { add, running });
server.addService(health, { check });
server.bindAsync("0.0.0.0:50051", ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
process.on("SIGTERM", () => server.tryShutdown(() => undefined));
