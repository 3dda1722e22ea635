/** One cluster and one build of the image for all test files. */
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildImage } from "./images.ts";
import { bringImage, startCluster, withoutCluster, type ClusterDescription } from "./start.ts";

export interface ClusterUnderTest {
  /** Why there is none, and what to do about it. */
  readonly missing?: string;
  readonly cluster?: ClusterDescription;
  /** The image as pods name it. */
  readonly image: string;
  /** As buildah knows it; only where it was built here. */
  readonly imageId?: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    readonly underTest: ClusterUnderTest;
  }
}

const checkout = join(import.meta.dirname, "../..");

export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const say = (message: string): void => void process.stderr.write(`test/cluster: ${message}\n`);
  const image = process.env["COUNTERSIGN_TEST_IMAGE"] ?? "countersign:dev";
  const missing = withoutCluster();
  if (missing !== undefined) {
    say(`${missing}; skipped`);
    provide("underTest", { missing, image });
    return async () => undefined;
  }
  const started = await startCluster(say);
  const { description: cluster } = started;
  try {
    if (cluster.own === undefined) {
      provide("underTest", { cluster, image });
    } else {
      const imageId = await buildImage({ name: image, context: checkout });
      await bringImage(cluster, imageId, image);
      provide("underTest", { cluster, image, imageId });
    }
  } catch (error) {
    await started[Symbol.asyncDispose]();
    throw error;
  }
  return async () => started[Symbol.asyncDispose]();
}
