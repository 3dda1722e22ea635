/**
 * One connection of the application, from its first bytes to the front that serves it.
 *
 * To a proxy everything is HTTP. Of a redirected connection the port that it was going to may declare what it speaks; where
 * nothing is declared the first bytes tell, and one that stays silent is taken for a protocol whose server speaks first: until the
 * server does, because a client may be silent for want of time. A tunnel that a proxy is asked for, to a service of the mesh, is as a
 * connection that was redirected on its way there: what is inside is calls, each with its signature and its decision. gRPC's clients and
 * Node's fetch know no other way through a proxy.
 */
import type { Socket } from "node:net";
import type { Address } from "../../common/runtime/environment.ts";
import { createRequestParser } from "../http1/request-parser.ts";
import { clientPreface } from "../http2/frames.ts";
import { collect, collectedBytes, noBody, nothingCollected } from "../body.ts";
import { parseClientHello } from "../detect/client-hello.ts";
import { detectProtocol, longestDetection, type Protocol } from "../detect/protocol.ts";
import { watchSilence } from "../detect/silence.ts";
import type { CallSink, FrontConnection } from "../front/front.ts";
import { serveHttp1 } from "../front/http1-front.ts";
import { serveHttp2 } from "../front/http2-front.ts";
import { serveTcp, type Tunnel } from "../front/tcp-front.ts";
import { isHttp, type ServiceProtocol } from "../service-protocol.ts";
import type { OutboundCall } from "./call.ts";
import type { Destinations } from "./destinations.ts";
import type { Origin } from "./origin.ts";
import { readInto } from "../front/read-into.ts";
import { resolveTarget, serviceAt, tunnelEnd, type ServiceTarget } from "./resolve.ts";
import type { Transmitter } from "./transmit.ts";
import { readBuffer } from "../read-buffer.ts";

export interface ConnectionOptions {
  readonly transmitter: Pick<Transmitter, "accept">;
  readonly destinations: () => Destinations;
  /** Whether what leaves the mesh is passed on as it is. */
  readonly passesThrough: () => boolean;
  readonly detectionTimedOut: () => void;
}

export interface ServedConnection {
  /** Those under way. */
  calls(visit: (call: OutboundCall) => void): void;
  drain(deadlineMs: number): void;
  destroy(): void;
}

const connectMethod = Buffer.from("CONNECT ");
const established = "HTTP/1.1 200 Connection Established\r\n\r\n";

export function serveConnection(socket: Socket, accepted: Origin, options: ConnectionOptions): ServedConnection {
  let origin = accepted;
  let target: ServiceTarget | undefined;
  let declared: ServiceProtocol = "http";
  let heard: () => void = ignore;
  let front: FrontConnection<OutboundCall> | undefined;
  /** The front, while silence is all that speaks for it. */
  let guess: Tunnel<OutboundCall> | undefined;
  let first = nothingCollected;

  /** Learns what is spoken there, or waits for its first bytes. */
  function headFor(next: Origin): void {
    origin = next;
    const { address } = next;
    if (!address) return;
    target = serviceAt(options.destinations(), address);
    declared = target?.port?.protocol ?? "auto";
    if (declared === "tcp") front = asTcp("", "tcp");
    else if (declared === "auto") {
      heard = watchSilence(() => {
        options.detectionTimedOut();
        guess = asTcp("", "tcp", target !== undefined && first.length === 0);
        begin(guess);
      });
    }
  }

  /** As a tunnel to `host`, or to where the connection was going. */
  function asTcp(host: string, inside: Origin["inside"], guessed = false): Tunnel<OutboundCall> {
    const { host: ip = "", port = 0 } = origin.address ?? {};
    const name = host === "" ? (ip.includes(":") ? `[${ip}]` : ip) : host;
    return serveTcp(socket, `${name}:${port}`, options.transmitter.accept({ ...origin, inside }), guessed);
  }

  function begin(chosen: FrontConnection<OutboundCall>): void {
    heard();
    front = chosen;
    const bytes = collectedBytes(first);
    first = nothingCollected;
    if (bytes.length > 0) front.receive(bytes);
  }

  function detect(chunk: Buffer): void {
    first = collect(first, chunk, -1, Number.MAX_SAFE_INTEGER) ?? first;
    const bytes = collectedBytes(first);
    if (!origin.address && enter(bytes) !== "no-tunnel") return;
    const chosen = isHttp(declared) ? chooseHttp(bytes) : choose(bytes);
    if (chosen) begin(chosen);
  }

  /** Into a tunnel to a service of the mesh. One to anywhere else is for the front, and so is one for TCP: it can say what was refused. */
  function enter(bytes: Buffer): "entered" | "need-more" | "no-tunnel" {
    const shared = bytes.subarray(0, connectMethod.length);
    if (!shared.equals(connectMethod.subarray(0, shared.length))) return "no-tunnel";
    const ends: { known: boolean; at?: Address | undefined } = { known: false };
    const parser = createRequestParser({
      onRequest({ authority }) {
        ends.known = true;
        ends.at = tunnelEnd(options.destinations(), authority);
      },
      onBody: ignore,
      onEnd: ignore,
      onError() {
        ends.known = true;
      },
    });
    parser.push(bytes);
    if (!ends.known) return "need-more";
    const inside = ends.at && parser.takeRemainder();
    parser.close();
    if (!ends.at || !inside) return "no-tunnel";
    first = nothingCollected;
    socket.write(established, "latin1");
    headFor({ address: ends.at, inside: "tcp" });
    if (inside.length > 0) detect(inside);
    return "entered";
  }

  /** What is declared as HTTP is held to it: whatever is no HTTP/2 is HTTP/1.1, or a mistake that its parser answers. */
  function chooseHttp(bytes: Buffer): FrontConnection<OutboundCall> | undefined {
    const shared = bytes.subarray(0, clientPreface.length);
    const maybeHttp2 = shared.equals(clientPreface.subarray(0, shared.length));
    if (maybeHttp2 && shared.length < clientPreface.length) return undefined;
    const sink = options.transmitter.accept(origin);
    return maybeHttp2 ? serveHttp2(socket, sink) : serveHttp1(socket, sink);
  }

  function choose(bytes: Buffer): FrontConnection<OutboundCall> | undefined {
    const protocol: Protocol | "need-more" = detectProtocol(bytes);
    switch (protocol) {
      case "need-more":
        return bytes.length > longestDetection ? asTcp("", "tcp") : undefined;
      case "tcp":
        return asTcp("", "tcp");
      case "tls": {
        const hello = parseClientHello(bytes);
        if (hello.kind === "need-more") return undefined;
        return asTcp(hello.kind === "client-hello" ? hello.serverName : "", "tls");
      }
      case "http1":
        return chooseHttp1(bytes);
      case "h2":
        return serveHttp2(socket, options.transmitter.accept(origin));
      default:
        return protocol satisfies never;
    }
  }

  /** What leaves the mesh by HTTP/1.1 is passed on untouched where anything may leave; its first request says where to. */
  function chooseHttp1(bytes: Buffer): FrontConnection<OutboundCall> | undefined {
    const sink: CallSink<OutboundCall> = options.transmitter.accept(origin);
    if (target || !options.passesThrough()) return serveHttp1(socket, sink);
    const host = externalHost(bytes);
    if (host === undefined) return undefined;
    return host === "" ? serveHttp1(socket, sink) : asTcp(host, "http1");
  }

  /** Of the first request: empty where it is for the mesh or is no request; undefined while its head is not whole. */
  function externalHost(bytes: Buffer): string | undefined {
    let host: string | undefined;
    const parser = createRequestParser({
      onRequest({ authority, scheme }) {
        host = outside(authority, scheme);
      },
      onBody: ignore,
      onEnd: ignore,
      onError() {
        host ??= "";
      },
    });
    parser.push(bytes);
    parser.close();
    return host;
  }

  function outside(authority: string, scheme: string): string {
    try {
      const found = resolveTarget(options.destinations(), authority, scheme, origin);
      return found.kind === "external" ? found.host : "";
    } catch {
      // An authority that is none is for the front to answer.
      return "";
    }
  }

  headFor(accepted);

  /** The client of `tunnel` speaks after all. What is no HTTP is what the tunnel is for. */
  function hear(tunnel: Tunnel<OutboundCall>, chunk: Buffer, last = false): void {
    first = collect(first, chunk, -1, Number.MAX_SAFE_INTEGER) ?? first;
    const bytes = collectedBytes(first);
    const protocol = tunnel.untouched() && !last ? detectProtocol(bytes) : "tcp";
    if (protocol === "need-more" && bytes.length <= longestDetection) return;
    guess = undefined;
    first = nothingCollected;
    if (protocol === "tcp" || protocol === "need-more") {
      tunnel.receive(bytes);
      return;
    }
    tunnel.giveUp();
    front = undefined;
    detect(bytes);
  }

  readInto(socket, readBuffer, (chunk) => {
    if (guess) hear(guess, chunk);
    else if (front) front.receive(chunk);
    else detect(chunk);
  });
  socket.on("drain", () => front?.writable());
  socket.on("end", () => {
    if (guess && first.length > 0) hear(guess, noBody, true);
    // What is whole by now, and is no request, can only be a protocol of its own.
    else if (!front && origin.address && first.length > 0 && !isHttp(declared)) begin(asTcp("", "tcp"));
    if (front) front.finish();
    else socket.end();
  });
  socket.on("error", () => {
    // `close` follows, and says all that matters: the application has gone.
  });
  socket.on("close", () => {
    heard();
    front?.closed();
  });
  return {
    calls: (visit) => front?.calls(visit),
    drain(deadlineMs) {
      if (front) front.drain(deadlineMs);
      else socket.end();
    },
    destroy: () => socket.destroy(),
  };
}

function ignore(): void {
  // Only the head is looked at, or silence is nothing to look at.
}
