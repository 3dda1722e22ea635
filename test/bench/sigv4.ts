/**
 * Prints the CPU nanoseconds, collection of garbage included, that signing, verifying and normalising take:
 * `bin/node26 test/bench/sigv4.ts`. With `--json` the last line is the p50 of a verification, for `npm run bench`.
 */
import { createField, type Field } from "../../common/http/field.ts";
import { normalizeTarget } from "../../common/http/request-target.ts";
import { formatAmzDate } from "../../common/sigv4/amz-date.ts";
import { parseAuthorization } from "../../common/sigv4/authorization.ts";
import { checkDate } from "../../common/sigv4/check-date.ts";
import { emptyPayloadHash } from "../../common/sigv4/payload-hash.ts";
import { createRequestSigner } from "../../common/sigv4/sign.ts";
import { createSigningKey } from "../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../common/sigv4/verify.ts";
import { createReplayGuard, parseSequence } from "../../sidecar/inbound/replay-window.ts";
import { percentile } from "./statistics.ts";

const now = 1_790_000_000;
const date = formatAmzDate(now);
const scope = { date: date.slice(0, 8), region: "prod-example", service: "orders.shop" };
const accessKeyId = "CSGNA234567ABCDEFGHI";
const signingKey = createSigningKey("secret", scope.date, scope.region, scope.service);
const sign = createRequestSigner({ accessKeyId, signingKey, ...scope });
const instance = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const host = createField("host", "orders.shop:8080");
const repeated = [
  createField("accept", "application/json"),
  createField("accept-encoding", "gzip, deflate, br"),
  createField("content-type", "application/json"),
  createField("user-agent", "node"),
  createField("x-amz-date", date),
  createField("x-amz-content-sha256", emptyPayloadHash),
  createField("x-amz-security-token", "t".repeat(700)),
  createField("x-countersign-audience", "QRSTUVWXYZABCDEFGHIJKLMNOP"),
];

let number = 0;
function requestOf(fields: readonly Field[]) {
  const { path, query } = normalizeTarget("/items/42?expand=lines", { allowEncodedSlashes: false });
  return { method: "GET", path, query, host, fields, payloadHash: emptyPayloadHash };
}

function signOne(): { fields: Field[]; authorization: string } {
  const fields = [...repeated, createField("x-countersign-sequence", `${instance}:${++number}`)];
  return { fields, authorization: sign(requestOf(fields)) };
}

function measure(name: string, operation: () => void): void {
  for (let count = 0; count < 20_000; count++) operation();
  const runs = Array.from({ length: 9 }, () => {
    const start = process.cpuUsage();
    for (let count = 0; count < 20_000; count++) operation();
    const { user, system } = process.cpuUsage(start);
    return ((user + system) * 1000) / 20_000;
  });
  runs.sort((a, b) => a - b);
  process.stdout.write(`${name.padEnd(44)} ${(runs[4] ?? 0).toFixed(0).padStart(6)} ns\n`);
}

const signed = Array.from({ length: 64 }, signOne);
let next = 0;
function verifyOne(): (typeof signed)[number] {
  const request = signed[next++ % signed.length] ?? signOne();
  const authorization = parseAuthorization(request.authorization);
  checkDate(date, authorization.claim.scope, now);
  verifyRequest(requestOf(request.fields), authorization, signingKey);
  return request;
}

measure("normalise a target seen before", () => requestOf(repeated));
measure("normalise a target never seen", () => normalizeTarget(`/items/${++number}?expand=lines`, { allowEncodedSlashes: false }));
measure("sign (10 fields, 700-byte token)", signOne);
measure("parse, check date, verify, key cached", verifyOne);
const guard = createReplayGuard({ maxCallers: 1000, maxInstancesPerSession: 32, skewSeconds: 300 });
measure("sequence and replay window", () => {
  const sequence = parseSequence(`${instance}:${++number}`);
  if (sequence === undefined || guard.admit(accessKeyId, sequence, now, now) !== "fresh") throw new Error("a fresh number was refused");
});

/** Microseconds at the middle; a clock read costs too much of one verification, so that they are timed ten at a time. */
function verifyP50(): number {
  const times = Float64Array.from({ length: 10_000 }, () => {
    const start = process.hrtime.bigint();
    for (let count = 0; count < 10; count++) verifyOne();
    return Number(process.hrtime.bigint() - start) / 10_000;
  });
  return percentile(times.sort(), 0.5);
}

if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ operationMicros: verifyP50() })}\n`);
