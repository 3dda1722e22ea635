import { describe, expect, test } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { createChunkSigner } from "../../../common/sigv4/chunk-signer.ts";
import { origin } from "./chunk-streams.ts";

describe("the signer", () => {
  test("refuses an empty chunk, which would end the body", () => {
    expect(() => createChunkSigner({ ...origin, hasTrailers: false }).head(Buffer.alloc(0))).toThrow(RangeError);
  });

  test("refuses trailers that the request did not announce", () => {
    expect(() => createChunkSigner({ ...origin, hasTrailers: false }).end([createField("x-sum", "1")])).toThrow(RangeError);
  });
});
