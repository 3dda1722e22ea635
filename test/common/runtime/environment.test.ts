import { expect, test } from "vitest";
import {
  ConfigError,
  address,
  addressFromString,
  addressToString,
  flag,
  integer,
  listenTarget,
  oneOf,
  optional,
  pattern,
  readEnvironment,
  secret,
  text,
  withDefault,
} from "../../../common/runtime/environment.ts";
import type { Environment } from "../../../common/runtime/environment.ts";

const variables = {
  data: text("COUNTERSIGN_DATA", "a folder"),
  grpc: withDefault(address("COUNTERSIGN_GRPC"), { host: "127.0.0.1", port: 15012 }),
  attempts: withDefault(integer("COUNTERSIGN_ATTEMPTS", { minimum: 1, maximum: 10 }), 3),
  level: withDefault(oneOf("COUNTERSIGN_LOG", ["info", "debug"]), "info"),
  strict: withDefault(flag("COUNTERSIGN_STRICT"), false),
  token: optional(secret("COUNTERSIGN_TOKEN", "a token")),
  domain: optional(pattern("COUNTERSIGN_DOMAIN", "a trust domain", /^[a-z.]+$/)),
};

const problemsOf = (environment: Environment): readonly string[] => {
  try {
    readEnvironment(environment, variables);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

test("what the command line reads may be set for everything that a shell starts", () => {
  expect(problemsOf({ COUNTERSIGN_DATA: "/data", COUNTERSIGN_ADMIN_SOCKET: "/data/admin.sock" })).toEqual([]);
});

test("what Kubernetes sets for Services whose names begin like our variables is none of ours", () => {
  const links = {
    COUNTERSIGN_DEMO_SERVICE_HOST: "10.96.0.7",
    COUNTERSIGN_DEMO_SERVICE_PORT: "80",
    COUNTERSIGN_DEMO_SERVICE_PORT_HTTP_WEB: "80",
    COUNTERSIGN_DEMO_PORT: "tcp://10.96.0.7:80",
    COUNTERSIGN_DEMO_PORT_80_TCP: "tcp://10.96.0.7:80",
    COUNTERSIGN_DEMO_PORT_80_TCP_PROTO: "tcp",
    COUNTERSIGN_SERVICE_HOST: "10.96.0.8",
    COUNTERSIGN_PORT: "tcp://10.96.0.8:80",
  };
  expect(problemsOf({ COUNTERSIGN_DATA: "/d", ...links })).toEqual([]);
  expect(problemsOf({ COUNTERSIGN_DATA: "/d", ...links, COUNTERSIGN_DEMO_PORTS: "1", COUNTERSIGN_DEMO: "1" })).toHaveLength(2);
  expect(problemsOf({ COUNTERSIGN_DATA: "/d", COUNTERSIGN_DEMO_PORT: "1" })).toHaveLength(1);
});

test("reads every variable, with defaults for what is unset or empty", () => {
  expect(readEnvironment({ COUNTERSIGN_DATA: "/d", COUNTERSIGN_LOG: "", PATH: "/bin" }, variables)).toEqual({
    data: "/d",
    grpc: { host: "127.0.0.1", port: 15012 },
    attempts: 3,
    level: "info",
    strict: false,
    token: undefined,
    domain: undefined,
  });
  expect(readEnvironment({ COUNTERSIGN_DATA: "d", COUNTERSIGN_GRPC: "[::1]:0", COUNTERSIGN_STRICT: "true" }, variables)).toMatchObject({
    grpc: { host: "::1", port: 0 },
    strict: true,
  });
});

test("names every bad variable at once", () => {
  expect(
    problemsOf({
      COUNTERSIGN_GRPC: "15012",
      COUNTERSIGN_ATTEMPTS: "11",
      COUNTERSIGN_LOG: "loud",
      COUNTERSIGN_STRICT: "yes",
      COUNTERSIGN_DOMAIN: "A B",
      COUNTERSIGN_ATEMPTS: "2",
      COUNTERSIGN_ENTIRELY_ELSE: "x",
    }),
  ).toEqual([
    "COUNTERSIGN_DATA: expected a folder, but it is not set",
    'COUNTERSIGN_GRPC: expected host:port, found "15012"',
    'COUNTERSIGN_ATTEMPTS: expected a whole number from 1 to 10, found "11"',
    'COUNTERSIGN_LOG: expected one of info, debug, found "loud"',
    'COUNTERSIGN_STRICT: expected true or false, found "yes"',
    'COUNTERSIGN_DOMAIN: expected a trust domain, found "A B"',
    "COUNTERSIGN_ATEMPTS: not a variable of this program; did you mean COUNTERSIGN_ATTEMPTS?",
    "COUNTERSIGN_ENTIRELY_ELSE: not a variable of this program",
  ]);
});

test.each(["1.5", "1e1", "0x5", " 5", "5 ", "99999999999999999999", "-0x1", "Infinity"])("%j is no whole number", (value) => {
  expect(problemsOf({ COUNTERSIGN_DATA: "d", COUNTERSIGN_ATTEMPTS: value })).toHaveLength(1);
});

test.each(["", "a", ":1", "a:", "a:65536", "a:-1", "::1:80", "[::1]", "a b:1", "u@h:1", "h/p:1", "a:1:2"])("%j is no address", (value) => {
  expect(addressFromString(value)).toBeUndefined();
});

test.each(["localhost:80", "10.0.0.1:0", "[fe80::1]:65535"])("%j is read and written back", (value) => {
  const read = addressFromString(value);
  expect(read).toBeDefined();
  expect(read && addressToString(read)).toBe(value);
});

test("a listener's socket is bound here, or handed down", () => {
  const read = (value: string) => readEnvironment({ COUNTERSIGN_INBOUND: value }, { inbound: listenTarget("COUNTERSIGN_INBOUND") }).inbound;
  expect(read("[::]:15006")).toEqual({ host: "::", port: 15006 });
  expect(read("fd:3")).toEqual({ fd: 3 });
  for (const bad of ["fd:", "fd:2", "fd:-3", "fd:3x", "fd:99999", "3"]) expect(() => read(bad)).toThrow(ConfigError);
});
