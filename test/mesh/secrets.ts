/** What only a control plane holds, taken out of its store, so that a test can make what no attacker should be able to. */
import { join } from "node:path";
import { createPublicKey, createSecretKey } from "node:crypto";
import { SignJWT } from "jose";
import { systemClock } from "../../common/runtime/clock.ts";
import { sessionAudience, sessionTokenType } from "../../common/session/claims.ts";
import { trustDomainFromString } from "../../common/spiffe/trust-domain.ts";
import { openAuthorityKeys, type AuthorityKeys } from "../../control-plane/ca/stored-authority.ts";
import { runControlPlane } from "../../control-plane/main.ts";
import { openSealer } from "../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../control-plane/store/sqlite-store.ts";
import { createAccessKeyId, secretAccessKeyOf } from "../../control-plane/sts/access-key.ts";
import { createEpochs, epochPrefix, type Epoch } from "../../control-plane/sts/epochs.ts";
import { temporaryFolder, trustDomain } from "./harness.ts";

export interface PlaneSecrets {
  /** With a control plane's data, to be started on. */
  readonly folder: string;
  readonly authority: AuthorityKeys;
  readonly epoch: Epoch;
}

/** Lets a control plane begin its data in a folder, ends it and opens what it sealed. */
export async function createPlaneWithSecrets(): Promise<PlaneSecrets> {
  const folder = temporaryFolder();
  const controller = new AbortController();
  await runControlPlane(
    {
      COUNTERSIGN_DATA: folder,
      COUNTERSIGN_TRUST_DOMAIN: trustDomain,
      COUNTERSIGN_GRPC: "127.0.0.1:0",
      COUNTERSIGN_METRICS: "127.0.0.1:0",
      COUNTERSIGN_LOG_LEVEL: "silent",
    },
    controller.signal,
    { onReady: () => controller.abort(new Error("that is all")) },
  );
  const store = openSqliteStore({ path: join(folder, "countersign.db") });
  try {
    const sealer = await openSealer(store, join(folder, "master.key"));
    const now = systemClock.now();
    const { entries } = await store.list(epochPrefix);
    return {
      folder,
      authority: await openAuthorityKeys({ store, sealer, trustDomain: trustDomainFromString(trustDomain) }, Math.floor(now / 1000)),
      epoch: createEpochs(store, sealer).signing(new Map(entries.map((entry) => [entry.key, entry])), now),
    };
  } finally {
    await store.close();
  }
}

export interface ForgedSession {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface Forgery {
  /** In place of the good claims; undefined leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** `none`: no signature; `public`: HMAC with the public key, as a confused verifier would check it. */
  readonly signedBy?: "epoch" | "none" | "public";
}

/** A session that is good but for what the forgery changes. Its secret is the true one: only the token can give it away. */
export async function forgeSession(epoch: Epoch, identity: string, role: string, forgery: Forgery = {}): Promise<ForgedSession> {
  const accessKeyId = createAccessKeyId(epoch.day);
  const now = Math.floor(Date.now() / 1000);
  const claims = Object.fromEntries(
    Object.entries({
      iss: trustDomain,
      aud: sessionAudience(trustDomain),
      sub: role,
      jti: accessKeyId,
      iat: now - 10,
      exp: now + 900,
      ssn: "forged",
      cnf: { spiffe: identity },
      att: "join-token",
      ...forgery.claims,
    }).filter(([, value]) => value !== undefined),
  );
  const header = { alg: "ES256", typ: sessionTokenType, kid: epoch.keyId, ...forgery.header };
  const encoded = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  let sessionToken: string;
  if (forgery.signedBy === "none") sessionToken = `${encoded({ ...header, alg: "none" })}.${encoded(claims)}.`;
  else if (forgery.signedBy === "public") {
    const pem = createPublicKey(epoch.signingKey).export({ format: "pem", type: "spki" });
    sessionToken = await new SignJWT(claims).setProtectedHeader({ ...header, alg: "HS256" }).sign(createSecretKey(Buffer.from(pem)));
  } else sessionToken = await new SignJWT(claims).setProtectedHeader(header).sign(epoch.signingKey);
  return { accessKeyId, secretAccessKey: secretAccessKeyOf(accessKeyId, epoch.secretKey), sessionToken };
}
