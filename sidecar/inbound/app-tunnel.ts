/**
 * Bytes between a client of the mesh and the application, both ways, each side ended on its own: what CONNECT opens to a
 * port, and what an HTTP/1.1 connection becomes when the application agrees to switch protocols.
 */
import { connect, type Socket } from "node:net";
import type { Field } from "../../common/http/field.ts";
import { noBody } from "../body.ts";
import { bodyTaken, type Exchange, type Upstream } from "./exchange.ts";
import type { AppLink, AppLinkOptions } from "./forward.ts";
import { takeBody } from "./intake.ts";

export interface Tunnel extends Upstream {
  /** Bytes of the application; false: read no more until the socket is resumed. The chunk is valid only during the call. */
  receive(chunk: Buffer): boolean;
  /** The application has ended its side. */
  ended(): void;
  /** The socket is closed. */
  closed(detail: string): void;
}

const noFields: readonly Field[] = [];
const connectTimeoutMs = 5000;

/** Joins `socket`, connected, to an exchange that has been answered; what waited for the application is sent. */
export function openTunnel(socket: Socket, exchange: Exchange, { onComplete, onFailure }: AppLinkOptions): Tunnel {
  let sent = false;

  /** Both sides are over, and neither cut. */
  function finishIfOver(): void {
    if (exchange.answerEnded && sent && !exchange.done) onComplete(exchange);
  }

  const tunnel: Tunnel = {
    receive(chunk) {
      return exchange.done || exchange.front.sendData(exchange, chunk, false);
    },
    ended() {
      if (exchange.done || exchange.answerEnded) return;
      exchange.answerEnded = true;
      exchange.front.sendData(exchange, noBody, true);
      finishIfOver();
    },
    closed(detail) {
      exchange.upstream = undefined;
      if (!exchange.done) onFailure(exchange, "upstream-failed", detail);
    },
    resume: () => void socket.resume(),
    cancel: () => void socket.destroy(),
    send: (_exchange, chunk) => socket.write(Buffer.from(chunk)),
    end() {
      sent = true;
      socket.end();
      finishIfOver();
    },
  };
  exchange.upstream = tunnel;
  socket.on("drain", () => bodyTaken(exchange));
  const early = takeBody(exchange);
  if (early.length > 0) socket.write(Buffer.from(early));
  if (exchange.bodyEnded) tunnel.end(exchange, noFields);
  bodyTaken(exchange);
  return tunnel;
}

const readBuffer = Buffer.allocUnsafe(64 * 1024);

/** Connections to a port of the application, one a tunnel. */
export function createAppTunnels(options: AppLinkOptions): AppLink {
  const { address, onFailure, onResponse } = options;
  const open = new Set<Socket>();

  return {
    forward(exchange) {
      let tunnel: Tunnel | undefined;
      let cause = "";
      const socket = connect({
        host: address.host,
        port: address.port,
        noDelay: true,
        keepAlive: true,
        allowHalfOpen: true,
        timeout: connectTimeoutMs,
        onread: {
          buffer: readBuffer,
          callback(length, buffer) {
            return tunnel?.receive((buffer as Buffer).subarray(0, length)) ?? false;
          },
        },
      });
      open.add(socket);
      socket.once("connect", () => {
        socket.setTimeout(0);
        if (exchange.done) {
          socket.destroy();
          return;
        }
        exchange.answered = true;
        onResponse(exchange, { status: 200 });
        exchange.front.sendHead(exchange, 200, noFields, -1, false);
        tunnel = openTunnel(socket, exchange, options);
      });
      socket.on("timeout", () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)));
      socket.on("end", () => tunnel?.ended());
      socket.on("error", (error) => {
        cause = error.message;
      });
      socket.on("close", () => {
        open.delete(socket);
        if (tunnel) tunnel.closed(cause || "the application closed the connection");
        else if (!exchange.done) onFailure(exchange, "upstream-refused", cause || `no connection to ${address.host}:${address.port}`);
      });
    },
    inFlight: () => open.size,
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}
