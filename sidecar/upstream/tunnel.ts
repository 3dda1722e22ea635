/**
 * Bytes between a client and an upstream, both ways, each side ended on its own: what CONNECT opens to a port, and what an
 * HTTP/1.1 connection becomes when the upstream agrees to switch protocols.
 */
import { connect, type Socket } from "node:net";
import type { Field } from "../../common/http/field.ts";
import { writeCopy } from "../blocks.ts";
import { noBody } from "../body.ts";
import { cut } from "../cut.ts";
import { readBuffer } from "../read-buffer.ts";
import { bodyTaken, takeBody, unreached, type Link, type LinkOptions, type Upstream, type UpstreamCall } from "./upstream.ts";

export interface Tunnel<C> extends Upstream<C> {
  /** Bytes of the upstream; false: read no more until the socket is resumed. The chunk is valid only during the call. */
  receive(chunk: Buffer): boolean;
  /** The upstream has ended its side. */
  ended(): void;
  /** The socket is closed. */
  closed(detail: string): void;
}

const noFields: readonly Field[] = [];
const connectTimeoutMs = 5000;

/** Joins `socket`, connected, to a call that has been answered; what waited for the upstream is sent. */
export function openTunnel<C extends UpstreamCall<C>>(socket: Socket, call: C, { onComplete, onFailure }: LinkOptions<C>): Tunnel<C> {
  let sent = false;

  /** Both sides are over, and neither cut. */
  function finishIfOver(): void {
    if (call.answerEnded && sent && !call.done) onComplete(call);
  }

  const tunnel: Tunnel<C> = {
    receive(chunk) {
      return call.done || call.front.sendData(call, chunk, false);
    },
    ended() {
      if (call.done || call.answerEnded) return;
      call.answerEnded = true;
      call.front.sendData(call, noBody, true);
      finishIfOver();
    },
    closed(detail) {
      call.upstream = undefined;
      if (!call.done) onFailure(call, "upstream-failed", detail);
    },
    resume: () => void socket.resume(),
    cancel: () => cut(socket),
    send: (_call, chunk) => writeCopy(socket, "", chunk, ""),
    end() {
      sent = true;
      socket.end();
      finishIfOver();
    },
  };
  call.upstream = tunnel;
  socket.on("drain", () => bodyTaken(call));
  const early = takeBody(call);
  if (early.length > 0) writeCopy(socket, "", early, "");
  if (call.bodyEnded) tunnel.end(call, noFields);
  bodyTaken(call);
  return tunnel;
}

/** Connections to one address, one a tunnel. */
export function createTunnelLink<C extends UpstreamCall<C>>(options: LinkOptions<C>): Link<C> {
  const { address, onResponse } = options;
  const open = new Set<Socket>();

  return {
    forward(call) {
      let tunnel: Tunnel<C> | undefined;
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
        if (call.done) {
          socket.destroy();
          return;
        }
        call.answered = true;
        onResponse(call, { status: 200 });
        call.front.sendHead(call, 200, noFields, -1, false);
        tunnel = openTunnel(socket, call, options);
      });
      socket.on("timeout", () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)));
      socket.on("end", () => tunnel?.ended());
      socket.on("error", (error) => {
        cause = error.message;
      });
      socket.on("close", () => {
        open.delete(socket);
        if (tunnel) tunnel.closed(cause || "the upstream closed the connection");
        else unreached(call, cause || `no connection to ${address.host}:${address.port}`, options);
      });
    },
    inFlight: () => open.size,
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}
