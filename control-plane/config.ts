/** What a control plane is told from outside: a pure function of the environment. Everything else is resources. */
import { join } from "node:path";
import { address, oneOf, optional, pattern, readEnvironment, text, withDefault, integer } from "../common/runtime/environment.ts";
import type { Address, Environment } from "../common/runtime/environment.ts";
import { logLevels } from "../common/runtime/logger.ts";
import type { LogLevel } from "../common/runtime/logger.ts";

export interface ControlPlaneConfig {
  readonly dataFolder: string;
  readonly grpc: Address;
  readonly metrics: Address;
  readonly masterKeyFile: string;
  readonly adminSocket: string;
  /** Needed at the first start only; later it must agree with the Mesh. */
  readonly trustDomain: string | undefined;
  readonly logLevel: LogLevel;
  readonly drainMilliseconds: number;
  /** Whether pods prove themselves by their service-account tokens, and the cluster's Services are the mesh's. */
  readonly kubernetes: { readonly kubeconfig: string | undefined; readonly tokens: "review" | "offline" } | undefined;
}

const variables = {
  dataFolder: text("COUNTERSIGN_DATA", "a folder for what the control plane keeps"),
  grpc: withDefault(address("COUNTERSIGN_GRPC"), { host: "127.0.0.1", port: 15012 }),
  metrics: withDefault(address("COUNTERSIGN_METRICS"), { host: "127.0.0.1", port: 15014 }),
  masterKeyFile: optional(text("COUNTERSIGN_MASTER_KEY_FILE", "a file")),
  adminSocket: optional(text("COUNTERSIGN_ADMIN_SOCKET", "a path")),
  trustDomain: optional(
    pattern("COUNTERSIGN_TRUST_DOMAIN", "a trust domain such as prod.example", /^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$/),
  ),
  logLevel: withDefault(oneOf("COUNTERSIGN_LOG_LEVEL", logLevels), "info"),
  drainSeconds: withDefault(integer("COUNTERSIGN_DRAIN_SECONDS", { minimum: 0, maximum: 3600 }), 10),
  kubernetes: withDefault(oneOf("COUNTERSIGN_KUBERNETES", ["enabled", "off"]), "off"),
  kubernetesTokens: withDefault(oneOf("COUNTERSIGN_KUBERNETES_TOKENS", ["review", "offline"]), "review"),
  kubeconfig: optional(text("KUBECONFIG", "a kubeconfig file")),
};

/** Throws ConfigError with every problem. */
export function readControlPlaneConfig(environment: Environment): ControlPlaneConfig {
  const {
    drainSeconds,
    masterKeyFile,
    adminSocket,
    kubernetes,
    kubernetesTokens: tokens,
    kubeconfig,
    ...read
  } = readEnvironment(environment, variables);
  return {
    ...read,
    masterKeyFile: masterKeyFile ?? join(read.dataFolder, "master.key"),
    adminSocket: adminSocket ?? join(read.dataFolder, "admin.sock"),
    drainMilliseconds: drainSeconds * 1000,
    kubernetes: kubernetes === "enabled" ? { kubeconfig, tokens } : undefined,
  };
}
