/** Images made with buildah from real Dockerfiles, and brought to the node: no registry takes part. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, run } from "./run.ts";

export interface ImageSource {
  /** As pods name it, with its tag. */
  readonly name: string;
  /** The folder that COPY copies from. */
  readonly context: string;
  /** Default: the Dockerfile of the context. */
  readonly file?: string;
  readonly target?: string;
}

/**
 * Builds it, on the images that `base-images` makes where this machine has none of those names. npm finds its registry as it does on this
 * machine, by a secret that is not in the image. Returns its id: the same for the same content.
 */
export async function buildImage({ name, context, file = join(context, "Dockerfile"), target }: ImageSource): Promise<string> {
  await must([join(import.meta.dirname, "base-images")], { timeoutMs: 15 * 60_000 });
  const work = await mkdtemp(join(tmpdir(), "countersign-image-"));
  try {
    const [npmrc, certificates] = await npmConfiguration();
    const secret = join(work, "npmrc");
    await writeFile(secret, npmrc, { mode: 0o600 });
    const id = join(work, "id");
    // chroot and the machine's network: both also work where this machine is itself a container.
    const command = ["buildah", "bud", "--quiet", "--pull-never", "--layers", "--isolation", "chroot", "--network", "host"];
    command.push("--secret", `id=npmrc,src=${secret}`, "--iidfile", id, "--tag", `localhost/${name}`, "--file", file);
    if (certificates !== undefined) command.push("--volume", `${certificates}:${certificates}:ro`);
    if (target !== undefined) command.push("--target", target);
    await must([...command, context], { timeoutMs: 15 * 60_000 });
    return (await readFile(id, "utf8")).trim();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Brings a built image to a containerd, as `name`. `ctr`: the command that reaches it. */
export async function loadImage(id: string, name: string, ctr: readonly string[]): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "countersign-image-"));
  try {
    const archive = join(work, "image.tar");
    await must(["buildah", "push", "--quiet", id, `docker-archive:${archive}:docker.io/library/${name}`]);
    await must([...ctr, "--namespace", "k8s.io", "image", "import", archive]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

export interface ImageFiles extends AsyncDisposable {
  /** As buildah names it. */
  readonly container: string;
  /** Where all of its files are, as root of this machine sees them. */
  readonly root: string;
}

/** A container of the image that runs nothing, for looking into it. */
export async function openImage(id: string): Promise<ImageFiles> {
  const container = (await must(["buildah", "from", "--pull-never", id])).trim();
  const root = (await must(["buildah", "mount", container])).trim();
  return {
    container,
    root,
    [Symbol.asyncDispose]: async () => {
      await run(["buildah", "rm", container]);
    },
  };
}

/** What npm is configured to on this machine, as one file, and the certificates that it trusts, if those are of its own. */
async function npmConfiguration(): Promise<readonly [npmrc: string, certificates: string | undefined]> {
  const get = async (key: string): Promise<string> =>
    (await must(["npm", "config", "get", key, "--loglevel=silent"], { cwd: tmpdir() })).trim();
  let npmrc = "";
  for (const key of ["globalconfig", "userconfig"]) npmrc += `${await readFile(await get(key), "utf8").catch(() => "")}\n`;
  const configured = await get("cafile");
  const certificates = configured === "null" ? process.env["NODE_EXTRA_CA_CERTS"] : configured;
  if (certificates !== undefined) npmrc += `cafile=${certificates}\n`;
  return [npmrc, certificates];
}
