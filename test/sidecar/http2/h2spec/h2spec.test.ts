/**
 * Every case of h2spec's list, by its section and number: `http2/6.9/2` here is `h2spec http2/6.9/2` there. What a server
 * may do in several ways there (end the stream or the connection, say) is fixed here to the one way that ours does it.
 */
import { describe, expect, it } from "vitest";
import { contents } from "./contents.ts";
import { frames } from "./frames.ts";
import { generic } from "./generic.ts";
import { hpack } from "./hpack.ts";
import { messages } from "./messages.ts";
import { streams } from "./streams.ts";

const sections = Map.groupBy([...generic, ...streams, ...frames, ...messages, ...hpack], ({ section }) => section);

it("has a test for every case of the table of contents, and no others", () => {
  expect([...sections].map(([section, { length }]) => [section, length])).toEqual(contents);
  expect(contents.reduce((sum, [, cases]) => sum + cases, 0)).toBe(146);
});

describe.each([...sections])("%s", (section, cases) => {
  it.each(cases.map((each, i) => [`${section}/${i + 1} ${each.what}`, each.run] as const))("%s", (_, run) => {
    expect.hasAssertions();
    run();
  });
});
