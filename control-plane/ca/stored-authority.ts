/**
 * The authority's keys and certificates in the store. Certificates lie open, private keys sealed under the name they are kept by.
 *
 * | key | value |
 * | --- | --- |
 * | `ca/state` | which root and which issuer sign now |
 * | `ca/root/<n>`, `ca/issuer/<n>` | a certificate and its sealed key |
 *
 * Each change is one commit that expects the state it was made from: two starts at once, or a crash between any two steps, leave one
 * authority and never half of one.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { z } from "zod";
import type { TrustDomain } from "../../common/spiffe/trust-domain.ts";
import { checkAuthority } from "../../common/x509/ca-profile.ts";
import { X509ProfileError } from "../../common/x509/error.ts";
import { verifySignature } from "../../common/x509/signature-algorithm.ts";
import { StoreError } from "../store/error.ts";
import type { Sealer } from "../store/sealed.ts";
import type { Operation, Store } from "../store/store.ts";
import { createSigningAuthority } from "./authority-certificate.ts";
import type { SigningAuthority } from "./authority-certificate.ts";
import { CaError } from "./error.ts";

/** What signs now. */
export interface AuthorityKeys {
  readonly root: SigningAuthority;
  readonly issuer: SigningAuthority;
  /** DER of every root that the bundle holds. */
  readonly roots: readonly Buffer[];
}

export interface AuthorityPlace {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly trustDomain: TrustDomain;
}

const DAY_SECONDS = 86_400;
const ROOT_LIFETIME_SECONDS = 3652 * DAY_SECONDS;
const ISSUER_LIFETIME_SECONDS = 90 * DAY_SECONDS;
/** An issuer with less than this left is replaced, long before its end shortens a leaf. */
const ISSUER_RENEWAL_SECONDS = 30 * DAY_SECONDS;
/** Authorities start in the past, for peers whose clocks are behind. */
const BACK_DATE_SECONDS = 3600;

const STATE_KEY = "ca/state";
const ROOT_PREFIX = "ca/root/";
const stateForm = z.object({ version: z.literal(1), trustDomain: z.string(), root: z.int().positive(), issuer: z.int().positive() });
const recordForm = z.object({ version: z.literal(1), certificate: z.base64(), sealedKey: z.base64() });
type State = z.infer<typeof stateForm>;

const rootKey = (number: number) => `${ROOT_PREFIX}${number}`;
const issuerKey = (number: number) => `ca/issuer/${number}`;

function parse<T>(form: z.ZodType<T>, key: string, value: Uint8Array | undefined): T {
  try {
    return form.parse(JSON.parse(Buffer.from(value ?? []).toString("utf8")));
  } catch (error) {
    throw new CaError("authority-corrupt", `what the store keeps as ${key} is not what the authority wrote there`, { cause: error });
  }
}

function put(key: string, value: object, expectRevision: number): Operation {
  return { kind: "put", key, value: Buffer.from(JSON.stringify(value)), expectRevision };
}

function putAuthority({ sealer }: AuthorityPlace, key: string, { certificate, privateKey }: SigningAuthority): Operation {
  const sealedKey = sealer.seal(key, privateKey.export({ format: "der", type: "pkcs8" }));
  return put(key, { version: 1, certificate: certificate.der.toString("base64"), sealedKey: sealedKey.toString("base64") }, 0);
}

/** Names who was found broken; StoreError `wrong-master-key` and `sealed-malformed` pass as they are. */
async function readAuthority({ store, sealer, trustDomain }: AuthorityPlace, key: string): Promise<SigningAuthority> {
  const record = parse(recordForm, key, (await store.get(key))?.value);
  const pkcs8 = sealer.unseal(key, Buffer.from(record.sealedKey, "base64"));
  try {
    const certificate = checkAuthority(Buffer.from(record.certificate, "base64"), trustDomain);
    const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    if (createPublicKey(privateKey).equals(certificate.key)) return { certificate, privateKey };
  } catch (error) {
    if (!(error instanceof X509ProfileError)) throw error;
    throw new CaError("authority-corrupt", `the certificate kept as ${key} is refused: ${error.message}`, { cause: error });
  }
  throw new CaError("authority-corrupt", `the key kept as ${key} is not that of its certificate`);
}

function createIssuer(trustDomain: TrustDomain, root: SigningAuthority, now: number): SigningAuthority {
  const notAfter = Math.min(now + ISSUER_LIFETIME_SECONDS, root.certificate.notAfter);
  const notBefore = Math.max(now - BACK_DATE_SECONDS, root.certificate.notBefore);
  return createSigningAuthority({ trustDomain, name: "Issuer", notBefore, notAfter, pathLength: 0, issuer: root });
}

async function createFirst(place: AuthorityPlace, now: number): Promise<void> {
  const { store, trustDomain } = place;
  const [notBefore, notAfter] = [now - BACK_DATE_SECONDS, now + ROOT_LIFETIME_SECONDS];
  const root = createSigningAuthority({ trustDomain, name: "Root", notBefore, notAfter, pathLength: 1 });
  const state: State = { version: 1, trustDomain, root: 1, issuer: 1 };
  await store.commit([
    put(STATE_KEY, state, 0),
    putAuthority(place, rootKey(1), root),
    putAuthority(place, issuerKey(1), createIssuer(trustDomain, root, now)),
  ]);
}

async function readAll(place: AuthorityPlace, state: State): Promise<AuthorityKeys> {
  const [root, issuer] = [await readAuthority(place, rootKey(state.root)), await readAuthority(place, issuerKey(state.issuer))];
  const { signatureAlgorithm, signed, signature } = issuer.certificate;
  if (!verifySignature(signatureAlgorithm, signed, signature, root.certificate.key, root.certificate.keyKind)) {
    throw new CaError("authority-corrupt", "the issuer kept in the store is not signed by the root kept there");
  }
  const { entries } = await place.store.list(ROOT_PREFIX);
  const roots = entries.map(({ key, value }) => Buffer.from(parse(recordForm, key, value).certificate, "base64"));
  return { root, issuer, roots };
}

/** Runs a commit that another process may have made first: that one counts then. */
async function unlessOvertaken(commit: Promise<unknown>): Promise<void> {
  try {
    await commit;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "conflict") throw error;
  }
}

/**
 * The authority that the store keeps. Made first where there is none, its issuer replaced where it nears its end. `now` in seconds since 1970.
 * Throws CaError `trust-domain-changed`, `authority-corrupt`, `authority-expired` (the root), and what the store and the sealer throw.
 */
export async function openAuthorityKeys(place: AuthorityPlace, now: number): Promise<AuthorityKeys> {
  const { store, trustDomain } = place;
  if ((await store.get(STATE_KEY)) === undefined) await unlessOvertaken(createFirst(place, now));
  const entry = await store.get(STATE_KEY);
  const state = parse(stateForm, STATE_KEY, entry?.value);
  if (state.trustDomain !== trustDomain) {
    throw new CaError("trust-domain-changed", `the store's authority is that of trust domain ${state.trustDomain}, not of ${trustDomain}`);
  }
  const keys = await readAll(place, state);
  if (now > keys.root.certificate.notAfter) throw new CaError("authority-expired", "the root certificate has expired");
  const issuerEnd = keys.issuer.certificate.notAfter;
  if (issuerEnd - now >= ISSUER_RENEWAL_SECONDS || issuerEnd === keys.root.certificate.notAfter) return keys;
  const issuer = state.issuer + 1;
  await unlessOvertaken(
    store.commit([
      put(STATE_KEY, { ...state, issuer }, entry!.revision),
      putAuthority(place, issuerKey(issuer), createIssuer(trustDomain, keys.root, now)),
    ]),
  );
  return readAll(place, parse(stateForm, STATE_KEY, (await store.get(STATE_KEY))?.value));
}
