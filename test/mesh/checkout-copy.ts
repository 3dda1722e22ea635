/** Where `checkout.ts` puts its copy, if a test asks for one; gone when the run ends. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** A folder that is not there yet, in one that goes. */
    readonly checkoutCopy: string;
  }
}

export function setup({ provide }: TestProject): () => void {
  const folder = join(tmpdir(), `countersign-checkout-${process.pid}-${Date.now()}`);
  provide("checkoutCopy", join(folder, "countersign"));
  return () => rmSync(folder, { recursive: true, force: true });
}
