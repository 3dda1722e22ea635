/** Lists of the API server's, a page at a time. */
import { z } from "zod";
import type { Ask } from "./connect.ts";

const page = z.object({ items: z.array(z.unknown()), metadata: z.object({ continue: z.string().default("") }).prefault({}) });
const pageItems = "500";

/** All items at a path; none where there is nothing of that name. Throws KubernetesError; `read` may throw ZodError. */
export async function listAll<T>(
  ask: Ask,
  path: string,
  read: (item: unknown) => T,
  query: Readonly<Record<string, string>> = {},
): Promise<T[]> {
  const items: T[] = [];
  let next = "";
  do {
    const parameters = new URLSearchParams({ ...query, limit: pageItems, ...(next !== "" && { continue: next }) });
    const found = page.optional().parse(await ask(`${path}?${parameters.toString()}`));
    items.push(...(found?.items ?? []).map(read));
    next = found?.metadata.continue ?? "";
  } while (next !== "");
  return items;
}
