import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStream } from "../../../sidecar/http2/stream.ts";
import { addStream, allStreams, createStreamTable, findStream, removeStream } from "../../../sidecar/http2/stream-table.ts";

describe("the table of streams", () => {
  it("is a map by id, whatever stays open for how long", () => {
    const step = fc.record({ open: fc.boolean(), which: fc.nat(2000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.constantFrom(1, 512, 1024), (steps, stride) => {
        const table = createStreamTable();
        const model = new Map<number, ReturnType<typeof createStream>>();
        for (const { open, which } of steps) {
          // Strides that bring many ids to the same place.
          const id = 2 * (which % 50) * stride + 1;
          const known = model.get(id);
          if (open && known === undefined) {
            const stream = createStream(id, 0, 0, 0);
            model.set(id, stream);
            addStream(table, stream);
          } else if (!open && known !== undefined) {
            model.delete(id);
            removeStream(table, known);
            removeStream(table, known);
          }
          expect(findStream(table, id)).toBe(model.get(id));
          expect(table.size).toBe(model.size);
        }
        expect(new Set(allStreams(table))).toEqual(new Set(model.values()));
      }),
    );
  });
});
