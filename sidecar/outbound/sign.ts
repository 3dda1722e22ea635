/**
 * Signs a call with the role session for its destination. Hot path: of the fields an application sends over and over, what
 * travels on is worked out once; only date, sequence and signature are new each time.
 */
import { hash, type KeyObject } from "node:crypto";
import { createField, createPlainField, FieldKind, type Field } from "../../common/http/field.ts";
import { formatAmzDate } from "../../common/sigv4/amz-date.ts";
import { hasQueryAuthentication } from "../../common/sigv4/canonical-query.ts";
import { createChunkSigner } from "../../common/sigv4/chunk-signer.ts";
import { emptyPayloadHash, streamingPayload, streamingPayloadTrailer } from "../../common/sigv4/payload-hash.ts";
import { formatScope } from "../../common/sigv4/scope.ts";
import { createRequestSigner, type RequestSigner } from "../../common/sigv4/sign.ts";
import { endToEndFields } from "../http1/end-to-end.ts";
import type { RoleCredentials } from "../sync/role-sessions.ts";
import type { OutboundCall } from "./call.ts";
import type { Destination, Endpoint } from "./destinations.ts";
import { mayHaveTrailers } from "./trailers.ts";

/**
 * Puts the fields of a call in order and signs them for `endpoint`; fills in the call's session and sequence. Without a
 * `body` that is whole, the one to come is signed part by part (`call.chunks`), unless the call is a tunnel.
 */
export type CallSigner = (
  call: OutboundCall,
  destination: Destination,
  endpoint: Endpoint,
  credentials: RoleCredentials,
  body: Buffer | undefined,
) => Field[];

export interface CallSignerOptions {
  /** Random at each start: what sequences are counted for. */
  readonly instance: string;
  readonly region: () => string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** What of an application's fields travels on. */
interface Prepared {
  /** The application signed for itself: its signature is the one that counts, and nothing is added. */
  readonly signedByApplication: boolean;
  readonly fields: readonly Field[];
}

const ours = new Set(["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"]);
const emptyPayloadField = createField("x-amz-content-sha256", emptyPayloadHash);
const streamedField = createField("x-amz-content-sha256", streamingPayload);
const streamedWithTrailersField = createField("x-amz-content-sha256", streamingPayloadTrailer);
/** Lets the receiver speak to its application as the caller's spoke. */
const spokeHttp2 = createField("x-countersign-protocol", "h2");
/** Proves to an HTTP/1.1 server that WebSocket was meant; over HTTP/2 it is not sent (RFC 8441 5). */
const webSocketKey = "sec-websocket-key";
const removed = FieldKind.IDENTITY | FieldKind.EXPECT;
const signatureLength = 64;

function prepare(fields: readonly Field[], kinds: number): Prepared {
  const forwarded = endToEndFields(fields, kinds, removed);
  if (forwarded.some((field) => field.kinds & FieldKind.AUTHORIZATION && field.value.startsWith("AWS4-"))) {
    return { signedByApplication: true, fields: forwarded };
  }
  const kept = forwarded
    .filter((field) => !ours.has(field.name) && !(field.kinds & FieldKind.CONTENT_LENGTH) && field.name !== webSocketKey)
    // The signature needs this name; the receiver gives the application's own back to it (inbound/forward.ts).
    .map((field) => (field.kinds & FieldKind.AUTHORIZATION ? createField("x-countersign-authorization", field.value) : field));
  return { signedByApplication: false, fields: kept };
}

/** A URL that somebody signed says so itself: a second signature would only make it two. */
function isPresigned(query: string): boolean {
  return query.includes("X-Amz-Signature=") && hasQueryAuthentication(query);
}

interface DaySigner {
  readonly date: string;
  readonly credentials: RoleCredentials;
  readonly audience: Field;
  readonly sign: RequestSigner;
  readonly signingKey: KeyObject;
  readonly scopeText: string;
}

export function createCallSigner(options: CallSignerOptions): CallSigner {
  const prepared = new WeakMap<readonly Field[], Prepared>();
  const signers = new WeakMap<Endpoint, Map<string, DaySigner>>();
  let sequence = 0;
  let dateField = createField("x-amz-date", "");
  let host = createField("host", "");

  function signerFor(destination: Destination, endpoint: Endpoint, credentials: RoleCredentials, date: string): DaySigner {
    let ofEndpoint = signers.get(endpoint);
    if (!ofEndpoint) {
      ofEndpoint = new Map();
      signers.set(endpoint, ofEndpoint);
    }
    let signer = ofEndpoint.get(destination.scope);
    if (!signer || signer.date !== date || signer.credentials !== credentials) {
      const scope = { date, region: options.region(), service: destination.scope };
      const signingKey = credentials.signingKey(scope.date, scope.region, scope.service);
      signer = {
        date,
        credentials,
        audience: createField("x-countersign-audience", endpoint.instance),
        sign: createRequestSigner({ accessKeyId: credentials.accessKeyId, signingKey, ...scope }),
        signingKey,
        scopeText: formatScope(scope),
      };
      ofEndpoint.set(destination.scope, signer);
    }
    return signer;
  }

  /** How the signature covers the body; adds the fields that say so. */
  function payloadOf(call: OutboundCall, body: Buffer | undefined, fields: Field[]): Field {
    const { head } = call;
    if (body !== undefined) return body.length === 0 ? emptyPayloadField : createField("x-amz-content-sha256", hash("sha256", body));
    // What a tunnel carries is no content of the request that opens it (RFC 9110 9.3.6).
    if (call.tunnel) return emptyPayloadField;
    if (head.contentLength > 0) fields.push(createField("x-amz-decoded-content-length", String(head.contentLength)));
    // Which trailers there will be, only the end tells: an announcement is a hint (RFC 9110 6.6.2), and HTTP/2 has none.
    return mayHaveTrailers(call) ? streamedWithTrailersField : streamedField;
  }

  return (call, destination, endpoint, credentials, body) => {
    const { head } = call;
    let own = prepared.get(head.fields);
    if (!own) {
      own = prepare(head.fields, head.kinds);
      prepared.set(head.fields, own);
    }
    if (own.signedByApplication || isPresigned(call.query)) return own.fields.slice();

    const amzDate = formatAmzDate(Math.floor(options.now() / 1000));
    if (dateField.value !== amzDate) dateField = createField("x-amz-date", amzDate);
    if (host.value !== head.authority) host = createField("host", head.authority);
    const signer = signerFor(destination, endpoint, credentials, amzDate.slice(0, 8));
    call.sessionArn = credentials.sessionArn;
    call.sequence = `${options.instance}:${++sequence}`;

    const fields = own.fields.slice();
    if (call.spoken === "h2") fields.push(spokeHttp2);
    if (call.destinationField) fields.push(call.destinationField);
    const payload = payloadOf(call, body, fields);
    fields.push(credentials.tokenField, signer.audience, payload, dateField, createPlainField("x-countersign-sequence", call.sequence));
    const method = call.tunnel ? "CONNECT" : head.method;
    const value = signer.sign({ method, path: call.path, query: call.query, host, fields, payloadHash: payload.value });
    fields.push(createPlainField("authorization", value));
    if (body === undefined && !call.tunnel) {
      call.chunks = createChunkSigner({
        signingKey: signer.signingKey,
        amzDate,
        scopeText: signer.scopeText,
        seedSignature: value.slice(-signatureLength),
        hasTrailers: payload === streamedWithTrailersField,
      });
    }
    return fields;
  };
}
