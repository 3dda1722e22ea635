import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createField, FieldKind } from "../../../common/http/field.ts";
import { Http1Error } from "../../../sidecar/http1/error.ts";
import {
  CHUNKED_BODY,
  CLOSE,
  NO_FRAMING,
  writeChunkHead,
  writeLastChunk,
  writeRequestHead,
  writeResponseHead,
} from "../../../sidecar/http1/write-head.ts";

const accept = createField("accept", "*/*");
const signature = createField("authorization", "AWS4-HMAC-SHA256 x");

function codeOf(action: () => string): string {
  try {
    return `wrote ${JSON.stringify(action())}`;
  } catch (error) {
    return error instanceof Http1Error ? error.code : String(error);
  }
}

describe("heads", () => {
  test("a request", () => {
    expect(writeRequestHead("GET", "/a?b", "shop:80", [accept], NO_FRAMING, [signature])).toBe(
      "GET /a?b HTTP/1.1\r\nhost: shop:80\r\naccept: */*\r\nauthorization: AWS4-HMAC-SHA256 x\r\n\r\n",
    );
  });

  test("framing is the writer's", () => {
    const fields = [createField("content-length", "9"), createField("transfer-encoding", "chunked"), accept];
    const rest = "host: a\r\naccept: */*\r\n";
    expect(writeRequestHead("PUT", "/", "a", fields, 5)).toBe(`PUT / HTTP/1.1\r\n${rest}content-length: 5\r\n\r\n`);
    expect(writeRequestHead("PUT", "/", "a", fields, 0)).toBe(`PUT / HTTP/1.1\r\n${rest}content-length: 0\r\n\r\n`);
    expect(writeRequestHead("PUT", "/", "a", fields, CHUNKED_BODY)).toBe(`PUT / HTTP/1.1\r\n${rest}transfer-encoding: chunked\r\n\r\n`);
    expect(writeRequestHead("PUT", "/", "a", fields, NO_FRAMING)).toBe(`PUT / HTTP/1.1\r\n${rest}\r\n`);
  });

  test("no field of one connection, no second host", () => {
    const names = ["connection", "keep-alive", "te", "trailer", "upgrade", "proxy-authorization", "host"];
    const fields = [...names.map((name) => createField(name, "x")), accept];
    expect(writeRequestHead("GET", "/", "a", fields, NO_FRAMING)).toBe("GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n");
    expect(writeResponseHead(200, fields, NO_FRAMING, fields)).toBe("HTTP/1.1 200 OK\r\naccept: */*\r\naccept: */*\r\n\r\n");
  });

  test("kinds are left out of what was received and not of what is added", () => {
    const identity = createField("x-countersign-principal", "spiffe://a/b");
    expect(writeRequestHead("GET", "/", "a", [identity, accept], NO_FRAMING, [identity], FieldKind.IDENTITY)).toBe(
      "GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\nx-countersign-principal: spiffe://a/b\r\n\r\n",
    );
  });

  test("connection and upgrade", () => {
    expect(writeResponseHead(200, [], 0, [], 0, CLOSE)).toBe("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    expect(writeResponseHead(101, [accept], NO_FRAMING, [], 0, "websocket")).toBe(
      "HTTP/1.1 101 Switching Protocols\r\naccept: */*\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
  });

  test("a status without a reason keeps its space", () => {
    expect(writeResponseHead(599, [], NO_FRAMING)).toBe("HTTP/1.1 599 \r\n\r\n");
  });
});

describe("chunks", () => {
  test("sizes are hexadecimal, and never the last one", () => {
    expect(writeChunkHead(1)).toBe("1\r\n");
    expect(writeChunkHead(65_536)).toBe("10000\r\n");
    for (const length of [0, -1, 1.5, Number.NaN]) expect(codeOf(() => writeChunkHead(length))).toBe("unsafe-text");
  });

  test("trailers, but none that may not be one", () => {
    expect(writeLastChunk()).toBe("0\r\n\r\n");
    expect(writeLastChunk([createField("x-sum", "1"), createField("content-length", "1"), signature])).toBe("0\r\nx-sum: 1\r\n\r\n");
  });
});

describe("refuses", () => {
  const unsafe = fc
    .tuple(fc.string(), fc.constantFrom("\r", "\n", "\0", "\r\nx: y", "\r\n\r\nGET / HTTP/1.1"), fc.string())
    .map((parts) => parts.join(""));

  test("line ends and NUL in anything", () => {
    fc.assert(
      fc.property(unsafe, (text) => {
        const fields = [createField("x", text)];
        const named = [createField(`x${text}`, "y")];
        const forged = [{ ...accept, line: `accept: ${text}\r\n` }];
        const written = [
          () => writeRequestHead(text, "/", "a", [], NO_FRAMING),
          () => writeRequestHead("GET", text, "a", [], NO_FRAMING),
          () => writeRequestHead("GET", "/", text, [], NO_FRAMING),
          () => writeRequestHead("GET", "/", "a", fields, NO_FRAMING),
          () => writeRequestHead("GET", "/", "a", named, NO_FRAMING),
          () => writeRequestHead("GET", "/", "a", forged, NO_FRAMING),
          () => writeRequestHead("GET", "/", "a", [], NO_FRAMING, fields),
          () => writeRequestHead("GET", "/", "a", [], NO_FRAMING, [], 0, text),
          () => writeResponseHead(200, fields, NO_FRAMING),
          () => writeResponseHead(200, [], NO_FRAMING, named),
          () => writeResponseHead(200, [], NO_FRAMING, [], 0, text),
          () => writeLastChunk(fields),
          () => writeLastChunk(named),
        ];
        for (const write of written) expect(codeOf(write)).toBe("unsafe-text");
      }),
    );
  });

  test.each([
    ["a space in the method", () => writeRequestHead("GET /x", "/", "a", [], NO_FRAMING)],
    ["a space in the target", () => writeRequestHead("GET", "/ x", "a", [], NO_FRAMING)],
    ["no target", () => writeRequestHead("GET", "", "a", [], NO_FRAMING)],
    ["characters that are no bytes", () => writeRequestHead("GET", "/\u010a", "a", [], NO_FRAMING)],
    ["characters that would become line ends", () => writeRequestHead("GET", "/", "a", [createField("x", "\u010d\u010a")], NO_FRAMING)],
    ["characters of that kind in an upgrade", () => writeResponseHead(101, [], NO_FRAMING, [], 0, "a\u010d\u010ab")],
    ["a status that is none", () => writeResponseHead(2000, [], NO_FRAMING)],
    ["a length that is none", () => writeRequestHead("GET", "/", "a", [], 1.5)],
    ["a framing that is none", () => writeRequestHead("GET", "/", "a", [], -3)],
  ])("%s", (_, write) => {
    expect(codeOf(write)).toBe("unsafe-text");
  });
});
