/**
 * An upgrade that an application does not take up. To HTTP/1.1 it answers as if nothing had been offered (RFC 9110 7.8), and
 * that may be 2xx; to the extended CONNECT that the upgrade has become between sidecars, 2xx would mean that it was taken
 * up. So the answer travels as 501, whole, and says beside it what it was; who does not know the field reads a 501.
 */
import { createField, FieldKind, findField, type Field } from "../../common/http/field.ts";
import type { ResponseHead } from "../../common/http/message.ts";

const name = "x-countersign-declined-upgrade";
const successful = /^2\d\d$/;

export const declinedStatus = 501;

export function declinedUpgrade(status: number): Field {
  return createField(name, String(status));
}

/** The answer as the application gave it; undefined for any other. */
export function declinedAnswer(response: ResponseHead): ResponseHead | undefined {
  if (response.status !== declinedStatus || (response.kinds & FieldKind.IDENTITY) === 0) return undefined;
  const declined = findField(response.fields, name);
  if (!declined || !successful.test(declined.value)) return undefined;
  return { ...response, status: Number(declined.value), fields: response.fields.filter((field) => field !== declined) };
}
