/** What every peer has in common: a pair of proxies, each its own process with one worker, between wrk and the application. */
import { createServer, type AddressInfo, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { request } from "node:http";
import type { Certificates } from "../certificates.ts";
import { BenchError } from "../errors.ts";
import type { PeerName } from "../options.ts";
import type { Processes, Running } from "../processes.ts";
import type { WrkTarget } from "../wrk.ts";

/** Where a peer is set up, and what it stands in front of. */
export interface Site {
  /** For the peers' files; each makes its own folder. */
  readonly folder: string;
  readonly appPort: number;
  readonly certificates: Certificates;
  readonly processes: Processes;
  readonly signal: AbortSignal;
}

export interface Peer {
  readonly name: PeerName;
  readonly target: WrkTarget;
  /** Whose CPU and memory count. */
  readonly proxies: readonly Running[];
}

/** The application's answer: 63 bytes. */
export const appBody = "A response of sixty-three bytes, as small calls between services\n".slice(0, 63);

/** Ports on 127.0.0.1 that were free a moment ago, for programs that cannot choose one themselves and say which. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  // All are held until the last is chosen, so that they differ.
  for (let index = 0; index < count; index++) {
    const server = createServer();
    servers.push(server);
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject).listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(target: WrkTarget, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = target.host === undefined ? {} : { host: target.host };
    const call = request(target.url, { agent: false, headers, signal }, (response) => {
      let body = "";
      response.setEncoding("latin1");
      response.on("data", (text: string) => (body += text));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on("error", reject);
    call.end();
  });
}

const readyMs = 20_000;
const retryMs = 50;

/**
 * Waits until the application's own answer comes back through `target`. Asking again and again is the only way: nginx and
 * HAProxy do not say when they listen, and a caller's sidecar does not say when it has learnt of a new endpoint.
 */
export async function waitForAnswer(name: string, target: WrkTarget, through: readonly Running[], signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.timeout(readyMs);
  const stop = AbortSignal.any([signal, ...through.map((running) => running.ended)]);
  let last = "";
  while (!limit.aborted) {
    try {
      const answer = await ask(target, AbortSignal.any([stop, limit]));
      if (answer.status === 200 && answer.body === appBody) return;
      last = `status ${answer.status}, ${JSON.stringify(answer.body.slice(0, 200))}`;
    } catch (error) {
      stop.throwIfAborted();
      last = error instanceof Error ? error.message : String(error);
    }
    await delay(retryMs);
  }
  throw new BenchError("bad-response", `${name}: no proper answer within ${readyMs / 1000} s; the last was: ${last}`);
}
