/** Fields behind a request's body (RFC 9110 6.5): signed as the last part of it, and passed on. */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { trailerSignatureName } from "../../common/sigv4/chunk-signature.ts";
import type { OutboundCall } from "./call.ts";

const none: readonly Field[] = [];
/** What frames a message, routes it or says whose it is does not belong there (RFC 9110 6.5.1), and the receiver would refuse it. */
const notTrailers =
  FieldKind.HOP_BY_HOP | FieldKind.CONTENT_LENGTH | FieldKind.HOST | FieldKind.AUTHORIZATION | FieldKind.IDENTITY | FieldKind.EXPECT;

/** Behind a body of HTTP/1.1 whose length is known nothing can come. */
export function mayHaveTrailers({ head, spoken }: OutboundCall): boolean {
  return spoken === "h2" || head.contentLength === -1;
}

/** What of an application's trailers travels on. */
export function trailersOf(trailers: readonly Field[]): readonly Field[] {
  return trailers.length === 0 ? none : trailers.filter(({ name, kinds }) => (kinds & notTrailers) === 0 && name !== trailerSignatureName);
}
