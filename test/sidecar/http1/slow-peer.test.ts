/** Threats row 21 as far as the HTTP/1.1 codec goes: slow heads and bodies that stand still are found, others are not. */
import { describe, expect, it } from "vitest";
import { createRequestParser, type RequestParser } from "../../../sidecar/http1/request-parser.ts";
import { createResponseParser } from "../../../sidecar/http1/response-parser.ts";
import { watchSlowPeer } from "../../../sidecar/http1/slow-peer.ts";
import type { ProgressWatch, Schedule } from "../../../sidecar/progress-watch.ts";
import { bytes } from "./recording.ts";

const HEAD_MS = 100;
const BODY_MS = 300;

interface Served {
  readonly parser: RequestParser;
  readonly late: string[];
  readonly watch: ProgressWatch;
  paused: boolean;
  /** Bytes come, one by one, this long apart. */
  drip(text: string, apart: number): void;
  push(text: string): void;
  pass(ms: number): void;
  pending(): number;
}

function serve(): Served {
  let time = 0;
  const due = new Set<{ at: number; task: () => void }>();
  const schedule: Schedule = (task, ms) => {
    const entry = { at: time + ms, task };
    due.add(entry);
    return () => due.delete(entry);
  };
  const parser = createRequestParser({ onRequest() {}, onBody() {}, onEnd: () => parser.resume(), onError() {} });
  const late: string[] = [];
  const options = {
    headTimeout: HEAD_MS,
    bodyTimeout: BODY_MS,
    schedule,
    isPaused: () => served.paused,
    onLate: (what: string) => late.push(what),
  };
  const watch = watchSlowPeer(parser, options);
  const served: Served = {
    parser,
    late,
    watch,
    paused: false,
    push(text) {
      parser.push(bytes(text));
      watch.touch();
    },
    drip(text, apart) {
      for (const byte of text) {
        served.push(byte);
        served.pass(apart);
      }
    },
    pass(ms) {
      const end = time + ms;
      for (;;) {
        const [next] = [...due].toSorted((a, b) => a.at - b.at);
        if (next === undefined || next.at > end) break;
        time = next.at;
        due.delete(next);
        next.task();
      }
      time = end;
    },
    pending: () => due.size,
  };
  watch.touch();
  return served;
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

describe("a client", () => {
  it("that says nothing is late", () => {
    const silent = serve();
    silent.pass(HEAD_MS);
    expect(silent.late).toEqual(["head"]);
    expect(silent.pending()).toBe(0);
  });

  it("that drips a head in is late, however steadily", () => {
    const slow = serve();
    slow.drip(get.slice(0, 20), 10);
    expect(slow.late).toEqual(["head"]);
  });

  it("is given its time anew for every head", () => {
    const steady = serve();
    for (let i = 0; i < 10; i++) steady.drip(get, 3);
    expect(steady.late).toEqual([]);
    steady.push(get.slice(0, 5));
    steady.pass(2 * HEAD_MS);
    expect(steady.late).toEqual(["head"]);
  });

  it("may lie idle between requests", () => {
    const idle = serve();
    idle.push(get);
    idle.pass(100 * HEAD_MS);
    expect([idle.late, idle.pending()]).toEqual([[], 0]);
  });

  it.each(["a body of known length", "chunks"])("that stands still in %s is late", (kind) => {
    const stuck = serve();
    stuck.push(kind === "chunks" ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab" : `${post}ab`);
    stuck.pass(2 * BODY_MS);
    expect(stuck.late).toEqual(["body"]);
  });

  it("whose body goes on is not, and its end ends the watch", () => {
    const slow = serve();
    slow.push(post);
    slow.drip("0123456789", BODY_MS - 1);
    slow.pass(2 * BODY_MS);
    expect([slow.late, slow.pending()]).toEqual([[], 0]);
  });

  it("is not blamed while nobody reads, but afterwards", () => {
    const stuck = serve();
    stuck.push(`${post}ab`);
    stuck.paused = true;
    stuck.pass(10 * BODY_MS);
    expect(stuck.late).toEqual([]);
    stuck.paused = false;
    stuck.watch.touch();
    stuck.pass(2 * BODY_MS);
    expect(stuck.late).toEqual(["body"]);
  });

  it("is let go of", () => {
    const served = serve();
    served.watch.cancel();
    served.pass(10 * HEAD_MS);
    expect([served.late, served.pending()]).toEqual([[], 0]);
  });
});

it("a server's head is awaited once it has begun, and its body as any other", () => {
  const parser = createResponseParser({ onInformational() {}, onResponse() {}, onBody() {}, onEnd() {}, onError() {} });
  const marks = (): [number, number] => [parser.headMark, parser.bodyMark];
  expect(marks()).toEqual([0, 0]);
  parser.expect("GET");
  expect(marks()).toEqual([0, 0]);
  parser.push(bytes("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 2"));
  const [begun] = marks();
  expect(begun).toBeGreaterThan(0);
  parser.push(bytes("00 OK\r\nContent-Length: 5\r\n\r\n"));
  const [, before] = marks();
  parser.push(bytes("ab"));
  const [head, after] = marks();
  expect([head, after > before]).toEqual([0, true]);
  parser.push(bytes("cde"));
  expect(marks()).toEqual([0, 0]);
});
