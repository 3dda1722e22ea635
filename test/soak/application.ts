/**
 * The application behind the soak's receivers. It gives back what it is given, so that every answer shows that it is the
 * answer to this call and whole: `/page/N` and `/pass/N` answer with their path, `/mirror/N` with the body, an upgrade with
 * whatever comes, a gRPC call with its messages.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { Server, ServerCredentials, type handleBidiStreamingCall, type handleUnaryCall } from "@grpc/grpc-js";
import { talkService } from "./talk.ts";
import { acceptOf } from "./websocket-accept.ts";

export interface SoakApplication extends AsyncDisposable {
  readonly httpPort: number;
  readonly grpcPort: number;
}

export async function startApplication(): Promise<SoakApplication> {
  const http = createServer((request, response) => {
    if (request.url?.startsWith("/mirror/") === true) {
      response.setHeader("content-type", "application/octet-stream");
      const length = request.headers["content-length"];
      if (length !== undefined) response.setHeader("content-length", length);
      request.pipe(response);
      request.on("error", () => response.destroy());
      return;
    }
    request.resume();
    response.end(request.url);
  });
  const upgraded = new Set<Duplex>();
  http.on("upgrade", (request, socket: Duplex, head: Buffer) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    socket.on("error", () => socket.destroy());
    const accept = acceptOf(request.headers["sec-websocket-key"] ?? "");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    );
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  await once(http.listen(0, "127.0.0.1"), "listening");

  const grpc = new Server();
  const say: handleUnaryCall<Buffer, Buffer> = (call, callback) => callback(null, call.request);
  const converse: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on("data", (message: Buffer) => call.write(message));
    call.on("end", () => call.end());
    call.on("error", () => call.end());
  };
  grpc.addService(talkService, { say, converse });
  const grpcPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
  });

  return {
    httpPort: (http.address() as AddressInfo).port,
    grpcPort,
    async [Symbol.asyncDispose]() {
      grpc.forceShutdown();
      for (const socket of upgraded) socket.destroy();
      http.closeAllConnections();
      http.close();
      await once(http, "close");
    },
  };
}
