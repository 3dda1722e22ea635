/** AWS's published examples of chunked uploads. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { createChunkChain, type ChunkChainOptions } from "../../../common/sigv4/chunk-signature.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { read, streamOf } from "./chunk-streams.ts";

const file = new URL("../../../../shared/vectors/sigv4-chunked.json", import.meta.url);
const present = existsSync(file);
if (!present) process.stderr.write("vectors of chunked uploads skipped: ../shared/vectors/sigv4-chunked.json is not there\n");

interface Example {
  readonly secretAccessKey: string;
  readonly date: string;
  readonly scope: string;
  readonly seedSignature: string;
  readonly chunks: readonly { readonly bytes: number; readonly signature: string }[];
}

function originOf(example: Pick<Example, "secretAccessKey" | "date" | "scope" | "seedSignature">): ChunkChainOptions {
  const [date = "", region = "", service = ""] = example.scope.split("/");
  return {
    signingKey: createSigningKey(example.secretAccessKey, date, region, service),
    amzDate: example.date,
    scopeText: example.scope,
    seedSignature: example.seedSignature,
  };
}

const letters = (count: number) => Buffer.alloc(count, "a");

test.skipIf(!present)("Transferring Payload in Multiple Chunks", () => {
  const example = JSON.parse(readFileSync(file, "utf8")) as Example;
  const origin = originOf(example);
  const chain = createChunkChain(origin);
  expect(example.chunks.map(({ bytes }) => chain.sign(letters(bytes)))).toEqual(example.chunks.map(({ signature }) => signature));

  const stream = streamOf([letters(65_536), letters(1024)], undefined, origin);
  const [first, second, last] = example.chunks.map(({ signature }) => signature);
  expect(stream.toString("latin1")).toBe(
    `10000;chunk-signature=${first}\r\n${"a".repeat(65_536)}\r\n400;chunk-signature=${second}\r\n${"a".repeat(1024)}\r\n0;chunk-signature=${last}\r\n\r\n`,
  );
  // The page's own Content-Length.
  expect(stream).toHaveLength(66_824);
  const result = read([stream], { ...origin, decodedLength: 66_560 });
  expect(result).toMatchObject({ error: undefined, chunks: 2, trailers: [] });
  expect(result.payload.equals(letters(66_560))).toBe(true);
});

// From AWS's page "Including Trailing Headers (Chunked Upload)".
describe("Including Trailing Headers", () => {
  const origin = originOf({
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    date: "20130524T000000Z",
    scope: "20130524/us-east-1/s3/aws4_request",
    seedSignature: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
  });
  const wire = [
    "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "a".repeat(65_536),
    "400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "a".repeat(1024),
    "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    "x-amz-checksum-crc32c:sOO8/Q==",
    "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    "\r\n",
  ].join("\r\n");
  const checksum = createField("x-amz-checksum-crc32c", "sOO8/Q==");

  test("is what the signer writes", () => {
    expect(streamOf([letters(65_536), letters(1024)], [checksum], origin).toString("latin1")).toBe(wire);
  });

  test("is read", () => {
    const trailers = new Set(["x-amz-checksum-crc32c"]);
    const result = read([Buffer.from(wire, "latin1")], { ...origin, decodedLength: 66_560, trailers });
    expect(result).toMatchObject({ error: undefined, chunks: 2, trailers: [checksum] });
  });
});
