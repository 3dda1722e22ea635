/**
 * The application's probes. A kubelet is in no mesh, so that what it asks of an application behind a sidecar is refused; it asks
 * the health listener instead, which asks the application itself, where it listens. Only what was listed when the sidecar was
 * started, and all that comes back is whether it is well: the health listener is open to everybody.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createField, FieldKind } from "../../common/http/field.ts";
import { addressToString, type Address } from "../../common/runtime/environment.ts";
import { askGrpc } from "./grpc-probe.ts";
import { askHttp } from "./http-probe.ts";
import { connectToApplication } from "./locate.ts";
import { findProbe, probePrefix, type AskedProbe, type Probe } from "./probe-list.ts";

export interface ProbeOptions {
  readonly probes: readonly Probe[];
  /** Where the application may listen, the likeliest first; the address that the kubelet asked is tried after them. */
  readonly hosts: readonly string[];
}

export interface ProbeAnswer {
  readonly status: number;
  readonly body: { readonly status: string; readonly detail?: string };
}

/** A kubelet's own time-out is shorter, and then it hangs up; a hook may take as long as a pod may take to end. */
const longestMs = 300_000;

/** Undefined for a path that is no probe's. Does not reject. */
export function createProber({
  probes,
  hosts,
}: ProbeOptions): (request: IncomingMessage, response: ServerResponse) => Promise<ProbeAnswer> | undefined {
  async function answer(asked: AskedProbe, request: IncomingMessage, signal: AbortSignal): Promise<ProbeAnswer> {
    try {
      const status = await ask(asked, request, signal);
      // A redirect that leads elsewhere must not lead the kubelet away from here.
      const well = status >= 200 && status < 400;
      if (well) return { status: 200, body: { status: "ok" } };
      return { status: status >= 400 ? status : 502, body: { status: "failed", detail: `the application answered ${status}` } };
    } catch (error) {
      return { status: 503, body: { status: "failed", detail: error instanceof Error ? error.message : String(error) } };
    }
  }

  async function ask({ probe, target }: AskedProbe, request: IncomingMessage, signal: AbortSignal): Promise<number> {
    const own = ownAddress(request);
    const all = [...new Set([...hosts, own])];
    if (probe.kind === "http" || probe.kind === "https") {
      const hostHeader = request.headers.host;
      return await askHttp(
        {
          scheme: probe.kind,
          port: probe.port,
          target,
          host: own,
          headers: passedHeaders(request.rawHeaders),
          hostHeader: hostHeader === undefined || isOwnHost(hostHeader, request) ? undefined : hostHeader,
          connect: (port) => connectToApplication(all, port, signal),
        },
        signal,
      );
    }
    const socket = await connectToApplication(all, probe.port, signal);
    const found: Address = { host: socket.remoteAddress ?? "", port: probe.port };
    socket.destroy();
    if (probe.kind === "grpc") await askGrpc(addressToString(found), target, signal);
    return 200;
  }

  return (request, response) => {
    const target = request.url ?? "";
    if (!target.startsWith(probePrefix)) return undefined;
    const asked = findProbe(probes, target);
    if (!asked) return Promise.resolve({ status: 404, body: { status: "failed", detail: "no such probe is listed for this pod" } });
    if (request.method !== "GET") return Promise.resolve({ status: 405, body: { status: "failed", detail: "only GET" } });
    const gone = new AbortController();
    response.once("close", () => gone.abort(new Error("whoever asked has hung up")));
    return answer(asked, request, AbortSignal.any([gone.signal, AbortSignal.timeout(longestMs)]));
  };
}

/** The pod's, as the kubelet knows it. */
function ownAddress({ socket }: IncomingMessage): string {
  return (socket.localAddress ?? "127.0.0.1").replace(/^::ffff:/, "");
}

/** Whether a Host header is but the address that was asked. */
function isOwnHost(host: string, request: IncomingMessage): boolean {
  return host === addressToString({ host: ownAddress(request), port: request.socket.localPort ?? 0 });
}

const ofTheMessage = FieldKind.HOP_BY_HOP | FieldKind.HOST | FieldKind.CONTENT_LENGTH | FieldKind.EXPECT;

/** Nobody may say through here who calls: applications believe that of their sidecar. */
function passedHeaders(raw: readonly string[]): readonly string[] {
  const passed: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name = "", value = ""] = raw.slice(index, index + 2);
    if ((createField(name.toLowerCase(), value).kinds & (ofTheMessage | FieldKind.IDENTITY)) === 0) passed.push(name, value);
  }
  return passed;
}
