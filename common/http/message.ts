/**
 * The parsed heads that every leg of a call exchanges, whatever protocol the leg speaks. Hot path: codecs that see the
 * same header lines again hand out the same `fields` array again, so callers may keep what they derived from it.
 */
import type { Field } from "./field.ts";

export interface RequestHead {
  readonly method: string;
  /** Path and query as received, `/a?b=c`; `*` for OPTIONS, `host:port` for CONNECT. Not normalised: see request-target.ts. */
  readonly target: string;
  /** `Host` or `:authority` as received. Empty only for HTTP/1.0 without Host. */
  readonly authority: string;
  /** `http` or `https` where the message said so (absolute form, `:scheme`); empty otherwise. */
  readonly scheme: string;
  /** Every other field in order of arrival, host left out. */
  readonly fields: readonly Field[];
  /** Union of the fields' kinds. */
  readonly kinds: number;
  /** Bytes of body declared; 0 when there is none; -1 when only its end will tell. */
  readonly contentLength: number;
}

export interface ResponseHead {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly kinds: number;
  /** Bytes of body declared; 0 when there is none (also HEAD, 204, 304); -1 when only its end will tell. */
  readonly contentLength: number;
}
