/**
 * What a policy's conditions may ask about a request. A key that the request cannot answer is absent, and so is one fed by
 * a header that the caller did not sign: nobody on the way may decide a condition. Values are made when they are asked for.
 */
import type { RequestContext } from "../../common/policy/request-context.ts";
import { sessionArnOf } from "./caller.ts";
import type { Exchange } from "./exchange.ts";
import { grpcMethodOf } from "./grpc-method.ts";

type Reader = (exchange: Exchange, now: number) => string | readonly string[] | undefined;

const iso = (epochMs: number) => new Date(epochMs).toISOString().replace(/\.\d{3}Z$/, "Z");

/** In the form of `canonicalKey`. */
const readers = new Map<string, Reader>([
  ["aws:principalarn", (exchange) => exchange.authentication?.session?.roleArn],
  ["aws:principaltype", (exchange) => (exchange.authentication?.session ? "AssumedRole" : "Anonymous")],
  ["aws:userid", (exchange) => userId(exchange)],
  ["aws:sourceip", (exchange) => exchange.peer.address],
  ["aws:sourceidentity", (exchange) => exchange.authentication?.session?.sourceIdentity],
  ["aws:currenttime", (_exchange, now) => iso(now)],
  ["aws:epochtime", (_exchange, now) => String(Math.floor(now / 1000))],
  ["aws:tokenissuetime", (exchange) => issueTime(exchange)],
  ["aws:securetransport", (exchange) => String(exchange.peer.spiffeId !== undefined)],
  ["aws:useragent", (exchange) => signedHeader(exchange, "user-agent")],
  ["http:method", (exchange) => (isTcp(exchange) ? undefined : exchange.protocol === "" ? exchange.head.method : "GET")],
  ["http:path", (exchange) => (isTcp(exchange) ? undefined : exchange.path)],
  ["grpc:service", (exchange) => exchange.port && grpcMethodOf(exchange, exchange.port.protocol)?.service],
  ["grpc:method", (exchange) => exchange.port && grpcMethodOf(exchange, exchange.port.protocol)?.method],
  ["tcp:port", (exchange) => exchange.port && String(exchange.port.port)],
  ["http:host", (exchange) => exchange.host],
  ["mesh:sourceidentity", (exchange) => exchange.peer.spiffeId],
  ["mesh:sourcenamespace", (exchange) => exchange.peer.namespace || undefined],
  ["mesh:sourcetrustdomain", (exchange) => exchange.peer.trustDomain || undefined],
  ["mesh:signedbody", (exchange) => String(exchange.authentication !== undefined && exchange.authentication.payload.mode !== "unsigned")],
  ["mesh:signatureage", (exchange) => exchange.authentication && String(exchange.authentication.signatureAge)],
  ["mesh:sessionage", (exchange, now) => sessionAge(exchange, now)],
  ["mesh:tier", (exchange) => exchange.service?.tier.name],
  ["mesh:attestation", (exchange) => exchange.authentication?.session?.attestation],
  ["mesh:sessionarn", (exchange) => exchange.authentication?.session && sessionArnOf(exchange.authentication.session)],
]);

function isTcp({ tunnel, protocol }: Exchange): boolean {
  return tunnel && protocol === "";
}

function userId(exchange: Exchange): string | undefined {
  const session = exchange.authentication?.session;
  return session && `${session.accessKeyId}:${session.sessionName}`;
}

function issueTime(exchange: Exchange): string | undefined {
  const session = exchange.authentication?.session;
  return session && iso(session.issuedAtSeconds * 1000);
}

function sessionAge(exchange: Exchange, now: number): string | undefined {
  const session = exchange.authentication?.session;
  return session && String(Math.max(0, Math.floor(now / 1000) - session.issuedAtSeconds));
}

function signedHeader(exchange: Exchange, name: string): string | readonly string[] | undefined {
  if (!exchange.authentication?.signed.has(name)) return undefined;
  const values = exchange.head.fields.filter((field) => field.name === name).map((field) => field.value);
  return values.length > 1 ? values : values[0];
}

function queryValues(query: string, name: string): string | readonly string[] | undefined {
  // Names and values as the application will read them: percent-decoded, `+` for a space.
  const values = new URLSearchParams(query).getAll(name);
  return values.length > 1 ? values : values[0];
}

function principalTag(exchange: Exchange, name: string): string | undefined {
  const session = exchange.authentication?.session;
  for (const tags of [session?.tags, exchange.caller?.roleTags]) {
    if (!tags) continue;
    for (const [key, value] of tags) if (key.toLowerCase() === name) return value;
  }
  return undefined;
}

/** A context that reads from whichever exchange `bind` named last; evaluation is synchronous, so one serves a whole process. */
export function createRequestContext(now: () => number): RequestContext & { bind(exchange: Exchange): void } {
  let current: Exchange | undefined;
  return {
    bind(exchange) {
      current = exchange;
    },
    get(key) {
      if (!current) return undefined;
      const reader = readers.get(key);
      if (reader) return reader(current, now());
      const slash = key.indexOf("/");
      if (slash < 0) return undefined;
      const name = key.slice(slash + 1);
      switch (key.slice(0, slash)) {
        case "aws:principaltag":
          return principalTag(current, name);
        case "http:header":
          return signedHeader(current, name);
        case "http:query":
          return queryValues(current.query, name);
        default:
          return undefined;
      }
    },
  };
}
