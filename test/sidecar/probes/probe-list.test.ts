import { assert, constantFrom, property, string } from "fast-check";
import { expect, test } from "vitest";
import { findProbe, probeFromString, splitProbes } from "../../../sidecar/probes/probe-list.ts";

const probes = (text: string) => splitProbes(text).flatMap((entry) => probeFromString(entry) ?? []);

test.each([
  "",
  "http",
  "http:",
  "http:0/x",
  "http:080/x",
  "http:65536/x",
  "http:8080x",
  "http:8080?x",
  "http:8080/\n",
  "http://host:8080/x",
  "tcp:6379/",
  "tcp:host",
  "HTTP:80/",
  "udp:53",
  "exec:1/x",
])("%j is no probe", (entry) => {
  expect(probeFromString(entry)).toBeUndefined();
});

test("an entry that is broken is an entry all the same, and never a part of its neighbour", () => {
  expect(splitProbes("http:80/a,http:81/b,tcp:1,")).toEqual(["http:80/a", "http:81/b", "tcp:1", ""]);
  expect(splitProbes(" http:80/a , x:9")).toEqual(["http:80/a", "x:9"]);
});

test("what is listed is found at its path, and in the encoding that a kubelet gives it", () => {
  const list = probes("http:8080/a b?q=1,https:8443,grpc:50051/shop.Cart,grpc:50052,tcp:6379");
  expect(findProbe(list, "/app/http/8080/a%20b?q=1")).toMatchObject({ target: "/a%20b?q=1", probe: { kind: "http", port: 8080 } });
  expect(findProbe(list, "/app/https/8443")).toMatchObject({ target: "/" });
  expect(findProbe(list, "/app/https/8443/")).toMatchObject({ target: "/" });
  expect(findProbe(list, "/app/grpc/50051/shop.Cart")).toMatchObject({ target: "shop.Cart" });
  expect(findProbe(list, "/app/grpc/50052")).toMatchObject({ target: "" });
  expect(findProbe(list, "/app/tcp/6379")).toMatchObject({ target: "" });
});

test.each([
  "/app/http/8080/a%2fb",
  "/app/http/8080/x/../healthz",
  "/app/http/8080/healthz/",
  "/app/http/8080/healthz?x",
  "/app/http/8080/healthz%3Fx",
  "/app/http/8080",
  "/app/http/08080/healthz",
  "/app/https/8080/healthz",
  "/app/tcp/8080",
  "/app/http/8081/healthz",
  "/app/http/127.0.0.1:8080/healthz",
  "http://elsewhere/app/http/8080/healthz",
  "/app/",
  "/app/http/8080//healthz",
])("%s is not what was listed", (target) => {
  expect(findProbe(probes("http:8080/healthz,http:8080/a/b"), target)).toBeUndefined();
});

test("whatever is asked, what the application gets means what was listed", () => {
  const path = string({ unit: constantFrom("a", "/", "%", "2", "F", "f", "?", "#", ".", " ") }).map((text) => `/${text}`);
  const meaning = (target: string) =>
    target.replaceAll(/%([0-9A-Fa-f]{2})/g, (all, digits: string) => {
      const character = String.fromCharCode(Number.parseInt(digits, 16));
      return /[\w. -]/.test(character) ? character : all.toUpperCase();
    });
  expect(() => {
    assert(
      property(path, path, (listed, asked) => {
        const [probe] = probes(`http:80${listed}`);
        const found = probe && findProbe([probe], `/app/http/80${asked}`);
        return !found || meaning(found.target) === meaning(listed.trim());
      }),
    );
  }).not.toThrow();
});
