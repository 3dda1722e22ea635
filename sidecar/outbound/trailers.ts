/** Fields behind a request's body: those that its head announced travel on, because the signature has to name them at the start. */
import { findField, type Field } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";

const none: readonly Field[] = [];

/** Lower-case names of `Trailer` (RFC 9110 6.6.2), comma-separated; empty when the head announces none. */
export function trailerNames(head: RequestHead): string {
  const announced = findField(head.fields, "trailer")?.value ?? "";
  return announced
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .join(",");
}

/** Others are dropped, as any recipient may (RFC 9110 6.5.1). */
export function announcedTrailers(head: RequestHead, trailers: readonly Field[]): readonly Field[] {
  if (trailers.length === 0) return none;
  const names = trailerNames(head).split(",");
  return trailers.filter(({ name }) => names.includes(name));
}
