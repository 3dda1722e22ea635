/**
 * What the health listener may ask of the application: `http:8080/healthz`, `https:8443/`, `tcp:6379`, `grpc:50051/name`, between
 * commas. Each is answered at one path, `/app/http/8080/healthz` and so on; there is no way to ask anything else through it.
 */

export interface Probe {
  readonly kind: "http" | "https" | "tcp" | "grpc";
  readonly port: number;
  /** Path and query as they were listed, or the service that gRPC is asked for; empty for tcp. */
  readonly target: string;
}

/** A comma within a path is one where no probe begins behind it. */
export function splitProbes(text: string): readonly string[] {
  return text === "" ? [] : text.split(/,(?=\s*(?:[a-z]+:\d|$))/).map((entry) => entry.trim());
}

/** Undefined for what is no probe. */
export function probeFromString(entry: string): Probe | undefined {
  const [, kind, digits, rest = ""] = /^([a-z]+):([1-9]\d{0,4})(\/\P{Cc}*)?$/u.exec(entry) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  if (kind === "http" || kind === "https") return { kind, port, target: rest || "/" };
  if (kind === "grpc") return { kind, port, target: rest.slice(1) };
  return kind === "tcp" && rest === "" ? { kind, port, target: "" } : undefined;
}

export const probePrefix = "/app/";

export interface AskedProbe {
  readonly probe: Probe;
  /** Path and query as they were asked for, of the same meaning as what is listed; gRPC's service without escapes. */
  readonly target: string;
}

/** The probe that a request target of the health listener names, `/app/…`; undefined where none is listed. */
export function findProbe(probes: readonly Probe[], requestTarget: string): AskedProbe | undefined {
  const [, kind, port, rest = ""] = /^\/app\/([a-z]+)\/(\d+)(\/.*)?$/.exec(requestTarget) ?? [];
  const isHttp = kind === "http" || kind === "https";
  const target = isHttp ? rest || "/" : rest.slice(1);
  const probe = probes.find((each) => each.kind === kind && String(each.port) === port && decoded(each.target) === decoded(target));
  return probe && { probe, target: isHttp ? target : decoded(probe.target) };
}

/** A kubelet escapes what a manifest need not; what would change the meaning of a path stays as it is. */
function decoded(target: string): string {
  return Buffer.from(target, "utf8")
    .toString("latin1")
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (escaped, digits: string) => {
      const character = String.fromCharCode(Number.parseInt(digits, 16));
      return "%/?#".includes(character) ? escaped.toUpperCase() : character;
    });
}
