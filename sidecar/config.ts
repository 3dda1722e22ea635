/**
 * What a sidecar is told from outside: a pure function of the environment. Everything else comes from the control plane.
 * Ports default to Istio's; port 0 lets the kernel choose, and the `ready` line says what it chose.
 */
import { isIPv6 } from "node:net";
import {
  address,
  addressFromString,
  ConfigError,
  integer,
  listenTarget,
  oneOf,
  optional,
  pattern,
  readEnvironment,
  secret,
  text,
  withDefault,
  type Address,
  type Environment,
  type ListenTarget,
} from "../common/runtime/environment.ts";
import { logLevels } from "../common/runtime/logger.ts";
import { interceptModes } from "./intercept/original-destination.ts";
import { probeFromString, splitProbes, type Probe } from "./probes/probe-list.ts";

function standard(value: string): Address {
  const read = addressFromString(value);
  if (!read) throw new TypeError(`${value} is not an address`);
  return read;
}

function listen(name: string, value: string) {
  return withDefault(address(name), standard(value));
}

/** Of the listeners that calls come in by: a privileged launcher may have made their sockets (`countersign intercept run`). */
function listenOrInherit(name: string, value: string) {
  return withDefault<ListenTarget>(listenTarget(name), standard(value));
}

const variables = {
  trustDomain: optional(pattern("COUNTERSIGN_TRUST_DOMAIN", "a trust domain such as prod.example", /^[a-z0-9._-]{1,255}$/)),
  /** The same in a file, which a pod may get later than it is started. */
  trustDomainFile: optional(text("COUNTERSIGN_TRUST_DOMAIN_FILE", "the path of a file with the trust domain in it")),
  controlPlane: address("COUNTERSIGN_CONTROL_PLANE"),
  /** PEM file of the roots that may vouch for the control plane. */
  trustBundle: text("COUNTERSIGN_TRUST_BUNDLE", "the path of the trust bundle, a PEM file"),
  joinToken: optional(secret("COUNTERSIGN_JOIN_TOKEN", "the join token of this workload")),
  /** A projected service-account token; whoever rotates it replaces the file. */
  kubernetesTokenFile: optional(text("COUNTERSIGN_KUBERNETES_TOKEN_FILE", "the path of a projected service-account token")),
  outbound: listenOrInherit("COUNTERSIGN_OUTBOUND", "127.0.0.1:15001"),
  inbound: listenOrInherit("COUNTERSIGN_INBOUND", "0.0.0.0:15006"),
  /** How connections come to outbound and inbound without the application's knowledge; see sidecar/intercept. */
  intercept: withDefault(oneOf("COUNTERSIGN_INTERCEPT", interceptModes), "off"),
  /** As peers reach the inbound listener; by default as it is bound. */
  advertise: optional(address("COUNTERSIGN_ADVERTISE")),
  admin: listen("COUNTERSIGN_ADMIN", "127.0.0.1:15000"),
  metrics: listen("COUNTERSIGN_METRICS", "[::]:15020"),
  health: listen("COUNTERSIGN_HEALTH", "[::]:15021"),
  /** What the health listener asks of the application on the kubelet's behalf, and nothing else. */
  probes: optional(text("COUNTERSIGN_PROBES", "probes, such as http:8080/healthz,tcp:6379,grpc:50051")),
  /** Where the application listens, instead of 127.0.0.1 and its service's target port. */
  app: optional(address("COUNTERSIGN_APP")),
  /** Shows as the role session's name in every decision. */
  sessionName: optional(pattern("COUNTERSIGN_SESSION_NAME", "2 to 64 of A-Z a-z 0-9 _ + = , . @ -", /^[\w+=,.@-]{2,64}$/)),
  /** Bytes that this process may use; 0 for what its cgroup allows. */
  memoryLimit: withDefault(integer("COUNTERSIGN_MEMORY_LIMIT", { minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), 0),
  logLevel: withDefault(oneOf("COUNTERSIGN_LOG_LEVEL", logLevels), "info"),
  drainSeconds: withDefault(integer("COUNTERSIGN_DRAIN_SECONDS", { minimum: 0, maximum: 3600 }), 20),
};

export type SidecarConfig = ReturnType<typeof readSidecarConfig>;

/** Of each pair exactly one says it. */
const either = [
  ["COUNTERSIGN_TRUST_DOMAIN", "COUNTERSIGN_TRUST_DOMAIN_FILE"],
  ["COUNTERSIGN_JOIN_TOKEN", "COUNTERSIGN_KUBERNETES_TOKEN_FILE"],
] as const;

const probeForm = "expected http:<port></path>, https:<port></path>, tcp:<port> or grpc:<port>[/<service>]";

/**
 * Throws one ConfigError with every problem. `applicationHosts`: where the application may listen, the likeliest first; some listen on
 * the machine's address alone, or on loopback of one family.
 */
export function readSidecarConfig(environment: Environment) {
  const problems = either.flatMap((names) => {
    const given = names.filter((name) => environment[name]);
    if (given.length === 1) return [];
    return [`${names.join(" or ")}: expected one of the two, found ${given.length === 0 ? "neither" : "both"}`];
  });
  const listed = splitProbes(environment["COUNTERSIGN_PROBES"] ?? "").flatMap((entry): readonly Probe[] => {
    const probe = probeFromString(entry);
    if (!probe) problems.push(`COUNTERSIGN_PROBES: ${probeForm}, found ${JSON.stringify(entry)}`);
    return probe ? [probe] : [];
  });
  const config = readAll({ ...environment, COUNTERSIGN_ADVERTISE: bracketed(environment["COUNTERSIGN_ADVERTISE"]) }, problems);
  if (config.intercept === "tproxy" && !("fd" in config.inbound)) {
    problems.push(
      "COUNTERSIGN_INBOUND: expected fd:<number> of a transparent socket, because COUNTERSIGN_INTERCEPT is tproxy: start the sidecar by countersign intercept run",
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const { trustDomain, trustDomainFile, joinToken, kubernetesTokenFile, ...rest } = config;
  const advertise = config.advertise ?? defaultAdvertise(config.inbound);
  return {
    ...rest,
    probes: listed,
    advertise,
    applicationHosts: config.app ? [config.app.host] : [...new Set(["127.0.0.1", ...(advertise ? [advertise.host] : []), "::1"])],
    trustDomain: trustDomain === undefined ? { file: trustDomainFile ?? "" } : { name: trustDomain },
    proof: kubernetesTokenFile === undefined ? { joinToken: joinToken ?? "" } : { kubernetesTokenFile },
  };
}

function readAll(environment: Environment, problems: readonly string[]) {
  try {
    return readEnvironment(environment, variables);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError([...error.problems, ...problems]);
    throw error;
  }
}

/** `fd00::7:15006` is what a manifest makes of `$(POD_IP):15006`, which cannot know the family of the address. */
function bracketed(value: string | undefined): string | undefined {
  const [, host = "", port] = /^(.+):(\d+)$/.exec(value ?? "") ?? [];
  return isIPv6(host) ? `[${host}]:${port}` : value;
}

/** A wildcard address is nothing that a peer could connect to, and a socket handed down is mostly bound to one. */
function defaultAdvertise(inbound: ListenTarget): Address | undefined {
  return "fd" in inbound || inbound.host === "0.0.0.0" || inbound.host === "::" ? undefined : { host: inbound.host, port: 0 };
}
