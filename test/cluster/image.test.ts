import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { because, builtImage, missingOwnCluster } from "./harness.ts";
import { openImage, type ImageFiles } from "./images.ts";
import { must, run } from "./run.ts";

const checkout = join(import.meta.dirname, "../..");
const base = "docker.io/library/node:26-bookworm-slim";

const flag = z.boolean().optional();
const locked = z.object({ version: z.string(), dev: flag, optional: flag, devOptional: flag });
const lockFile = z.object({ packages: z.record(z.string(), locked).transform((packages) => new Map(Object.entries(packages))) });
const configuration = z.object({
  OCIv1: z.object({ config: z.object({ User: z.string(), Entrypoint: z.array(z.string()), Env: z.array(z.string()) }) }),
});
const billOfMaterials = z.object({
  bomFormat: z.literal("CycloneDX"),
  metadata: z.object({ component: z.object({ name: z.string() }) }),
  components: z.array(z.object({ name: z.string(), version: z.string() })),
});

describe.skipIf(missingOwnCluster !== undefined)(`the image${because(missingOwnCluster)}`, () => {
  let image: ImageFiles;
  let inImage: string;
  beforeAll(async () => {
    image = await openImage(builtImage());
    inImage = join(image.root, "countersign");
  });
  afterAll(() => image[Symbol.asyncDispose]());

  /** As the image's user, in its files alone. */
  const insideCommand = (...command: readonly string[]): readonly string[] => [
    "buildah",
    "run",
    "--isolation",
    "chroot",
    image.container,
    "--",
    ...command,
  ];
  const inside = (...command: readonly string[]): Promise<string> => must(insideCommand(...command));

  test("is under 250 MB without its base", async () => {
    await using baseFiles = await openImage(base);
    const bytes = async (root: string): Promise<number> => Number((await must(["du", "-sb", "--one-file-system", root])).split("\t")[0]);
    const added = (await bytes(image.root)) - (await bytes(baseFiles.root));
    process.stderr.write(`the image: ${(added / 1e6).toFixed(0)} MB over its base\n`);
    expect(added).toBeGreaterThan(10e6);
    expect(added).toBeLessThan(250e6);
  });

  test("starts as user 1337 with the command line as PID 1", async () => {
    const inspected = JSON.parse(await must(["buildah", "inspect", "--type", "image", builtImage()]));
    const { User: user, Entrypoint: entrypoint } = configuration.parse(inspected).OCIv1.config;
    expect(user).toBe("1337:1337");
    expect(entrypoint).toEqual(["/countersign/bin/countersign"]);
    expect((await inside("id", "-u")).trim()).toBe("1337");
    expect(await inside("/countersign/bin/countersign", "--help")).toContain("Usage: countersign");
  });

  test("has production dependencies and sources, and nothing else of the checkout", async () => {
    const { packages } = lockFile.parse(JSON.parse(await readFile(join(checkout, "package-lock.json"), "utf8")));
    const production = [...packages]
      .filter(([path, { dev, optional, devOptional }]) => path !== "" && !dev && !optional && !devOptional)
      .map(([path, { version }]) => `${path.replace(/^.*node_modules\//, "")}@${version}`);
    expect(await packagesIn(join(inImage, "node_modules"))).toEqual([...new Set(production)].sort());
    expect((await readdir(inImage)).sort()).toEqual(
      [
        ".compiled",
        "LICENSE",
        "bin",
        "cli",
        "common",
        "control-plane",
        "k8s",
        "node_modules",
        "package-lock.json",
        "package.json",
        "sbom.cdx.json",
        "sidecar",
      ].sort(),
    );
    const npmrcs = await must(["find", image.root, "-xdev", "-name", ".npmrc", "-size", "+0"]);
    expect(npmrcs).toBe("");
  });

  test("is readable by its user and writable by root alone", async () => {
    expect(
      await must(["find", inImage, "!", "-type", "l", "(", "!", "-perm", "-o=r", "-o", "-perm", "/go=w", "-o", "!", "-user", "root", ")"]),
    ).toBe("");
  });

  test("has the programs that install interception's rules", async () => {
    expect(await inside("nft", "--version")).toMatch(/^nftables v/);
    expect(await inside("iptables-nft-restore", "--version")).toMatch(/^iptables-nft-restore v/);
  });

  test.each(["sidecar", "control-plane"])("a %s starts from what was compiled when the image was built", async (role) => {
    const { stdout } = await run(
      insideCommand("sh", "-c", `NODE_DEBUG_NATIVE=COMPILE_CACHE exec /countersign/bin/countersign ${role} 2>&1`),
    );
    expect(stdout).toContain(`StrippedTypeScript file:///countersign/${role}/main.ts...success`);
    const others = stdout.split("\n").filter((line) => /retrieving transpile cache/.test(line) && !line.endsWith("...success"));
    expect(others).toEqual([]);
  });

  test("carries a bill of exactly the packages that are in it, which npm run sbom prints", async () => {
    const bill = billOfMaterials.parse(JSON.parse(await readFile(join(inImage, "sbom.cdx.json"), "utf8")));
    expect(bill.metadata.component.name).toBe("countersign");
    const listed = bill.components.map(({ name, version }) => `${name}@${version}`).sort();
    expect(listed).toEqual(await packagesIn(join(inImage, "node_modules")));
    const printed = billOfMaterials.parse(JSON.parse(await must(["npm", "run", "-s", "sbom"], { cwd: checkout })));
    expect(printed.components).toEqual(bill.components);
  });
});

const manifest = z.object({ name: z.string(), version: z.string() });

/** The packages of a node_modules folder, and of those inside of them, as `name@version`: sorted, each once. */
async function packagesIn(folder: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const file of (await must(["find", folder, "-path", "*/node_modules/*", "-name", "package.json"])).trim().split("\n")) {
    // Packages have further ones of their own, such as those that say `"type": "module"` for a folder.
    if (!/node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/.test(file)) continue;
    const { name, version } = manifest.parse(JSON.parse(await readFile(file, "utf8")));
    found.add(`${name}@${version}`);
  }
  return [...found].sort();
}
