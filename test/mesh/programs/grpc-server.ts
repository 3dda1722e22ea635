/** A gRPC server of grpc-js: `grpc-server.ts port`. It answers with what it was sent, and says who called in `x-principal`. */
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { definition } from "../grpc-application.ts";

function principalOf(call: { readonly metadata: Metadata }): Metadata {
  const metadata = new Metadata();
  metadata.set("x-principal", String(call.metadata.get("x-countersign-principal")[0] ?? "nobody"));
  return metadata;
}

const implementation: UntypedServiceImplementation = {
  Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
    call.sendMetadata(principalOf(call));
    if (call.request.toString() === "fail") answer({ code: status.FAILED_PRECONDITION, details: "failed-in-clear" });
    else answer(null, call.request);
  },
  Chat(call: ServerDuplexStream<Buffer, Buffer>) {
    call.sendMetadata(principalOf(call));
    call.on("data", (each: Buffer) => call.write(each));
    call.on("end", () => call.end());
  },
};

const server = new Server();
server.addService({ Unary: definition.Unary, Chat: definition.Chat }, implementation);
server.bindAsync(`0.0.0.0:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
