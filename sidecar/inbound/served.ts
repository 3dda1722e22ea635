/**
 * What this sidecar answers for, compiled from a snapshot: services by host name and by credential scope, roles by ARN.
 * Immutable; a new snapshot makes a new one. What did not change is taken over, so that a policy edit recompiles one policy.
 */
import { compilePolicies, type CompiledPolicies } from "../../common/policy/compile.ts";
import { createOperationRouter, type OperationRouter } from "../../common/policy/operations.ts";
import type { RolePermissions, ServedService as ServedServiceMessage, ServicePort, Snapshot } from "../../common/gen/mesh/v1/mesh.ts";
import type { Address } from "../../common/runtime/environment.ts";
import { modeFromString, policySourceFromJson } from "./policy-source.ts";
import { serviceProtocolFromString, type ServiceProtocol } from "../service-protocol.ts";
import { tierFromString, type Tier } from "./tier.ts";

export interface ServedService {
  /** `<name>.<namespace>`, the service of credential scopes. */
  readonly scope: string;
  readonly name: string;
  readonly namespace: string;
  /** SPIFFE id of this sidecar. */
  readonly ownId: string;
  /** What resource names of this service begin with. */
  readonly arnPrefix: string;
  readonly tier: Tier;
  /** False in audit mode: refusals of policy are recorded and let through. */
  readonly enforce: boolean;
  readonly allowEncodedSlashes: boolean;
  /** How signatures in the query are accepted; undefined where they are not. */
  readonly presigned: Presigned | undefined;
  readonly operations: OperationRouter;
  readonly resourcePolicy: CompiledPolicies | undefined;
  /** By the port that callers call. */
  readonly ports: ReadonlyMap<number, ServedPort>;
  /** The one meant by who names none. */
  readonly defaultPort: ServedPort;
  /** Virtual addresses by which callers reach it. */
  readonly addresses: readonly string[];
  /** Calls that the application is given at once; 0 for no limit. */
  readonly maxConcurrentRequests: number;
}

export interface ServedPort {
  /** As callers call it. */
  readonly port: number;
  /** Where the application listens. */
  readonly application: Address;
  readonly protocol: ServiceProtocol;
  /** Whether plaintext is accepted too. */
  readonly permissive: boolean;
}

export interface Presigned {
  readonly maxExpiresSeconds: number;
  /** Whether a workload other than the signer's may use the URL. */
  readonly anyBearer: boolean;
}

export interface RoleState {
  readonly policies: CompiledPolicies;
  readonly boundary: CompiledPolicies | undefined;
  readonly tags: ReadonlyMap<string, string>;
}

export interface Served {
  readonly revision: number;
  readonly byHost: ReadonlyMap<string, ServedService>;
  /** By `<name>.<namespace>`. */
  readonly byScope: ReadonlyMap<string, ServedService>;
  readonly roles: ReadonlyMap<string, RoleState>;
  /** Role ARN → epoch seconds before which its sessions are void. */
  readonly revokedRoles: ReadonlyMap<string, number>;
}

export interface ServedOptions {
  readonly ownId: string;
  /** Instead of 127.0.0.1 and the target port. */
  readonly application: Address | undefined;
}

/** Keeps compiled roles and services between snapshots, by the text they were compiled from. */
export function createServedCompiler(options: ServedOptions): (snapshot: Snapshot) => Served {
  let roleCache = new Map<string, RoleState>();
  let serviceCache = new Map<string, ServedService>();

  return (snapshot) => {
    const trustDomain = snapshot.mesh?.trustDomain ?? "";
    const nextRoles = new Map<string, RoleState>();
    const nextServices = new Map<string, ServedService>();

    const roles = new Map<string, RoleState>();
    for (const role of snapshot.roles) {
      const text = JSON.stringify(role);
      const compiled = roleCache.get(text) ?? compileRole(role);
      nextRoles.set(text, compiled);
      roles.set(role.roleArn, compiled);
    }

    const byHost = new Map<string, ServedService>();
    const byScope = new Map<string, ServedService>();
    for (const message of snapshot.served) {
      const text = JSON.stringify(message);
      const service = serviceCache.get(text) ?? compileService(message, trustDomain, options);
      nextServices.set(text, service);
      byScope.set(service.scope, service);
      for (const hostname of message.hostnames) byHost.set(hostname, service);
    }

    roleCache = nextRoles;
    serviceCache = nextServices;
    return {
      revision: snapshot.revision,
      byHost,
      byScope,
      roles,
      revokedRoles: new Map(snapshot.revocations?.roles.map((role) => [role.roleArn, role.issuedBeforeSeconds])),
    };
  };
}

function compileRole(role: RolePermissions): RoleState {
  const boundary = role.permissionsBoundary;
  return {
    policies: compilePolicies(
      role.policies.map(({ name, document, mode, statementIndexes }) =>
        policySourceFromJson(name, document, "identity", modeFromString(mode), statementIndexes),
      ),
    ),
    boundary: boundary ? compilePolicies([policySourceFromJson("permissions-boundary", boundary, "identity", "enforce")]) : undefined,
    tags: new Map(Object.entries(role.tags)),
  };
}

function compileService(message: ServedServiceMessage, trustDomain: string, options: ServedOptions): ServedService {
  const scope = `${message.name}.${message.namespace}`;
  const ports = message.ports.map((each, index) => servedPort(each, index === 0, options.application));
  const tier = tierFromString(message.tier);
  return {
    scope,
    name: message.name,
    namespace: message.namespace,
    ownId: options.ownId,
    arnPrefix: `arn:mesh:${message.name}:${trustDomain}:${message.namespace}:`,
    tier,
    enforce: modeFromString(message.enforcement) === "enforce",
    allowEncodedSlashes: message.allowEncodedSlashes,
    presigned: presignedOf(message, tier),
    operations: createOperationRouter(message.name, message.operations, { strict: message.strictOperations }),
    resourcePolicy: message.resourcePolicy
      ? compilePolicies([policySourceFromJson(`${scope}/resource-policy`, message.resourcePolicy, "resource", "enforce")])
      : undefined,
    ports: new Map(ports.map((each) => [each.port, each])),
    defaultPort: ports.find((each) => each.port === httpPort) ?? ports[0] ?? undeclaredPort(options.application),
    addresses: message.addresses,
    maxConcurrentRequests: message.maxConcurrentRequests,
  };
}

const httpPort = 80;
const loopback = "127.0.0.1";

/** An address given for the application is that of its first port; others are on the same host. */
function servedPort(message: ServicePort, first: boolean, given: Address | undefined): ServedPort {
  const { port, targetPort, permissive } = message;
  const application = first && given ? given : { host: given?.host ?? loopback, port: targetPort || port };
  return { port, application, protocol: serviceProtocolFromString(message.protocol), permissive };
}

/** Of a service that lists no ports. */
function undeclaredPort(given: Address | undefined): ServedPort {
  return { port: httpPort, application: given ?? { host: loopback, port: httpPort }, protocol: "auto", permissive: false };
}

/** The port that a call is for; undefined for one that the service does not have. */
export function portOf(service: ServedService, port: number | undefined): ServedPort | undefined {
  if (port === undefined || service.ports.size === 0) return service.defaultPort;
  return service.ports.get(port);
}

function presignedOf(message: ServedServiceMessage, tier: Tier): Presigned | undefined {
  if (message.presignedMaxExpiresSeconds === 0 || !tier.presigned) return undefined;
  return { maxExpiresSeconds: message.presignedMaxExpiresSeconds, anyBearer: message.presignedAnyBearer };
}
