/** Every condition operator, one row each. An operator that has no row here does not exist: documents that use it are refused. */
import { ipAddress } from "./address.ts";
import { boolean } from "./boolean.ts";
import type { CompileValues, Operator } from "./operator.ts";
import { stringEquals, stringEqualsIgnoreCase, stringLike } from "./string.ts";

const is = (compile: CompileValues): Operator => ({ kind: "comparison", negated: false, compile });
const isNot = (compile: CompileValues): Operator => ({ kind: "comparison", negated: true, compile });

export const operators: ReadonlyMap<string, Operator> = new Map([
  ["StringEquals", is(stringEquals)],
  ["StringNotEquals", isNot(stringEquals)],
  ["StringEqualsIgnoreCase", is(stringEqualsIgnoreCase)],
  ["StringNotEqualsIgnoreCase", isNot(stringEqualsIgnoreCase)],
  ["StringLike", is(stringLike)],
  ["StringNotLike", isNot(stringLike)],
  ["Bool", is(boolean)],
  ["IpAddress", is(ipAddress)],
  ["NotIpAddress", isNot(ipAddress)],
  ["Null", { kind: "presence", negated: false, compile: boolean }],
]);
