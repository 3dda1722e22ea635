/**
 * Whatever this codec hears in mutated conversations, nghttp2 (in node:http2) hears too, with the same meaning: what passes
 * one hop can be no other message at the next. COUNTERSIGN_FUZZ_SECONDS and COUNTERSIGN_FUZZ_SEED make it longer and
 * different. What was found is in corpus/: a part a line, in hex; a part is a frame, or the frames of a field block.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { clientPreface, FrameType } from "../../../sidecar/http2/frames.ts";
import { createRandom, type Random } from "../http1/mutations.ts";
import { mutateFrames, partsOfFrames, requestsFrom, responsesFrom, type Asked } from "./frame-mutations.ts";
import { hear } from "./heard.ts";
import { askNodeClient, askNodeServer, type HeardConnection } from "./node-peer.ts";

const milliseconds = 1000 * Number(process.env["COUNTERSIGN_FUZZ_SECONDS"] ?? 2);
const seed = Number(process.env["COUNTERSIGN_FUZZ_SEED"] ?? 1);
const fewest = 100;
/** Frames a conversation begins with that are left alone: SETTINGS, window, acknowledgement. */
const BEGINNING = 3;

interface Case {
  readonly role: "client" | "server";
  readonly asked: readonly Asked[];
  readonly parts: readonly Buffer[];
}

/** Every message we heard, node heard too; what we heard to its end, it did. It may have heard more. */
function compare(ours: HeardConnection, theirs: HeardConnection): number {
  let messages = 0;
  for (const [id, mine] of ours.streams) {
    const other = theirs.streams.get(id);
    expect(other, `stream ${id}`).toBeDefined();
    expect(other!.hints.slice(0, mine.hints.length)).toEqual(mine.hints);
    if (Object.keys(mine.head).length === 0) continue;
    messages++;
    expect({ head: other!.head, fields: other!.fields }).toEqual({ head: mine.head, fields: mine.fields });
    expect(other!.body.slice(0, mine.body.length)).toBe(mine.body);
    if (!mine.ended) continue;
    const { body, trailers, ended } = mine;
    expect({ body: other!.body, trailers: other!.trailers, ended: other!.ended }).toEqual({ body, trailers, ended });
  }
  return messages;
}

/** Messages that both heard. Node is asked first: what it ends the connection at tells us how far to listen. */
async function check({ role, asked, parts }: Case): Promise<number> {
  const whole = role === "server" ? [Buffer.concat([clientPreface, parts[0]!]), ...parts.slice(1)] : parts;
  const theirs = role === "server" ? await askNodeServer(whole) : await askNodeClient(whole, asked);
  const bytes = Buffer.concat(whole.slice(0, theirs.survived));
  const ours = hear(role, bytes, asked);
  try {
    for (const cut of [1, 13]) expect(hear(role, bytes, asked, cut)).toEqual(ours);
    return compare(ours, theirs);
  } catch (error) {
    const requests = asked.map(({ method, end }) => `${method} ${end ? "whole" : "open"}`).join(", ");
    throw new Error(`disagreement, ${role} ${requests}\n${parts.map((part) => part.toString("hex")).join("\n")}`, { cause: error });
  }
}

/** A conversation a few of whose frames are changed. */
function generate(role: "client" | "server", random: Random): Case {
  const { frames, asked } = requestsFrom(random);
  if (role === "server") {
    // Behind a client's GOAWAY node's server takes no request; ours does, since only the server's forbids them.
    const mutated = mutateFrames(frames, BEGINNING, random).filter(({ type }) => type !== FrameType.GOAWAY);
    return { role, asked: [], parts: partsOfFrames(mutated) };
  }
  // Node's client does not make CONNECT's without more ado.
  const plain = asked.map(({ method, end }) => ({ method: method === "CONNECT" ? "POST" : method, end }));
  return { role, asked: plain, parts: partsOfFrames(mutateFrames(responsesFrom(random, plain), BEGINNING, random)) };
}

describe.each(["server", "client"] as const)("a %s of ours and one of node's", (role) => {
  it("hear the same", async () => {
    const random = createRandom(seed);
    let messages = 0;
    let cases = 0;
    for (const end = performance.now() + milliseconds; messages < fewest || performance.now() < end; cases++) {
      messages += await check(generate(role, random));
    }
    expect(messages).toBeGreaterThan(cases / 2);
  });
});

/** `role: server`, `asked: GET whole, POST open`, `#` for comments, and a part a line. */
function read(text: string): Case {
  const lines = text.split("\n").map((line) => line.trim());
  const value = (name: string): string => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
  const asked = value("asked")
    .split(", ")
    .filter((each) => each !== "")
    .map((each) => ({ method: each.split(" ")[0]!, end: each.endsWith(" whole") }));
  const parts = lines.filter((line) => /^[0-9a-f]+$/.test(line)).map((line) => Buffer.from(line, "hex"));
  return { role: value("role") === "client" ? "client" : "server", asked, parts };
}

describe("what was found before", () => {
  const folder = join(import.meta.dirname, "corpus");
  it.each(readdirSync(folder))("%s", async (file) => {
    const text = readFileSync(join(folder, file), "utf8");
    const found = read(text);
    await check(found);
    const { streams, fatal } = hear(
      found.role,
      Buffer.concat(found.role === "server" ? [clientPreface, ...found.parts] : found.parts),
      found.asked,
    );
    const outcome = [...streams].map(([id, { head, ended, reset }]) => {
      const what = head[":method"] ?? head[":status"] ?? "nothing";
      return `${id} ${what}${ended ? " ended" : ""}${reset === undefined ? "" : ` ${reset}`}`;
    });
    expect([...outcome, ...(fatal === undefined ? [] : [fatal])].join(", ")).toBe(/^heard: (.*)$/m.exec(text)?.[1]);
  });
});
