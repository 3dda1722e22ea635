import { describe, expect, test } from "vitest";
import { FieldKind, findField } from "../../../common/http/field.ts";
import type { RequestHead } from "../../../common/http/message.ts";
import { defaultLimits } from "../../../sidecar/http1/limits.ts";
import { createRequestParser, type RequestHandler } from "../../../sidecar/http1/request-parser.ts";
import { bytes, cuts, recordRequests } from "./recording.ts";
import { badBodies, badRequests, goodRequests } from "./requests.ts";

function only(handler: Partial<RequestHandler>): RequestHandler {
  return {
    onRequest: () => {},
    onBody: () => {},
    onEnd: () => {},
    onError(error) {
      throw error;
    },
    ...handler,
  };
}

describe("accepts", () => {
  test.each(goodRequests)("$name", ({ text, heard }) => {
    // Three times: seen first, admitted to the caches, found in them.
    for (let round = 0; round < 3; round++) expect(recordRequests([bytes(text)])).toEqual(heard);
  });

  test.each(goodRequests)("$name, cut anywhere", ({ text, heard }) => {
    for (const pieces of cuts(bytes(text))) expect(recordRequests(pieces)).toEqual(heard);
  });
});

describe("refuses", () => {
  test.each([...badRequests, ...badBodies])("$name", ({ text, code, status }) => {
    for (let round = 0; round < 3; round++) {
      expect(recordRequests([bytes(text)]).at(-1)).toEqual({ error: code, status });
    }
  });

  test.each(badRequests.filter(({ code }) => code !== "truncated"))("$name before the app hears of it", ({ text }) => {
    expect(recordRequests([bytes(text)])).toHaveLength(1);
  });

  test.each([...badRequests, ...badBodies])("$name, cut anywhere", ({ text }) => {
    const whole = bytes(text.length > 1000 ? text.slice(0, 1000) : text);
    const heard = recordRequests([whole]);
    for (const pieces of cuts(whole)) expect(recordRequests(pieces)).toEqual(heard);
  });

  test("anything after an error", () => {
    const heard: string[] = [];
    const parser = createRequestParser(only({ onRequest: () => heard.push("request"), onError: (e) => heard.push(e.code) }));
    parser.push(bytes("GET / HTTP/1.1\r\nHost : a\r\n\r\n"));
    parser.push(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    parser.finish();
    expect(heard).toEqual(["bad-header"]);
  });
});

describe("limits", () => {
  const limits = { ...defaultLimits, maxHeadBytes: 64, maxHeaders: 3, maxBodyBytes: 5, maxPipelinedBytes: 40 };
  const padded = (length: number): Buffer => {
    const head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    return bytes(`${head}${"y".repeat(length - head.length - 4)}\r\n\r\n`);
  };

  test.each([64, 65])("a head of %d bytes where 64 are allowed, cut anywhere", (length) => {
    const heard = recordRequests([padded(length)], limits);
    expect(heard.at(-1)).toEqual(length === 64 ? { end: [] } : { error: "head-too-large", status: 431 });
    for (const pieces of cuts(padded(length))) expect(recordRequests(pieces, limits)).toEqual(heard);
  });

  test("64 KiB without an end are enough", () => {
    const heard = recordRequests([bytes(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(70_000)}`)]);
    expect(heard).toEqual([{ error: "head-too-large", status: 431 }]);
  });

  test("a head of exactly 64 KiB", () => {
    const prefix = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const text = `${prefix}${"y".repeat(64 * 1024 - prefix.length - 4)}\r\n\r\n`;
    expect(recordRequests([bytes(text)]).at(-1)).toEqual({ end: [] });
    expect(recordRequests([bytes(text.slice(0, 40_000)), bytes(text.slice(40_000))]).at(-1)).toEqual({ end: [] });
  });

  test("a block that another parser accepted with more headers", () => {
    const text = bytes("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    for (let round = 0; round < 3; round++) recordRequests([text]);
    expect(recordRequests([text], limits)).toEqual([{ error: "too-many-headers", status: 431 }]);
  });

  test.each([
    ["content-length", "Content-Length: 6\r\n\r\n123456"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"],
  ])("a body that is too large, by %s", (_, rest) => {
    const text = `PUT / HTTP/1.1\r\nHost: a\r\n${rest}`;
    expect(recordRequests([bytes(text)], limits).at(-1)).toEqual({ error: "body-too-large", status: 413 });
  });

  test("bytes behind a request that is being answered", () => {
    const errors: string[] = [];
    const parser = createRequestParser(only({ onError: (error) => errors.push(error.code) }), limits);
    parser.push(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (let index = 0; index < 40; index++) parser.push(bytes("x"));
    expect(errors).toEqual([]);
    parser.push(bytes("x"));
    expect(errors).toEqual(["too-much-pipelined"]);
  });

  test("a head that comes byte by byte costs time in proportion to its length", () => {
    const limits = { ...defaultLimits, maxHeadBytes: 1024 * 1024, maxHeaders: 1000 };
    const head = bytes(`GET / HTTP/1.1\r\nHost: a\r\n${`X: ${"y".repeat(1000)}\r\n`.repeat(600)}\r\n`);
    const pieces = Array.from(head, (byte) => Buffer.from([byte]));
    // Were every push to look at all bytes before it, this would be 180 thousand million bytes and no test would end.
    expect(recordRequests(pieces, limits).at(-1)).toEqual({ end: [] });
  });
});

describe("one request at a time", () => {
  const two = bytes("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");

  function collect() {
    const heard: string[] = [];
    const parser = createRequestParser(
      only({
        onRequest: (head) => heard.push(head.target),
        onBody: (chunk) => heard.push(chunk.toString()),
        onEnd: () => heard.push("end"),
        onError: (error) => heard.push(error.code),
      }),
    );
    return { heard, parser };
  }

  test("the next one waits for resume, whatever arrives", () => {
    for (let at = 1; at < two.length; at++) {
      const { heard, parser } = collect();
      const socketBuffer = Buffer.from(two);
      parser.push(socketBuffer.subarray(0, at));
      parser.push(socketBuffer.subarray(at));
      socketBuffer.fill(0);
      expect(heard).toEqual(["/1", "end"]);
      parser.resume();
      expect(heard).toEqual(["/1", "end", "/2", "body", "end"]);
    }
  });

  test("a thousand requests kept are handed over one by one", () => {
    const { heard, parser } = collect();
    const request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    for (let index = 0; index < 10; index++) parser.push(bytes(request.repeat(100)));
    for (let index = 1; index <= 1000; index++) {
      expect(heard).toHaveLength(2 * index);
      parser.resume();
    }
    expect(heard).toHaveLength(2000);
    expect(parser.idle).toBe(true);
  });

  test("a cut request behind a complete one is reported when its turn comes", () => {
    const { heard, parser } = collect();
    parser.push(two.subarray(0, two.length - 1));
    parser.finish();
    expect(heard).toEqual(["/1", "end"]);
    parser.resume();
    expect(heard).toEqual(["/1", "end", "/2", "bod", "truncated"]);
  });

  test("the end between requests, or after an empty line, is no error", () => {
    expect(recordRequests([])).toEqual([]);
    expect(recordRequests([bytes("\r\n")])).toEqual([]);
    expect(recordRequests([bytes("\r")])).toEqual([{ error: "truncated", status: 400 }]);
  });

  test("close stops everything, also from within a call", () => {
    const heard: string[] = [];
    const parser = createRequestParser(
      only({
        onRequest() {
          heard.push("request");
          parser.close();
        },
        onBody: () => heard.push("body"),
        onEnd: () => heard.push("end"),
        onError: () => heard.push("error"),
      }),
    );
    parser.push(bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"));
    parser.push(two);
    parser.resume();
    parser.finish();
    expect(heard).toEqual(["request"]);
  });

  test("idle says whether a request is outstanding", () => {
    const { parser } = collect();
    expect(parser.idle).toBe(true);
    parser.push(bytes("G"));
    expect(parser.idle).toBe(false);
    parser.push(bytes("ET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"));
    expect(parser.idle).toBe(false);
    parser.push(bytes("x"));
    expect(parser.idle).toBe(true);
  });
});

describe("upgrades", () => {
  const head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

  test("the bytes behind are taken raw, in one push or many, at once or later", () => {
    const whole = bytes(`${head}\0raw\nbytes`);
    for (const inOnEnd of [true, false]) {
      for (let at = head.length; at <= whole.length; at++) {
        let taken: Buffer | undefined;
        const parser = createRequestParser(
          only({
            onEnd() {
              if (inOnEnd) taken = parser.takeRemainder();
            },
          }),
        );
        parser.push(whole.subarray(0, at));
        if (!inOnEnd) {
          parser.push(whole.subarray(at));
          taken = parser.takeRemainder();
        }
        expect(taken?.toString("latin1")).toBe(inOnEnd ? whole.toString("latin1", head.length, at) : "\0raw\nbytes");
        expect(() => parser.push(bytes("more"))).toThrow("takeRemainder");
      }
    }
  });

  test("nothing is taken inside a message", () => {
    const parser = createRequestParser(only({}));
    parser.push(bytes("GET / HT"));
    expect(() => parser.takeRemainder()).toThrow("inside a message");
  });

  test("HTTP/1.0 has none", () => {
    const [request] = recordRequests([bytes(head.replace("1.1", "1.0"))]);
    expect(request).toMatchObject({ flags: "close" });
  });
});

describe("fields", () => {
  test("a block that repeats yields the identical array, and fields of their own elsewhere", () => {
    const heads: RequestHead[] = [];
    const parser = createRequestParser(
      only({
        onRequest: (head) => heads.push(head),
        onEnd: () => parser.resume(),
      }),
    );
    const block = "Host: identical.internal\r\nX-Identical: 1\r\nAccept: x\r\n\r\n";
    for (let index = 0; index < 4; index++) parser.push(bytes(`GET /${index} HTTP/1.1\r\n${block}`));
    expect(heads[3]?.fields).toBe(heads[2]?.fields);
    parser.push(bytes(`GET / HTTP/1.1\r\nX-Other: 1\r\n${block}`));
    expect(heads[4]?.fields).not.toBe(heads[3]?.fields);
    expect(heads[4]?.fields[1]).toBe(heads[3]?.fields[0]);
  });

  test("what connection nominates is of one connection, there and nowhere else", () => {
    const heads: RequestHead[] = [];
    const parser = createRequestParser(
      only({
        onRequest: (head) => heads.push(head),
        onEnd: () => parser.resume(),
      }),
    );
    for (let index = 0; index < 4; index++) {
      parser.push(bytes("GET / HTTP/1.1\r\nHost: a\r\nX-Nominated: 1\r\nConnection: x-nominated\r\n\r\n"));
      parser.push(bytes("GET / HTTP/1.1\r\nHost: a\r\nX-Nominated: 1\r\n\r\n"));
    }
    for (const [index, head] of heads.entries()) {
      const kinds = findField(head.fields, "x-nominated")?.kinds ?? 0;
      expect(kinds & FieldKind.HOP_BY_HOP).toBe(index % 2 === 0 ? FieldKind.HOP_BY_HOP : 0);
    }
  });
});
