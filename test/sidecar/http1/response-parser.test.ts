import { describe, expect, test } from "vitest";
import { defaultLimits } from "../../../sidecar/http1/limits.ts";
import { createResponseParser, type ResponseHandler } from "../../../sidecar/http1/response-parser.ts";
import { bytes, cuts, recordResponses } from "./recording.ts";
import { badResponses, goodResponses } from "./responses.ts";

function only(handler: Partial<ResponseHandler>): ResponseHandler {
  return {
    onInformational: () => {},
    onResponse: () => {},
    onBody: () => {},
    onEnd: () => {},
    onError(error) {
      throw error;
    },
    ...handler,
  };
}

describe("accepts", () => {
  test.each(goodResponses)("$name", ({ text, heard, options }) => {
    // Three times: seen first, admitted to the caches, found in them.
    for (let round = 0; round < 3; round++) expect(recordResponses([bytes(text)], options)).toEqual(heard);
  });

  test.each(goodResponses)("$name, cut anywhere", ({ text, heard, options }) => {
    for (const pieces of cuts(bytes(text))) expect(recordResponses(pieces, options)).toEqual(heard);
  });
});

describe("refuses", () => {
  test.each(badResponses)("$name", ({ text, code, options }) => {
    for (let round = 0; round < 3; round++) {
      expect(recordResponses([bytes(text)], options).at(-1)).toEqual({ error: code, status: 502 });
    }
  });

  test.each(badResponses)("$name, cut anywhere", ({ text, options }) => {
    const heard = recordResponses([bytes(text)], options);
    for (const pieces of cuts(bytes(text))) expect(recordResponses(pieces, options)).toEqual(heard);
  });

  test.each([
    ["content-length", "Content-Length: 6\r\n\r\n123456"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"],
    ["its close", "\r\n123456"],
  ])("a body that is too large, by %s", (_, rest) => {
    const limits = { ...defaultLimits, maxBodyBytes: 5 };
    const heard = recordResponses([bytes(`HTTP/1.1 200 OK\r\n${rest}`)], { limits });
    expect(heard.at(-1)).toEqual({ error: "body-too-large", status: 502 });
  });
});

describe("the connection", () => {
  test("serves one response after the other", () => {
    const heard: string[] = [];
    const parser = createResponseParser(only({ onBody: (chunk) => heard.push(chunk.toString()), onEnd: () => heard.push("end") }));
    for (let index = 0; index < 5; index++) {
      parser.expect("GET");
      parser.push(bytes(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${index}`));
      expect(heard.splice(0)).toEqual([String(index), "end"]);
      expect(parser.keepAlive).toBe(true);
    }
    parser.finish();
  });

  test("may announce the next response while the last one ends", () => {
    let ended = 0;
    const parser = createResponseParser(
      only({
        onEnd() {
          if (++ended < 3) parser.expect("GET");
        },
      }),
    );
    parser.expect("GET");
    for (let index = 0; index < 3; index++) parser.push(bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(ended).toBe(3);
  });

  test("bytes that nobody asked for are an error, not the next response", () => {
    const heard: string[] = [];
    const parser = createResponseParser(
      only({
        onResponse: (head) => heard.push(String(head.status)),
        onEnd() {
          heard.push(parser.keepAlive ? "keep" : "close");
          parser.expect("GET");
        },
        onError: (error) => heard.push(error.code),
      }),
    );
    parser.expect("GET");
    parser.push(bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"));
    expect(heard).toEqual(["200", "close", "unexpected-bytes"]);
  });

  test("bytes on an idle connection are an error", () => {
    const heard: string[] = [];
    const parser = createResponseParser(only({ onError: (error) => heard.push(error.code) }));
    parser.push(bytes("HTTP/1.1 408 Request Timeout\r\n\r\n"));
    expect(heard).toEqual(["unexpected-bytes"]);
  });

  test("the end of an idle connection is none", () => {
    const parser = createResponseParser(only({}));
    expect(() => parser.finish()).not.toThrow();
  });

  test("two requests are not answered at once", () => {
    const parser = createResponseParser(only({}));
    parser.expect("GET");
    expect(() => parser.expect("GET")).toThrow("before the last response");
  });
});

describe("another protocol", () => {
  const cases = [
    { name: "101", method: "GET", head: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" },
    { name: "2xx to CONNECT", method: "CONNECT", head: "HTTP/1.1 200 Connected\r\n\r\n" },
  ];

  test.each(cases)("takes over after $name, wherever it is cut", ({ method, head }) => {
    const whole = bytes(`${head}\0raw\nbytes`);
    for (const during of [true, false]) {
      for (let at = head.length; at <= whole.length; at++) {
        let taken: Buffer | undefined;
        const take = () => {
          if (during) taken = parser.takeRemainder();
        };
        const parser = createResponseParser(
          only({
            onInformational: take,
            onResponse: take,
            onEnd: () => expect.unreachable("a tunnel has no end of a message"),
          }),
        );
        parser.expect(method, true);
        parser.push(whole.subarray(0, at));
        if (!during) {
          parser.push(whole.subarray(at));
          taken = parser.takeRemainder();
        }
        expect(taken?.toString("latin1")).toBe(during ? whole.toString("latin1", head.length, at) : "\0raw\nbytes");
      }
    }
  });
});
