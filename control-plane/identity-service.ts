/** IdentityService: attests callers and has the authority certify their keys. */
import type { IdentityServiceServer, IssueSvidRequest } from "../common/gen/mesh/v1/identity.ts";
import type { AttestationContext, Attestors } from "./attestation/attestor.ts";
import type { Authority } from "./ca/authority.ts";
import { checkCsr } from "./ca/csr.ts";
import type { ProvenKey } from "./ca/csr.ts";
import { CaError } from "./ca/error.ts";
import type { MeshView } from "./resources/mesh-view.ts";
import { addressOfCall, checkNotQuarantined, checkNotRevoked } from "./server/peer.ts";
import type { PeerRegister } from "./server/peer.ts";
import { RequestError } from "./server/request-error.ts";
import { unary } from "./server/unary.ts";
import type { CallReport } from "./server/unary.ts";
import type { SpiffeId } from "../common/spiffe/id.ts";

const callerFaults = new Set([
  "csr-too-large",
  "csr-malformed",
  "csr-algorithm",
  "csr-key",
  "csr-signature",
  "csr-asks-for-authority",
  "key-reused",
]);

export function createIdentityService(options: {
  readonly authority: Authority;
  readonly attestors: Attestors;
  readonly view: MeshView;
  readonly peers: PeerRegister;
  readonly report: CallReport;
}): IdentityServiceServer {
  const { authority, attestors, view, peers, report } = options;

  async function attest(proof: IssueSvidRequest["proof"], context: AttestationContext): Promise<{ spiffeId: SpiffeId; method: string }> {
    if (proof?.$case === "joinToken") {
      return { spiffeId: await attestors.joinToken.attest(proof.value, context), method: attestors.joinToken.method };
    }
    if (proof?.$case === "svid") return { spiffeId: await attestors.svid.attest(proof.value, context), method: attestors.svid.method };
    if (proof?.$case === "kubernetes") {
      return { spiffeId: await attestors.kubernetes.attest(proof.value, context), method: attestors.kubernetes.method };
    }
    throw new RequestError("invalid-argument", "no-proof", "a proof of identity is needed");
  }

  return {
    issueSvid: unary("IssueSvid", report, async ({ csr, proof, lifetimeSeconds }, origin) => {
      const state = view.current();
      const peer = peers.peerOf(origin);
      if (peer !== undefined) checkNotRevoked(peer.leaf, state);
      // Before the proof is looked at, so that a request that cannot succeed does not use up a join token.
      const key = checkedKey(csr);
      const { spiffeId, method } = await attest(proof, { state, peer, address: addressOfCall(origin) });
      report.logger.info({ event: "attested", spiffeId, method, peer: origin.getPeer() }, "identity proven");
      checkNotQuarantined(spiffeId, state);
      const limit = state.mesh.spec.svidLifetimeSeconds;
      const svid = await callerError(
        authority.issueSvid({ spiffeId, key, lifetimeSeconds: lifetimeSeconds === 0 ? limit : Math.min(lifetimeSeconds, limit) }),
      );
      report.metrics.issuances.inc({ method });
      return { spiffeId, certificateChain: [...svid.chain], expiresAtSeconds: svid.notAfter, bundles: [state.bundle] };
    }),
  };
}

function checkedKey(csr: Buffer): ProvenKey {
  try {
    return checkCsr(csr);
  } catch (error) {
    throw asRequestError(error);
  }
}

async function callerError<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asRequestError(error);
  }
}

function asRequestError(error: unknown): unknown {
  if (!(error instanceof CaError) || !callerFaults.has(error.code)) return error;
  return new RequestError("invalid-argument", error.code, error.message, { cause: error });
}
