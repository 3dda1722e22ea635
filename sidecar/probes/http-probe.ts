/**
 * `httpGet` as a kubelet does it: GET, the certificate of https is not looked at, 200 to 399 is well, a redirect is followed
 * within the host and is well when it leads out of it. The answer's body is read as far as a kubelet reads it, and shown to nobody.
 */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { addressToString } from "../../common/runtime/environment.ts";

export interface HttpProbeOptions {
  readonly scheme: "http" | "https";
  readonly port: number;
  /** Path and query. */
  readonly target: string;
  /** The host that the kubelet would have asked: the pod's address. */
  readonly host: string;
  /** Names and values, one after the other. */
  readonly headers: readonly string[];
  /** What the kubelet gave as Host, where it is another than the address it asked. */
  readonly hostHeader: string | undefined;
  readonly connect: (port: number) => Promise<Socket>;
}

const mostRedirects = 10;
const mostBodyBytes = 10 * 1024;

/** The last answer's status. Rejects where there was none, or its body broke off. */
export async function askHttp(options: HttpProbeOptions, signal: AbortSignal): Promise<number> {
  let url = new URL(`${options.scheme}://${addressToString({ host: options.host, port: options.port })}`);
  let { target, hostHeader } = options;
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const { status, location } = await get(url, target, hostHeader, options, signal);
    if (location === undefined) return status;
    const next = URL.parse(location, new URL(target, url));
    if (!next) throw new Error(`it answered ${status} with a location that is none`);
    if (next.hostname !== url.hostname || (next.protocol !== "http:" && next.protocol !== "https:")) return status;
    if (/^\w+:/.test(location)) hostHeader = undefined;
    url = next;
    target = next.pathname + next.search;
  }
  throw new Error(`it redirects more than ${mostRedirects} times`);
}

async function get(
  url: URL,
  target: string,
  hostHeader: string | undefined,
  { headers, connect }: HttpProbeOptions,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly location: string | undefined }> {
  const secure = url.protocol === "https:";
  const port = Number(url.port) || (secure ? 443 : 80);
  const plain = await connect(port);
  const socket = secure ? connectTls({ socket: plain, rejectUnauthorized: false }) : plain;
  try {
    const sent = httpRequest({
      createConnection: () => socket,
      path: target,
      headers: ["host", hostHeader ?? `${url.hostname}:${port}`, ...headers, "connection", "close"],
      signal,
    });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let length = 0;
    for await (const chunk of response) {
      length += (chunk as Buffer).length;
      if (length >= mostBodyBytes) break;
    }
    const status = response.statusCode ?? 0;
    return { status, location: redirecting.has(status) ? response.headers.location : undefined };
  } finally {
    socket.destroy();
    plain.destroy();
  }
}

const redirecting: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
