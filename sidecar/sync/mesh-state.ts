/**
 * What the last snapshot says, made ready for use by both directions. One object, replaced as a whole: a request sees either
 * the old mesh or the new one, never a mixture.
 */
import type { MeshSettings, Snapshot } from "../../common/gen/mesh/v1/mesh.ts";
import { sessionKeysFromJwks, type SessionKeys } from "../../common/session/claims.ts";
import { trustDomainFromString, type TrustDomain } from "../../common/spiffe/trust-domain.ts";
import { createTrustBundle, type TrustBundle, type TrustBundles } from "../../common/x509/bundle.ts";
import { destinationsFromSnapshot, noDestinations, type Destinations } from "../outbound/destinations.ts";
import { createEgressCompiler, type EgressState } from "../outbound/egress/egress-state.ts";
import { createServedCompiler, type Served, type ServedOptions } from "../inbound/served.ts";
import type { IdentityRevocations } from "../tls/peer.ts";

export interface MeshState {
  readonly revision: number;
  readonly settings: MeshSettings;
  readonly bundles: TrustBundles;
  readonly sessionKeys: SessionKeys;
  readonly served: Served;
  readonly destinations: Destinations;
  readonly egress: EgressState;
  readonly revocations: IdentityRevocations;
  /** Epoch milliseconds at which it was applied. */
  readonly appliedAt: number;
}

export interface MeshStateHolder {
  /** Undefined before the first snapshot. */
  current(): MeshState | undefined;
  /** Throws for a snapshot that cannot be used; what was held stays. */
  apply(snapshot: Snapshot): MeshState;
  /** Resolves when the revision in force is at least `revision`, or after two seconds. */
  reached(revision: number): Promise<void>;
}

const reachTimeoutMs = 2000;

export function createMeshState(options: ServedOptions, now: () => number): MeshStateHolder {
  const compileServed = createServedCompiler(options);
  const compileEgress = createEgressCompiler(options.ownId);
  let state: MeshState | undefined;
  const waiting = new Set<{ readonly revision: number; readonly resolve: () => void }>();

  return {
    current: () => state,
    apply(snapshot) {
      const { mesh } = snapshot;
      if (!mesh) throw new TypeError("the snapshot has no settings");
      state = {
        revision: snapshot.revision,
        settings: mesh,
        bundles: bundlesFromSnapshot(snapshot),
        sessionKeys: sessionKeysFromJwks(snapshot.sessionJwks),
        served: compileServed(snapshot),
        destinations: destinationsFromSnapshot(snapshot, state?.destinations ?? noDestinations),
        egress: compileEgress(snapshot),
        revocations: revocationsFromSnapshot(snapshot),
        appliedAt: now(),
      };
      for (const each of waiting) if (each.revision <= state.revision) each.resolve();
      return state;
    },
    reached(revision) {
      if (state && state.revision >= revision) return Promise.resolve();
      return new Promise((resolve) => {
        const entry = {
          revision,
          resolve: () => {
            clearTimeout(timer);
            waiting.delete(entry);
            resolve();
          },
        };
        const timer = setTimeout(entry.resolve, reachTimeoutMs);
        waiting.add(entry);
      });
    },
  };
}

function bundlesFromSnapshot(snapshot: Snapshot): TrustBundles {
  const bundles = new Map<TrustDomain, TrustBundle>();
  for (const message of snapshot.bundles) {
    const trustDomain = trustDomainFromString(message.trustDomain);
    bundles.set(trustDomain, createTrustBundle(trustDomain, message.x509Authorities));
  }
  return bundles;
}

function revocationsFromSnapshot(snapshot: Snapshot): IdentityRevocations {
  const identities = snapshot.revocations?.identities ?? [];
  return {
    issuedBefore: new Map(
      identities.map((each) => [each.spiffeId, each.quarantined ? Number.POSITIVE_INFINITY : each.issuedBeforeSeconds]),
    ),
  };
}
