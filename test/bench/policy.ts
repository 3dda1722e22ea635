/**
 * Nanoseconds a decision, uncached, with 1,000 statements on one role. `bin/node26 test/bench/policy.ts`
 *
 * Every shape has the same role size and differs in what the index can use; requests change resource each time, so that no
 * string is seen twice with its hash at hand. With `--json` the last line is the p50 of the slowest shape, for `npm run bench`.
 */
import { compilePolicies, type CompiledPolicies } from "../../common/policy/compile.ts";
import { policyFromValue } from "../../common/policy/document.ts";
import { evaluate, type AuthorizationRequest, type PolicySet } from "../../common/policy/evaluate.ts";
import { contextFromEntries } from "../../common/policy/request-context.ts";
import { percentile } from "./statistics.ts";

const size = 1000;
const batch = 50;
const rounds = 4000;

interface Shape {
  readonly name: string;
  readonly statement: (index: number) => object;
  readonly request: (round: number) => { action: string; resource: string };
  readonly audit?: boolean;
}

const arn = (resource: string): string => `arn:mesh:orders:prod.example:shop:${resource}`;
const context = contextFromEntries([
  ["aws:PrincipalTag/team", "red"],
  ["aws:SourceIp", "10.1.2.3"],
  ["http:Method", "GET"],
]);

const shapes: readonly Shape[] = [
  {
    name: "an action a statement",
    statement: (index) => ({ Effect: "Allow", Action: `orders:Action${index}`, Resource: arn("item/*") }),
    request: (round) => ({ action: `orders:Action${round % size}`, resource: arn(`item/${round}`) }),
  },
  {
    name: "one action, a resource a statement",
    statement: (index) => ({ Effect: "Allow", Action: "orders:GET", Resource: arn(`/items/${index}/*`) }),
    request: (round) => ({ action: "orders:GET", resource: arn(`/items/${round % size}/${round}`) }),
  },
  {
    name: "with a Deny and two conditions each",
    statement: (index) => ({
      Effect: index % 2 === 0 ? "Deny" : "Allow",
      Action: ["orders:GetItem", "orders:List*"],
      Resource: arn(`item/${index >> 1}/*`),
      Condition: {
        [index % 2 === 0 ? "StringNotEquals" : "StringEquals"]: { "aws:PrincipalTag/team": "red" },
        [index % 2 === 0 ? "NotIpAddress" : "IpAddress"]: { "aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"] },
      },
    }),
    request: (round) => ({ action: "orders:GetItem", resource: arn(`item/${round % (size / 2)}/${round}`) }),
  },
  {
    name: "a policy variable in each resource",
    statement: (index) => ({ Effect: "Allow", Action: "orders:GetItem", Resource: arn(`team-${index}/\${aws:PrincipalTag/team}/*`) }),
    request: (round) => ({ action: "orders:GetItem", resource: arn(`team-${round % size}/red/${round}`) }),
  },
  {
    name: "nothing matches",
    statement: (index) => ({ Effect: "Allow", Action: `orders:Action${index}`, Resource: arn(`item/${index}/*`) }),
    request: (round) => ({ action: `orders:Action${round % size}`, resource: arn(`thing/${round}`) }),
  },
];

function compile(statement: (index: number) => object): CompiledPolicies {
  // In documents of 100, as a role has them: a document may have 64 KiB.
  const sources = Array.from({ length: size / 100 }, (_, part) => ({
    name: `policy-${part}`,
    document: policyFromValue(
      { Version: "2012-10-17", Statement: Array.from({ length: 100 }, (_, index) => statement(part * 100 + index)) },
      "identity",
    ),
    mode: "enforce" as const,
  }));
  return compilePolicies(sources);
}

const principal = {
  sessionArn: "arn:mesh:sts:prod.example:shop:assumed-role/checkout/checkout-7f",
  roleArn: "arn:mesh:iam:prod.example:shop:role/checkout",
  spiffeId: "spiffe://prod.example/ns/shop/sa/checkout",
  trustDomain: "prod.example",
};

let sum = 0;
let slowest = 0;
const compiled = shapes.map((shape) => ({ shape, policies: { identity: compile(shape.statement) } satisfies PolicySet }));
for (const passName of ["warm-up", "measured"]) {
  for (const { shape, policies } of compiled) {
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const requests: AuthorizationRequest[] = [];
      for (let index = 0; index < batch; index += 1) {
        const { action, resource } = shape.request(round * batch + index);
        requests.push({ action, resource, principal, context });
      }
      const start = process.hrtime.bigint();
      for (const request of requests) sum += evaluate(request, policies, "prod.example").evaluated;
      times.push(Number(process.hrtime.bigint() - start) / batch);
    }
    times.sort((a, b) => a - b);
    if (passName === "warm-up") continue;
    const at = (share: number): string => percentile(times, share).toFixed(0).padStart(6);
    process.stdout.write(`${shape.name.padEnd(38)} p50 ${at(0.5)} ns   p99 ${at(0.99)} ns\n`);
    slowest = Math.max(slowest, percentile(times, 0.5));
  }
}
if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ operationMicros: slowest / 1000 })}\n`);
if (sum === 0) throw new Error("no statement was ever looked at");
