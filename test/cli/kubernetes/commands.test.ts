import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { run } from "../run.ts";

const pod = (annotations: object = {}): string =>
  JSON.stringify({ kind: "Pod", metadata: { name: "one", annotations }, spec: { containers: [{ name: "a", image: "b" }] } });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-cli-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("inject reads standard input, prints what kubectl applies, and says on stderr what it did", async () => {
  const { status, stdout, stderr } = await run(["inject", "-f", "-", "--image", "mesh:7"], { input: pod() });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "Pod one injected\n" });
  expect(JSON.parse(stdout)).toMatchObject({ spec: { initContainers: [{ image: "mesh:7" }, { image: "mesh:7" }] } });
});

test("inject reads several files, with the settings of a cluster", async () => {
  const settings = join(folder, "settings.yaml");
  await writeFile(settings, "kind: ConfigMap\ndata: { image: 'mesh:8', logLevel: debug }\n");
  const file = join(folder, "job.yaml");
  await writeFile(file, "kind: Job\nmetadata: { name: two }\nspec: { template: { spec: { containers: [] } } }\n");
  const { status, stdout, stderr } = await run(["inject", "-f", file, "-", "--settings", settings], {
    input: "kind: Service\nmetadata: { name: x }\n",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "Job two injected\n" });
  const documents = parseAllDocuments(stdout).map((document) => document.toJS() as { kind: string });
  expect(documents.map(({ kind }) => kind)).toEqual(["Job", "Service"]);
  expect(JSON.stringify(documents[0])).toContain('"mesh:8"');
  expect(JSON.stringify(documents[0])).toContain('"COUNTERSIGN_LOG_LEVEL","value":"debug"');
});

test("inject prints nothing where an annotation makes no sense, and names it", async () => {
  const input = pod({ "countersign.dev/proxy-cpu": "much" });
  expect(await run(["inject", "-f", "-"], { input })).toEqual({
    status: 1,
    stdout: "",
    stderr:
      'countersign: standard input: Pod one: annotation countersign.dev/proxy-cpu: expected an amount of CPU, such as 100m or 0.5, found "much"\n',
  });
});

test("inject says so where a file is missing", async () => {
  const { status, stderr } = await run(["inject", "-f", join(folder, "missing.yaml")]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^countersign: ENOENT.*missing\.yaml/);
});

test("check ends with one line where no API server answers", async () => {
  const nobody = createServer();
  await new Promise<void>((resolve) => nobody.listen(0, "127.0.0.1", resolve));
  const { port } = nobody.address() as AddressInfo;
  await new Promise((resolve) => nobody.close(resolve));
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(
    kubeconfig,
    `apiVersion: v1
kind: Config
clusters: [{ name: c, cluster: { server: "https://127.0.0.1:${port}" } }]
users: [{ name: u, user: {} }]
contexts: [{ name: x, context: { cluster: c, user: u } }]
current-context: x
`,
  );
  const { status, stdout, stderr } = await run(["check", "--kubeconfig", kubeconfig]);
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(/^countersign: GET \/version: .*ECONNREFUSED.*\n$/);
});

test("check says which kubeconfig it cannot read", async () => {
  const { status, stderr } = await run(["check", "--kubeconfig", join(folder, "none")]);
  expect(status).toBe(1);
  expect(stderr).toContain(join(folder, "none"));
});
