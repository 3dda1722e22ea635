/**
 * Calls that go on for as long as nobody cuts them, one of each kind: an upload that is echoed, an upgrade, a tunnel, a gRPC
 * stream. Each goes out by way of an outbound listener and can be asked whether it is alive.
 */
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { connect, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { Client, credentials, status, type ServerWritableStream, type StatusObject } from "@grpc/grpc-js";
import { addressOf } from "./clients.ts";
import { answering, bytes, definition, serveGrpc } from "./grpc-application.ts";
import { listening, until } from "./harness.ts";

export interface LongCall {
  /** Sends something there and back, or back only. Rejects when nothing comes. */
  pulse(): Promise<void>;
  /** How it ended, once it has: `cut` by a reset or in the middle of an answer, `ended` as if it were whole, or a status of gRPC. */
  readonly ended: Promise<string>;
  close(): void;
}

export interface Applications {
  readonly http: Server;
  readonly tcp: Server;
  readonly grpcPort: number;
  close(): void;
}

/** What answers them: everything is echoed. */
export async function startApplications(): Promise<Applications> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  };
  const http = createHttpServer((request, response) => {
    response.flushHeaders();
    request.on("error", () => undefined);
    request.pipe(response);
  });
  http.on("connection", track);
  http.on("upgrade", (_request: IncomingMessage, socket: Socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n");
    socket.pipe(socket);
  });
  const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
    track(socket);
    socket.pipe(socket);
  });
  const { server, port } = await serveGrpc();
  await listening(http);
  await listening(tcp);
  return {
    http,
    tcp,
    grpcPort: port,
    close() {
      for (const socket of sockets) socket.destroy();
      tcp.close();
      server.forceShutdown();
    },
  };
}

/** `head` opens it; what is pulsed through comes back as it was sent. */
async function overSocket(outbound: string, head: string, opened: RegExp, wrap: (text: string) => string): Promise<LongCall> {
  const socket = connect(addressOf(outbound));
  const { promise, resolve } = Promise.withResolvers<string>();
  let got = "";
  let finished = false;
  let pulses = 0;
  const answered = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) => {
    got += chunk.toString("latin1");
    if (got.includes("\r\n\r\n")) answered.resolve();
  });
  socket.on("end", () => (finished = true));
  socket.on("error", () => undefined);
  socket.once("close", (hadError) => {
    answered.resolve();
    resolve(hadError || !finished ? "cut" : "ended");
  });
  socket.write(head);
  await answered.promise;
  if (!opened.test(got)) {
    socket.destroy();
    throw new Error(`not opened: ${got}`);
  }
  return {
    async pulse() {
      const text = `pulse ${pulses++};`;
      socket.write(wrap(text));
      await until(`${text} is back`, () => got.includes(text));
    },
    ended: promise,
    close: () => void socket.destroy(),
  };
}

const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

/** An answer in chunks to an upload in chunks. */
export const upload = (outbound: string, host: string): Promise<LongCall> =>
  overSocket(outbound, `POST /long HTTP/1.1\r\nhost: ${host}\r\ntransfer-encoding: chunked\r\n\r\n`, /^HTTP\/1\.1 200 /, chunk);

export const upgrade = (outbound: string, host: string): Promise<LongCall> =>
  overSocket(
    outbound,
    `GET /long HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n`,
    /^HTTP\/1\.1 101 [^]*\r\n\r\n/,
    (text) => text,
  );

export const tunnel = (outbound: string, host: string): Promise<LongCall> =>
  overSocket(outbound, `CONNECT ${host} HTTP/1.1\r\nhost: ${host}\r\n\r\n`, /^HTTP\/1\.1 200 /, (text) => text);

/** The server sends, and the client only listens. */
export async function grpcStream(outbound: string, host: string): Promise<LongCall> {
  const started = Promise.withResolvers<ServerWritableStream<Buffer, Buffer>>();
  const usual = answering({ spread: (call) => started.resolve(call) });
  const client = new Client(outbound, credentials.createInsecure(), { "grpc.default_authority": host, "grpc.enable_retries": 0 });
  const call = client.makeServerStreamRequest<Buffer, Buffer>(definition.Spread.path, bytes, bytes, Buffer.from("1"));
  const ended = Promise.withResolvers<string>();
  const got: string[] = [];
  call.on("data", (message: Buffer) => got.push(message.toString()));
  call.on("error", () => undefined);
  call.on("status", ({ code, details }: StatusObject) => {
    started.reject(new Error(`${status[code]}: ${details}`));
    ended.resolve(`${status[code]} ${details}`);
  });
  const server = await started.promise;
  usual[Symbol.dispose]();
  server.on("error", () => undefined);
  let pulses = 0;
  return {
    async pulse() {
      const text = `pulse ${pulses++}`;
      server.write(Buffer.from(text));
      await until(`${text} comes`, () => got.includes(text));
    },
    ended: ended.promise,
    close() {
      call.cancel();
      client.close();
    },
  };
}
