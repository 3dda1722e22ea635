/** The control plane's own certificate: issued by its own authority, and replaced in place at half of its life. */
import { generateKeyPairSync } from "node:crypto";
import { createCsr } from "../../common/x509/csr.ts";
import { certificatesToPem } from "../../common/x509/pem.ts";
import { forControlPlane } from "../../common/spiffe/id.ts";
import type { TrustDomain } from "../../common/spiffe/trust-domain.ts";
import type { Authority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import type { ServerIdentity } from "./mesh-listener.ts";

export interface OwnIdentity extends ServerIdentity {
  /** Milliseconds since 1970: when to take a new one. */
  readonly renewAt: number;
}

/** A new key and a certificate for it. Throws CaError. */
export async function issueOwnIdentity(authority: Authority, trustDomain: TrustDomain, lifetimeSeconds: number): Promise<OwnIdentity> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const svid = await authority.issueSvid({ spiffeId: forControlPlane(trustDomain), key: checkCsr(createCsr(keys)), lifetimeSeconds });
  return {
    certificateChain: certificatesToPem(svid.chain),
    privateKey: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
    renewAt: ((svid.notBefore + svid.notAfter) / 2) * 1000,
  };
}
