/**
 * The mesh's certificate authority: a root of its own, an issuer under it, and short-lived X509-SVIDs under that.
 *
 * It certifies whatever id it is asked to: that the caller is entitled to it is attestation's business. What it guarantees is that every
 * certificate is the profile's, was read back and verified by a reader that shares nothing with the writer, and was recorded before it left.
 */
import type { SpiffeId } from "../../common/spiffe/id.ts";
import { trustDomainOf } from "../../common/spiffe/id.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { createTrustBundle } from "../../common/x509/bundle.ts";
import type { TrustBundle } from "../../common/x509/bundle.ts";
import { readCertificate } from "../../common/x509/certificate.ts";
import { verifySignature } from "../../common/x509/signature-algorithm.ts";
import { BACK_DATE_SECONDS, checkLeafProfile } from "../../common/x509/svid-profile.ts";
import type { ProvenKey } from "./csr.ts";
import { CaError } from "./error.ts";
import { createLeafTemplate } from "./leaf-template.ts";
import type { LeafContents, SignLeaf } from "./leaf-template.ts";
import { createSerial } from "./serial.ts";
import { openAuthorityKeys } from "./stored-authority.ts";
import type { AuthorityKeys, AuthorityPlace } from "./stored-authority.ts";

export interface SvidRequest {
  readonly spiffeId: SpiffeId;
  /** What `checkCsr` returned: the authority proves possession of nothing itself. */
  readonly key: ProvenKey;
  /** Brought within 5 minutes and 24 hours, and before the issuer's end. */
  readonly lifetimeSeconds: number;
}

export interface IssuedSvid {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, the root left out. */
  readonly chain: readonly Buffer[];
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** Seconds since 1970, a minute before it was issued. */
  readonly notBefore: number;
  /** Seconds since 1970. */
  readonly notAfter: number;
}

export interface Authority {
  /**
   * A certificate for `spiffeId` and that key, each key once. Throws CaError `foreign-trust-domain`, `key-reused`, `authority-expired`,
   * `not-recorded`, and `self-check-failed`, which is a bug.
   */
  readonly issueSvid: (request: SvidRequest) => Promise<IssuedSvid>;
  /** The roots that peers verify by. */
  readonly bundle: () => TrustBundle;
  /** Replaces an issuer that nears its end, or takes over one that another replica made. To be called every few hours. */
  readonly maintain: () => Promise<void>;
}

export interface AuthorityOptions extends AuthorityPlace {
  readonly clock: Pick<Clock, "now">;
  /** Keeps the record of an issuance. The certificate leaves only when it has resolved. */
  readonly onIssue: (svid: IssuedSvid) => Promise<void>;
}

export const MINIMUM_LIFETIME_SECONDS = 300;
export const MAXIMUM_LIFETIME_SECONDS = 86_400;
/** The keys certified last, so that none is certified twice: some hours of a large mesh. */
const REMEMBERED_KEYS = 65_536;

interface Issuing {
  readonly keys: AuthorityKeys;
  readonly signLeaf: SignLeaf;
  readonly bundle: TrustBundle;
}

async function openIssuing(options: AuthorityOptions): Promise<Issuing> {
  const keys = await openAuthorityKeys(options, Math.floor(options.clock.now() / 1000));
  return { keys, signLeaf: createLeafTemplate(keys.issuer), bundle: createTrustBundle(options.trustDomain, keys.roots) };
}

/** Reads back what was signed, as any peer would, and holds it to what was asked for. */
function checkOwnWork(der: Buffer, asked: LeafContents, { certificate: issuer }: AuthorityKeys["issuer"]): string {
  try {
    const certificate = readCertificate(der);
    const leaf = checkLeafProfile(certificate);
    const same =
      leaf.spiffeId === asked.spiffeId &&
      leaf.publicKey.equals(asked.publicKey) &&
      leaf.serial === asked.serial.toString("hex") &&
      leaf.notBefore === asked.notBefore &&
      leaf.notAfter === asked.notAfter &&
      leaf.ski === asked.keyIdentifier.toString("hex") &&
      leaf.aki === issuer.ski &&
      leaf.notBefore >= issuer.notBefore &&
      leaf.notAfter <= issuer.notAfter &&
      certificate.issuer.equals(issuer.subject);
    const { signatureAlgorithm, signed, signature } = certificate;
    if (same && verifySignature(signatureAlgorithm, signed, signature, issuer.key, issuer.keyKind)) return leaf.serial;
  } catch (error) {
    throw new CaError("self-check-failed", "a certificate signed here is not of the profile", { cause: error });
  }
  throw new CaError("self-check-failed", "a certificate signed here is not what was asked for");
}

/** Throws what `openAuthorityKeys` throws. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const { trustDomain, clock, onIssue } = options;
  let issuing = await openIssuing(options);
  const certified = new Set<string>();

  const rememberKey = (identifier: string): void => {
    if (certified.has(identifier)) throw new CaError("key-reused", "the key was certified before: every certificate gets a new one");
    certified.add(identifier);
    if (certified.size <= REMEMBERED_KEYS) return;
    for (const oldest of certified) {
      certified.delete(oldest);
      break;
    }
  };

  const record = async (svid: IssuedSvid): Promise<void> => {
    try {
      await onIssue(svid);
    } catch (error) {
      throw new CaError("not-recorded", "the issuance could not be recorded", { cause: error });
    }
  };

  return {
    async issueSvid({ spiffeId, key, lifetimeSeconds }) {
      if (trustDomainOf(spiffeId) !== trustDomain) {
        throw new CaError("foreign-trust-domain", `${spiffeId} is not of trust domain ${trustDomain}`);
      }
      const { keys, signLeaf } = issuing;
      const issuer = keys.issuer.certificate;
      const now = Math.floor(clock.now() / 1000);
      const lifetime = Math.min(Math.max(lifetimeSeconds, MINIMUM_LIFETIME_SECONDS), MAXIMUM_LIFETIME_SECONDS);
      const notBefore = now - BACK_DATE_SECONDS;
      const notAfter = Math.min(now + lifetime, issuer.notAfter);
      if (notAfter - now < MINIMUM_LIFETIME_SECONDS || notBefore < issuer.notBefore) {
        throw new CaError("authority-expired", "the issuer is not valid for as long as the shortest certificate");
      }
      const { publicKey, identifier: keyIdentifier } = key;
      const rememberedAs = keyIdentifier.toString("latin1");
      rememberKey(rememberedAs);
      try {
        const contents = { spiffeId, serial: createSerial(), notBefore, notAfter, publicKey, keyIdentifier };
        const leaf = signLeaf(contents);
        const serial = checkOwnWork(leaf, contents, keys.issuer);
        const svid = { spiffeId, chain: [leaf, issuer.der], serial, notBefore, notAfter };
        await record(svid);
        return svid;
      } catch (error) {
        certified.delete(rememberedAs);
        throw error;
      }
    },
    bundle: () => issuing.bundle,
    async maintain() {
      issuing = await openIssuing(options);
    },
  };
}
