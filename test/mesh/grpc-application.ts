/** A gRPC application of grpc-js: one method of each kind, whose messages are any bytes; they echo unless a test wants otherwise. */
import {
  Server,
  ServerCredentials,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
  type sendUnaryData,
} from "@grpc/grpc-js";

export const bytes = (value: Buffer): Buffer => value;

function method(name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Mesh/${name}`,
    requestStream,
    responseStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}
export const definition = {
  Unary: method("Unary", false, false),
  Collect: method("Collect", true, false),
  Spread: method("Spread", false, true),
  Chat: method("Chat", true, true),
};

interface Handlers {
  unary: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
  collect: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
  spread: (call: ServerWritableStream<Buffer, Buffer>) => void;
  chat: (call: ServerDuplexStream<Buffer, Buffer>) => void;
}

const handlers: Handlers = {
  unary: (call, answer) => answer(null, call.request),
  collect(call, answer) {
    const parts: Buffer[] = [];
    call.on("data", (each: Buffer) => parts.push(each));
    call.on("end", () => answer(null, Buffer.concat(parts)));
  },
  spread(call) {
    for (let index = 0; index < Number(call.request); index++) call.write(Buffer.from(`n${index}`));
    call.end();
  },
  chat(call) {
    call.on("data", (each: Buffer) => call.write(each));
    call.on("end", () => call.end());
  },
};

export const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** On a port of the kernel's choice. */
export async function serveGrpc(): Promise<{ server: Server; port: number }> {
  const server = new Server(unlimited);
  const implementation: UntypedServiceImplementation = {
    Unary: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => handlers.unary(call, answer),
    Collect: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => handlers.collect(call, answer),
    Spread: (call: ServerWritableStream<Buffer, Buffer>) => handlers.spread(call),
    Chat: (call: ServerDuplexStream<Buffer, Buffer>) => handlers.chat(call),
  };
  server.addService(definition, implementation);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
  return { server, port: await promise };
}

/** For the length of a test, something else than the usual. */
export function answering(changes: Partial<Handlers>): Disposable {
  const before = { ...handlers };
  Object.assign(handlers, changes);
  return { [Symbol.dispose]: () => void Object.assign(handlers, before) };
}
