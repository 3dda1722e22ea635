/**
 * Whatever this codec accepts, Node's own parser accepts with the same meaning: nothing that passes one leg can be read
 * differently on the next. Held by mutating messages with a seed; COUNTERSIGN_FUZZ_SECONDS and COUNTERSIGN_FUZZ_SEED
 * make it longer and different. What was once found is kept in disagreements.ts.
 */
import { expect, test } from "vitest";
import { createRequestParser } from "../../../sidecar/http1/request-parser.ts";
import { createResponseParser } from "../../../sidecar/http1/response-parser.ts";
import { disagreements } from "./disagreements.ts";
import { createRandom, mutate, type Random } from "./mutations.ts";
import { askNodeClient, askNodeServer, type NodeHeard, type NodeMessage } from "./node-peer.ts";
import { bytes, lines } from "./recording.ts";
import { badBodies, badRequests, goodRequests } from "./requests.ts";
import { badResponses, goodResponses } from "./responses.ts";

interface OurHeard {
  readonly messages: (NodeMessage & { readonly authority: string })[];
  remainder: string;
  error: string;
}

interface Exchange {
  readonly text: string;
  readonly method: string;
  readonly upgrade: boolean;
}

const milliseconds = 1000 * Number(process.env["COUNTERSIGN_FUZZ_SECONDS"] ?? 2);
const seed = Number(process.env["COUNTERSIGN_FUZZ_SEED"] ?? 1);

function hearRequests(text: string): OurHeard {
  const heard: OurHeard = { messages: [], remainder: "", error: "" };
  const last = () => heard.messages.at(-1) as NodeMessage;
  const parser = createRequestParser({
    onRequest(head) {
      heard.messages.push({
        start: `${head.method} ${head.target} ${parser.version}`,
        authority: head.authority,
        fields: lines(head.fields),
        keepAlive: parser.keepAlive,
        body: "",
        trailers: [],
        complete: false,
      });
    },
    onBody(chunk) {
      last().body += chunk.toString("latin1");
    },
    onEnd(trailers) {
      last().trailers = lines(trailers);
      last().complete = true;
      if (last().start.startsWith("CONNECT ")) heard.remainder = parser.takeRemainder().toString("latin1");
      // Node drops what follows an offer to upgrade that nobody listens for.
      else if (last().keepAlive && !last().fields.some(([name]) => name === "upgrade")) parser.resume();
    },
    onError(error) {
      heard.error = error.code;
    },
  });
  parser.push(bytes(text));
  parser.finish();
  return heard;
}

function hearResponse({ text, method, upgrade }: Exchange): OurHeard {
  const heard: OurHeard = { messages: [], remainder: "", error: "" };
  const last = () => heard.messages.at(-1) as NodeMessage;
  const hear = (status: number, fields: NodeMessage["fields"], complete: boolean) => {
    heard.messages.push({ start: String(status), authority: "", fields, keepAlive: false, body: "", trailers: [], complete });
  };
  const parser = createResponseParser({
    onInformational(head) {
      hear(head.status, lines(head.fields), true);
      if (head.status === 101) heard.remainder = parser.takeRemainder().toString("latin1");
    },
    onResponse(head) {
      const tunnel = method === "CONNECT" && head.status < 300;
      hear(head.status, lines(head.fields), tunnel);
      if (tunnel) heard.remainder = parser.takeRemainder().toString("latin1");
    },
    onBody(chunk) {
      last().body += chunk.toString("latin1");
    },
    onEnd(trailers) {
      last().trailers = lines(trailers);
      last().complete = true;
    },
    onError(error) {
      heard.error = error.code;
    },
  });
  parser.expect(method, upgrade);
  parser.push(bytes(text));
  if (heard.remainder === "" && !heard.messages.some(({ start }) => start === "101")) parser.finish();
  return heard;
}

/** The target as Node has it, brought to the form in which we hand it over. */
function asOurs(start: string): string {
  const [method = "", url = "", version = ""] = start.split(" ");
  if (version === "" || method === "CONNECT" || !/^https?:/i.test(url)) return start;
  const rest = url.replace(/^https?:\/\/[^/?]*/i, "");
  const target = rest === "" && method === "OPTIONS" ? "*" : rest.startsWith("/") ? rest : `/${rest}`;
  return `${method} ${target} ${version}`;
}

function withoutHost(message: NodeMessage): NodeMessage["fields"] {
  return message.fields.filter(([name]) => name !== "host");
}

function compare(ours: OurHeard, theirs: NodeHeard, requests: boolean): void {
  for (const [index, mine] of ours.messages.entries()) {
    const other = theirs.messages[index];
    expect(other, `message ${index}: ${theirs.error}`).toBeDefined();
    if (other === undefined) return;
    expect({ start: asOurs(other.start), fields: withoutHost(other) }).toEqual({ start: mine.start, fields: mine.fields });
    const hosts = other.fields.filter(([name]) => name === "host").map(([, value]) => value);
    if (hosts.length > 0 && mine.authority !== "") expect(hosts).toEqual([mine.authority]);
    // A connection that we keep is one that Node keeps; that we close some more is no misunderstanding.
    if (mine.keepAlive && !mine.start.startsWith("CONNECT ")) expect(other.keepAlive).toBe(true);
    if (!mine.complete) continue;
    const { body, trailers, complete } = other;
    expect({ body, trailers, complete }).toEqual({ body: mine.body, trailers: mine.trailers, complete: true });
  }
  const last = ours.messages.at(-1);
  const stopped = last?.keepAlive === false || last?.fields.some(([name]) => name === "upgrade") === true;
  if (ours.error !== "" || (requests && stopped)) return;
  expect(theirs.error).toBe("");
  expect(theirs.messages).toHaveLength(ours.messages.length);
  expect(theirs.remainder).toBe(ours.remainder);
}

const fewest = 200;

/**
 * Calls `check` with mutated messages until the time is over, and until some had something in them that was accepted;
 * how many had.
 */
async function hunt(random: Random, check: (random: Random) => Promise<boolean>): Promise<number> {
  let accepted = 0;
  for (const end = performance.now() + milliseconds; accepted < fewest || performance.now() < end;) {
    if (await check(random)) accepted++;
  }
  return accepted;
}

async function checkRequests(text: string): Promise<boolean> {
  const ours = hearRequests(text);
  if (ours.messages.length === 0) return false;
  const theirs = await askNodeServer(bytes(text));
  try {
    compare(ours, theirs, true);
  } catch (error) {
    throw new Error(`disagreement on ${JSON.stringify(text)}`, { cause: error });
  }
  return true;
}

async function checkResponse(exchange: Exchange): Promise<boolean> {
  const ours = hearResponse(exchange);
  // Node's client takes any response to CONNECT for a tunnel (it leaves statuses to its user): no question to ask it.
  const noTunnel = exchange.method === "CONNECT" && ours.messages[0]?.start.startsWith("2") === false;
  if (ours.messages.length === 0 || noTunnel) return false;
  const theirs = await askNodeClient(bytes(exchange.text), exchange.method, exchange.upgrade);
  try {
    compare(ours, theirs, false);
  } catch (error) {
    throw new Error(`disagreement on ${JSON.stringify(exchange)}`, { cause: error });
  }
  return true;
}

const requestTexts = [...goodRequests, ...badRequests, ...badBodies].map(({ text }) => text);
const responseTexts = [...goodResponses, ...badResponses].map(({ text }) => text);

test.each(goodRequests)("Node agrees on $name", async ({ text }) => {
  expect(await checkRequests(text)).toBe(true);
});

test.each(goodResponses.filter(({ options }) => options?.method !== "CONNECT"))(
  "Node agrees on a response: $name",
  async ({ text, options }) => {
    const accepted = await checkResponse({ text, method: options?.method ?? "GET", upgrade: options?.upgrade ?? false });
    expect(accepted).toBe(true);
  },
);

test.each(disagreements)("Node agrees on what was found before: $#", async ({ text, method, upgrade }) => {
  const exchange = { text, method: method ?? "", upgrade: upgrade ?? false };
  const check = method === undefined ? checkRequests(text) : checkResponse(exchange);
  await expect(check).resolves.toBeTypeOf("boolean");
});

test("Node agrees on mutated requests", async () => {
  const accepted = await hunt(createRandom(seed), (random) => checkRequests(mutate(requestTexts, random)));
  expect(accepted).toBeGreaterThanOrEqual(fewest);
});

test("Node agrees on mutated responses", async () => {
  const accepted = await hunt(createRandom(seed), (random) =>
    checkResponse({
      text: mutate(responseTexts, random),
      method: random.pick(["GET", "GET", "HEAD", "CONNECT"]),
      upgrade: random.below(4) === 0,
    }),
  );
  expect(accepted).toBeGreaterThanOrEqual(fewest);
});
