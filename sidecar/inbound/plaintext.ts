/**
 * Connections that are not the mesh's own: plaintext, or TLS of somebody else, that was redirected here on its way to the
 * application, or came to the inbound port itself. Closed, unless the port that they are for is `permissive`: then they are
 * served without an identity, counted, and their callers listed, so that a mesh can be adopted service by service.
 */
import type { Socket } from "node:net";
import { collect, collectedBytes, nothingCollected } from "../body.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { detectProtocol, longestDetection } from "../detect/protocol.ts";
import { watchSilence } from "../detect/silence.ts";
import type { FrontConnection } from "../front/front.ts";
import { serveHttp1 } from "../front/http1-front.ts";
import { serveHttp2 } from "../front/http2-front.ts";
import { serveTcp } from "../front/tcp-front.ts";
import type { InboundCalls } from "./call.ts";
import type { Exchange } from "./exchange.ts";
import { plaintextPeer, type Peer } from "./peer.ts";
import { isHttp } from "../service-protocol.ts";
import type { Served, ServedPort, ServedService } from "./served.ts";

export interface PlaintextOptions {
  readonly calls: InboundCalls;
  readonly served: () => Served | undefined;
  /** The connection was closed; `reason` is ours. */
  readonly refused: (socket: Socket, reason: string, detail: string) => void;
}

/** How long what declares a protocol may take until it is clear that it speaks it. */
const beginningMs = 10_000;

/**
 * Serves `socket`, or closes it. `original`: where it was going, if it was redirected; without it the connection has to be
 * HTTP, whose calls name their service. Undefined when it was closed.
 */
export function servePlaintext(
  socket: Socket,
  original: Address | undefined,
  options: PlaintextOptions,
): FrontConnection<Exchange> | undefined {
  const target = original && applicationAt(options.served(), original);
  if (original && !target?.port.permissive) {
    const detail = target
      ? `${target.service.scope} takes no plaintext on port ${target.port.port}`
      : `no service here has port ${original.port}`;
    options.refused(socket, target ? "plaintext" : "unknown-port", detail);
    socket.destroy();
    return undefined;
  }
  const peer = plaintextPeer(socket, target && { scope: target.service.scope, port: target.port.port });
  return detect(socket, peer, target, options);
}

function detect(
  socket: Socket,
  peer: Peer,
  target: { readonly service: ServedService; readonly port: ServedPort } | undefined,
  options: PlaintextOptions,
): FrontConnection<Exchange> {
  const sink = options.calls.accept(peer);
  let first = nothingCollected;
  let front: FrontConnection<Exchange> | undefined;
  const asTcp = () => serveTcp(socket, `${target?.service.name ?? ""}:${target?.port.port ?? 0}`, sink);
  const declared = target?.port.protocol;
  const heard = declared === "auto" ? watchSilence(() => begin(asTcp())) : watchBeginning(socket);
  if (declared === "tcp") begin(asTcp());

  function begin(chosen: FrontConnection<Exchange>): void {
    heard();
    front = chosen;
    const bytes = collectedBytes(first);
    first = nothingCollected;
    if (bytes.length > 0) front.receive(bytes);
  }

  return {
    receive(chunk) {
      if (front) {
        front.receive(chunk);
        return;
      }
      first = collect(first, chunk, -1, Number.MAX_SAFE_INTEGER) ?? first;
      const protocol = detectProtocol(collectedBytes(first));
      if (protocol === "need-more" && first.length < longestDetection) return;
      if (protocol === "h2") begin(serveHttp2(socket, sink));
      // What is declared as HTTP, or has to be, is held to it.
      else if (protocol === "http1" || declared !== "auto") begin(serveHttp1(socket, sink));
      else begin(asTcp());
    },
    finish() {
      if (front) front.finish();
      else socket.end();
    },
    writable: () => front?.writable(),
    closed() {
      heard();
      front?.closed();
    },
    calls: (visit) => front?.calls(visit),
    drain(deadlineMs) {
      if (front) front.drain(deadlineMs);
      else socket.destroy();
    },
  };
}

function watchBeginning(socket: Socket): () => void {
  const timer = setTimeout(() => socket.destroy(), beginningMs).unref();
  return () => clearTimeout(timer);
}

/** Whether any port does. */
export function takesPlaintext(served: Served | undefined): boolean {
  for (const { ports } of served?.byScope.values() ?? []) for (const { permissive } of ports.values()) if (permissive) return true;
  return false;
}

/** Whether TLS on such a connection is the application's, and not a client of the mesh that has no sidecar. */
export function mayBringOwnTls(served: Served | undefined, original: Address): boolean {
  const target = applicationAt(served, original);
  return target !== undefined && target.port.permissive && !isHttp(target.port.protocol);
}

/** The port of a service whose application listens where the connection was going. */
function applicationAt(
  served: Served | undefined,
  { port }: Address,
): { readonly service: ServedService; readonly port: ServedPort } | undefined {
  for (const service of served?.byScope.values() ?? []) {
    for (const own of service.ports.values()) if (own.application.port === port) return { service, port: own };
  }
  return undefined;
}
