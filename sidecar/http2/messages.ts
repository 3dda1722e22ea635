/** From a decoded field block to the head of a request or response, or to the reason why there is none (RFC 9113 section 8). */
import type { RequestHead, ResponseHead } from "../../common/http/message.ts";
import { joinCookies, Pseudo, type FieldBlock } from "./hpack/field-block.ts";
import { StreamState } from "./stream.ts";

const PLAIN = Pseudo.METHOD | Pseudo.SCHEME | Pseudo.PATH;
const TUNNEL = Pseudo.METHOD | Pseudo.AUTHORITY;
const EXTENDED = PLAIN | Pseudo.AUTHORITY | Pseudo.PROTOCOL;

/** What makes this block no request, or an empty text. `extendedConnect`: we announced it. */
export function requestFlaw(block: FieldBlock, endStream: boolean, extendedConnect: boolean): string {
  if (block.flaw !== "") return block.flaw;
  const { pseudo, method } = block;
  if (method === "CONNECT" && (pseudo & Pseudo.METHOD) !== 0) {
    if ((pseudo & Pseudo.PROTOCOL) !== 0 && !extendedConnect) return ":protocol was not announced";
    if (pseudo !== TUNNEL && pseudo !== EXTENDED) return "CONNECT has the wrong pseudo-fields";
  } else if ((pseudo & ~Pseudo.AUTHORITY) !== PLAIN) return "the pseudo-fields of a request are not complete";
  else if (block.path === "*" && method !== "OPTIONS") return ":path is * without OPTIONS";
  if ((pseudo & Pseudo.AUTHORITY) === 0) {
    if (block.host === "") return "a request names no authority";
  } else if (block.host !== "" && block.host !== block.authority && block.host.toLowerCase() !== block.authority.toLowerCase()) {
    return "host differs from :authority";
  }
  if (endStream && block.contentLength > 0) return "content-length declares a body that does not come";
  return "";
}

/** The head of a block without a flaw. */
export function requestHead(block: FieldBlock, endStream: boolean): RequestHead {
  const { pseudo } = block;
  const authority = (pseudo & Pseudo.AUTHORITY) !== 0 ? block.authority : block.host;
  if (block.cookies > 1) {
    block.fields = joinCookies(block.fields);
    block.cookies = 1;
  }
  return {
    method: block.method,
    target: (pseudo & Pseudo.PATH) !== 0 ? block.path : authority,
    authority,
    scheme: (pseudo & Pseudo.SCHEME) !== 0 ? block.scheme : "",
    fields: block.fields,
    kinds: block.kinds,
    contentLength: endStream ? 0 : block.contentLength,
  };
}

/** What makes this block no response to the request of a stream in that state, or an empty text. */
export function responseFlaw(block: FieldBlock, endStream: boolean, streamState: number): string {
  if (block.flaw !== "") return block.flaw;
  if (block.pseudo !== Pseudo.STATUS) return "the pseudo-fields of a response are not :status alone";
  if (block.status === "101") return "status 101 does not exist in HTTP/2";
  if (block.status.charCodeAt(0) === 49) {
    if (block.contentLength !== -1) return "an informational response states a length";
    return endStream ? "an informational response ends the stream" : "";
  }
  // RFC 9110 section 8.6; that there is nothing, some say all the same.
  if (block.status === "204" && block.contentLength > 0 && (streamState & StreamState.CONNECT) === 0) return "204 states a length";
  if (endStream && block.contentLength > 0 && !isBodiless(block.status, streamState))
    return "content-length declares a body that does not come";
  return "";
}

/** Whether a response has no body whatever its content-length says (RFC 9110 section 8.6). */
function isBodiless(status: string, streamState: number): boolean {
  return (streamState & StreamState.HEAD_REQUEST) !== 0 || status === "204" || status === "304";
}

export function responseHead(block: FieldBlock, endStream: boolean, streamState: number): ResponseHead {
  const { status } = block;
  // What a 2xx to CONNECT declares is to be ignored (RFC 9110 section 9.3.6).
  const tunnel = (streamState & StreamState.CONNECT) !== 0 && status.charCodeAt(0) === 50;
  const bodiless = endStream || status.charCodeAt(0) === 49 || (isBodiless(status, streamState) && !tunnel);
  return {
    status: Number(status),
    fields: block.fields,
    kinds: block.kinds,
    contentLength: bodiless ? 0 : tunnel ? -1 : block.contentLength,
  };
}

/** What makes this block no trailers, or an empty text. */
export function trailersFlaw(block: FieldBlock): string {
  if (block.flaw !== "") return block.flaw;
  if (block.pseudo !== 0) return "trailers have a pseudo-field";
  if (block.host !== "" || block.contentLength !== -1) return "host and content-length do not belong in trailers";
  return "";
}
