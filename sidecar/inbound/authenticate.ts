/**
 * Step two of an inbound call: whose request is this? The signature, its date and scope, the replay window, and the
 * binding of the session to the workload at the other end of the TLS connection.
 *
 * Guarantees for what it lets pass: method, path, query, host and signed headers are what the holder of the session's
 * secret signed for this service within the skew; the session belongs to the TLS peer; the same request has not been seen.
 * A signature in the query, where the service takes one, holds for its own life instead, and any number of times; and
 * where the service says so, another workload may bear it: then the session is still the signer's, whose permissions count.
 * The body is bound by its declared hash, which `bodyMatches` checks once the body is whole; or, streamed, by the signatures
 * of its chunks, which a chunk reader made from `stream` checks as they come.
 * Does not decide whether the caller may (authorize.ts).
 */
import { hash, type KeyObject } from "node:crypto";
import { createField, FieldKind, findField, type Field } from "../../common/http/field.ts";
import type { Session } from "../../common/session/claims.ts";
import { hasQueryAuthentication } from "../../common/sigv4/canonical-query.ts";
import type { SignableRequest } from "../../common/sigv4/canonical-request.ts";
import type { ChunkChainOptions } from "../../common/sigv4/chunk-signature.ts";
import { SigV4Error, type SigV4ErrorCode } from "../../common/sigv4/error.ts";
import type { HeaderOrder } from "../../common/sigv4/header-order.ts";
import { emptyPayload, emptyPayloadHash, parsePayloadHash, type PayloadHash } from "../../common/sigv4/payload-hash.ts";
import { checkScope } from "../../common/sigv4/scope.ts";
import { parseStreamDeclaration, type StreamDeclaration } from "../../common/sigv4/stream-declaration.ts";
import { verifyRequest } from "../../common/sigv4/verify.ts";
import { collectedBytes, noBody } from "../body.ts";
import type { Exchange } from "./exchange.ts";
import type { Reason, Refusal } from "../reason.ts";
import { parseSequence, type ReplayGuard, type SignatureCache } from "./replay-window.ts";
import type { Served, ServedService } from "./served.ts";
import type { SessionKey } from "./sessions.ts";
import { readPresignature, readSignature, valueAt, type Signature, type SignatureTime } from "./signature.ts";

/** What is known of the sender once a request is authenticated. */
export interface Authentication {
  /** Undefined for a call that a `basic` service takes on its mTLS identity alone. */
  readonly session: Session | undefined;
  readonly payload: PayloadHash;
  /** Of a streamed body: what its chunks have to be verified by (chunk-reader.ts). */
  readonly stream: SignedStream | undefined;
  /** Names of the fields that the signature covers: no other may be believed. */
  readonly signed: ReadonlySet<string>;
  /** `instance:n` of the caller's sidecar, or empty. */
  readonly sequence: string;
  /** Seconds from the request's date to now. */
  readonly signatureAge: number;
}

export type SignedStream = ChunkChainOptions & StreamDeclaration;

export type AuthenticationOutcome =
  | { readonly kind: "authenticated"; readonly authentication: Authentication }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** The signature covers a body whose hash no header says: call again once it is whole. */
  | { readonly kind: "needs-body" }
  /** The session has to be resolved first; then call again with what came of it. */
  | { readonly kind: "unresolved"; readonly token: string; readonly scopeService: string; readonly date: string };

/** `resolved` is the session's key when it was just resolved; otherwise it is looked up. */
export type Authenticator = (
  exchange: Exchange,
  service: ServedService,
  served: Served,
  resolved: SessionKey | undefined,
) => AuthenticationOutcome;

export interface AuthenticatorOptions {
  /** This sidecar's instance: the audience to expect. */
  readonly instance: string;
  readonly region: () => string;
  readonly maxSkewSeconds: () => number;
  readonly lookup: (token: string, scopeService: string, date: string) => SessionKey | undefined;
  readonly replay: ReplayGuard;
  readonly signatures: SignatureCache;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

const reasonOf: Readonly<Record<SigV4ErrorCode, Reason>> = {
  "missing-authorization": "missing-signature",
  "malformed-authorization": "malformed-signature",
  "unsupported-algorithm": "unsupported-algorithm",
  "wrong-scope": "wrong-scope",
  "scope-date-mismatch": "wrong-scope",
  "missing-date": "malformed-signature",
  "malformed-date": "malformed-signature",
  "request-expired": "request-expired",
  "request-in-future": "request-in-future",
  "missing-signed-header": "unsigned-header",
  "unsigned-amz-header": "unsigned-header",
  "duplicate-header": "malformed-signature",
  "malformed-query": "malformed-target",
  "malformed-payload-hash": "malformed-signature",
  "unsupported-payload-mode": "unsigned-payload",
  "signature-mismatch": "signature-mismatch",
  "malformed-stream-header": "malformed",
  "malformed-chunk": "malformed",
  "chunk-too-large": "body-too-large",
  "chunk-signature-mismatch": "body-mismatch",
  "decoded-length-mismatch": "body-mismatch",
  "stream-truncated": "body-mismatch",
};

const nothingSigned: ReadonlySet<string> = new Set();
/** Nothing is known of the sender but what the connection says. */
export const unsignedCall: Authentication = {
  session: undefined,
  payload: { mode: "unsigned", value: "UNSIGNED-PAYLOAD" },
  stream: undefined,
  signed: nothingSigned,
  sequence: "",
  signatureAge: 0,
};

const refuse = (reason: Reason, detail: string): AuthenticationOutcome => ({ kind: "refused", refusal: { reason, detail } });

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  /** Callers repeat their authority: the last field made of one, and what of. */
  let lastHost: Field = createField("host", "");

  function hostField(authority: string): Field {
    if (lastHost.value !== authority) lastHost = createField("host", authority);
    return lastHost;
  }

  function judge(
    exchange: Exchange,
    service: ServedService,
    served: Served,
    signature: Signature,
    nowSeconds: number,
    resolved: SessionKey | undefined,
  ): AuthenticationOutcome {
    const { head } = exchange;
    const { fields } = head;
    const { authorization, order, token } = signature;
    const { claim } = authorization;
    checkScope(claim.scope, options.region(), service.scope);

    if (token === "") return refuse("malformed-signature", "a signature without a session token");
    const sessionKey = resolved ?? options.lookup(token, service.scope, claim.scope.date);
    if (!sessionKey) return { kind: "unresolved", token, scopeService: service.scope, date: claim.scope.date };
    const { session } = sessionKey;

    if (session.accessKeyId !== claim.accessKeyId) return refuse("session-invalid", "the access key id is not the session's");
    if (session.expiresAtSeconds <= nowSeconds) return refuse("session-expired", "the session has expired");
    if (nowSeconds - session.issuedAtSeconds > service.tier.maxSessionSeconds) {
      return refuse("session-expired", `the session is older than tier ${service.tier.name} allows`);
    }
    if (session.issuedAtSeconds < (served.revokedRoles.get(session.roleArn) ?? 0)) {
      return refuse("session-revoked", "sessions of the role from that time are revoked");
    }
    const borne = session.spiffeId !== exchange.peer.spiffeId;
    if (borne && !(signature.presigned && service.presigned?.anyBearer === true)) {
      return refuse("identity-mismatch", `the session belongs to ${session.spiffeId}, not to ${exchange.peer.spiffeId}`);
    }

    const declared = signature.contentSha256;
    const hasBody = head.contentLength !== 0 && !exchange.tunnel;
    if (declared === "" && hasBody && !exchange.bodyEnded) return { kind: "needs-body" };
    const payload =
      declared === ""
        ? payloadOf(hasBody ? collectedBytes(exchange.body) : noBody)
        : declaredPayload(declared, service, signature.presigned);
    if (!payload) return refuse("unsigned-payload", `tier ${service.tier.name} takes no unsigned body`);
    const request: SignableRequest = {
      method: head.method,
      path: exchange.path,
      query: signature.signedQuery,
      host: hostField(head.authority),
      fields,
      payloadHash: payload.value,
    };
    verifyRequest(request, authorization, sessionKey.key, order, signature.amzDate);
    const stream = payload.mode === "streamed" ? signedStream(payload, fields, signature, sessionKey.key) : undefined;

    const replayed = checkReplay(order, fields, sessionKey.id, service, authorization.signature, signature.date, nowSeconds);
    if (replayed) return { kind: "refused", refusal: replayed };
    // Neither policies nor the application are concerned with what was the signature's.
    if (signature.presigned) exchange.query = signature.applicationQuery;
    return {
      kind: "authenticated",
      authentication: {
        // What is kept by session is kept for one peer: another one that bears it gets a session of its own.
        session: borne ? { ...session } : session,
        payload,
        stream,
        signed: claim.signedNames,
        sequence: valueAt(fields, order.sequence),
        signatureAge: nowSeconds - signature.date,
      },
    };
  }

  /** Only a request whose signature held gets here: nobody else can fill or move a window. */
  function checkReplay(
    order: HeaderOrder,
    fields: readonly Field[],
    session: string,
    service: ServedService,
    signature: string,
    date: number,
    now: number,
  ): Refusal | undefined {
    const audience = valueAt(fields, order.audience);
    if (audience !== "" && audience !== options.instance) {
      return { reason: "wrong-audience", detail: `signed for instance ${audience}` };
    }
    if (service.tier.replay === "none") return undefined;
    const sequenceText = valueAt(fields, order.sequence);
    if (sequenceText !== "") {
      // Without an audience the same bytes would pass at every replica once.
      if (audience === "") return { reason: "wrong-audience", detail: "a sequence without an audience" };
      const sequence = parseSequence(sequenceText);
      if (!sequence) return { reason: "malformed-signature", detail: "x-countersign-sequence is not instance:number" };
      const verdict = options.replay.admit(session, sequence, date, now);
      if (verdict === "replayed") return { reason: "replayed", detail: `sequence ${sequenceText} was seen` };
      if (verdict === "full") return { reason: "replay-memory-full", detail: "too many callers to remember" };
      return undefined;
    }
    if (service.tier.replay !== "foreign") return undefined;
    const verdict = options.signatures.admit(signature, date, now);
    if (verdict === "replayed") return { reason: "replayed", detail: "the signature was seen" };
    if (verdict === "full") return { reason: "replay-memory-full", detail: "too many signatures to remember" };
    return undefined;
  }

  /** The signature that is to be judged; undefined for a call that a `basic` service takes without. */
  function find(exchange: Exchange, service: ServedService, time: SignatureTime): Signature | Refusal | undefined {
    const { head, query } = exchange;
    const authorization = head.kinds & FieldKind.AUTHORIZATION ? findField(head.fields, "authorization") : undefined;
    if (hasQueryAuthentication(query)) {
      if (authorization) return { reason: "duplicate-signature", detail: "an Authorization beside a signature in the query" };
      if (!service.presigned) return { reason: "missing-signature", detail: "signatures in the query are not accepted here" };
      return readPresignature(query, head.fields, service.presigned, time);
    }
    if (!authorization || (!service.tier.signatureRequired && !authorization.value.startsWith("AWS4-"))) {
      return service.tier.signatureRequired ? { reason: "missing-signature", detail: "no Authorization" } : undefined;
    }
    for (const field of head.fields) {
      if (field.kinds & FieldKind.AUTHORIZATION && field !== authorization) {
        return { reason: "duplicate-signature", detail: "more than one Authorization" };
      }
    }
    return readSignature(authorization.value, head.fields, query, time);
  }

  return (exchange, service, served, resolved) => {
    const nowSeconds = Math.floor(options.now() / 1000);
    try {
      const signature = find(exchange, service, { nowSeconds, skewSeconds: options.maxSkewSeconds() });
      if (!signature) return { kind: "authenticated", authentication: unsignedCall };
      if ("reason" in signature) return { kind: "refused", refusal: signature };
      return judge(exchange, service, served, signature, nowSeconds, resolved);
    } catch (error) {
      if (error instanceof SigV4Error) return { kind: "refused", refusal: signatureRefusal(error) };
      throw error;
    }
  };
}

/** What a caller is told of a signature, a request's or a chunk's, that was not accepted. */
export function signatureRefusal(error: SigV4Error): Refusal {
  return { reason: reasonOf[error.code], detail: error.message };
}

/** SigV4 signs the body's hash also where no header repeats it, as curl does. */
function payloadOf(body: Buffer): PayloadHash {
  return body.length === 0 ? emptyPayload : { mode: "hashed", value: hash("sha256", body) };
}

/** What `x-amz-content-sha256` says of the body; undefined where the service does not take it so. */
function declaredPayload(declared: string, service: ServedService, presigned: boolean): PayloadHash | undefined {
  const payload = parsePayloadHash(declared);
  if (payload.mode === "unsigned" && !service.tier.unsignedPayload) return undefined;
  if (payload.mode === "streamed" && presigned) {
    throw new SigV4Error("unsupported-payload-mode", "a signature in the query does not begin a chain of chunks");
  }
  return payload;
}

function signedStream(payload: PayloadHash, fields: readonly Field[], signature: Signature, signingKey: KeyObject): SignedStream {
  const { amzDate, authorization } = signature;
  const { claim, signature: seedSignature } = authorization;
  return { signingKey, amzDate, scopeText: claim.scopeText, seedSignature, ...parseStreamDeclaration(payload, fields) };
}

/** Whether `body` is the one that was signed, as a whole. */
export function bodyMatches(payload: PayloadHash, body: Buffer): boolean {
  if (payload.mode === "unsigned") return true;
  if (body.length === 0) return payload.value === emptyPayloadHash;
  // Neither side of the comparison is secret: both are in the caller's own request.
  return hash("sha256", body) === payload.value;
}
