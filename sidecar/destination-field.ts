/**
 * `x-countersign-destination: orders.shop:8080`, by which a caller's sidecar says which port of which service a call is for
 * where its `Host` does not: a connection that was redirected goes where it was going, whatever name is inside. Signed like
 * every other field, and never taken from an application.
 */
import { createField, findField, type Field } from "../common/http/field.ts";

export interface DestinationPort {
  /** `<name>.<namespace>` */
  readonly scope: string;
  readonly port: number;
}

const name = "x-countersign-destination";
const text = /^([a-z0-9][a-z0-9.-]{0,253}):([1-9][0-9]{0,4})$/;

export function createDestinationField({ scope, port }: DestinationPort): Field {
  return createField(name, `${scope}:${port}`);
}

/** Undefined where there is none, or none that can be read. */
export function destinationField(fields: readonly Field[]): DestinationPort | undefined {
  const found = findField(fields, name);
  const parts = found && text.exec(found.value);
  return parts?.[1] === undefined ? undefined : { scope: parts[1], port: Number(parts[2]) };
}
