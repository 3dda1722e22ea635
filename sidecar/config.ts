/**
 * What a sidecar is told from outside: a pure function of the environment. Everything else comes from the control plane.
 * Ports default to Istio's; port 0 lets the kernel choose, and the `ready` line says what it chose.
 */
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
  trustDomain: pattern("COUNTERSIGN_TRUST_DOMAIN", "a trust domain such as prod.example", /^[a-z0-9._-]{1,255}$/),
  controlPlane: address("COUNTERSIGN_CONTROL_PLANE"),
  /** PEM file of the roots that may vouch for the control plane. */
  trustBundle: text("COUNTERSIGN_TRUST_BUNDLE", "the path of the trust bundle, a PEM file"),
  joinToken: secret("COUNTERSIGN_JOIN_TOKEN", "the join token of this workload"),
  outbound: listenOrInherit("COUNTERSIGN_OUTBOUND", "127.0.0.1:15001"),
  inbound: listenOrInherit("COUNTERSIGN_INBOUND", "0.0.0.0:15006"),
  /** How connections come to outbound and inbound without the application's knowledge; see sidecar/intercept. */
  intercept: withDefault(oneOf("COUNTERSIGN_INTERCEPT", interceptModes), "off"),
  /** As peers reach the inbound listener; by default as it is bound. */
  advertise: optional(address("COUNTERSIGN_ADVERTISE")),
  admin: listen("COUNTERSIGN_ADMIN", "127.0.0.1:15000"),
  metrics: listen("COUNTERSIGN_METRICS", "0.0.0.0:15020"),
  health: listen("COUNTERSIGN_HEALTH", "0.0.0.0:15021"),
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

/** Throws one ConfigError with every problem. */
export function readSidecarConfig(environment: Environment) {
  const config = readEnvironment(environment, variables);
  if (config.intercept === "tproxy" && !("fd" in config.inbound)) {
    throw new ConfigError([
      "COUNTERSIGN_INBOUND: expected fd:<number> of a transparent socket, because COUNTERSIGN_INTERCEPT is tproxy: start the sidecar by countersign intercept run",
    ]);
  }
  return { ...config, advertise: config.advertise ?? defaultAdvertise(config.inbound) };
}

/** A wildcard address is nothing that a peer could connect to, and a socket handed down is mostly bound to one. */
function defaultAdvertise(inbound: ListenTarget): Address | undefined {
  return "fd" in inbound || inbound.host === "0.0.0.0" || inbound.host === "::" ? undefined : { host: inbound.host, port: 0 };
}
