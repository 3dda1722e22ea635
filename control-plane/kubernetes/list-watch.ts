/**
 * A copy of the objects of one kind, kept up to date by list and watch
 * (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
 *
 * - A list is taken whole, of one resource version, before any of it is shown.
 * - A watch goes on from the last version seen, which bookmarks move along. When that is no longer kept (410) or a watch fails
 *   again and again, everything is listed anew. It is also now and then, so that no event can be missed for good.
 * - While the API server cannot be reached the copy stays as it was; attempts are spaced by full jitter.
 */
import { z } from "zod";
import { createBackoff } from "../../common/runtime/backoff.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import type { KubernetesClient } from "./client.ts";
import { KubernetesError } from "./error.ts";

export interface ListWatchTimes {
  /** How long the API server is asked to keep a watch open; up to as much again is added at random. */
  readonly watchSeconds: number;
  /** Silence after which a watch counts as broken: bookmarks come about every minute. */
  readonly idleMilliseconds: number;
  readonly relistMilliseconds: number;
  readonly backoffBaseMilliseconds: number;
  readonly backoffMaximumMilliseconds: number;
}

export const defaultTimes: ListWatchTimes = {
  watchSeconds: 240,
  idleMilliseconds: 150_000,
  relistMilliseconds: 3_600_000,
  backoffBaseMilliseconds: 200,
  backoffMaximumMilliseconds: 20_000,
};

const pageSize = 500;
const maxPages = 2000;
const failuresBeforeList = 5;

const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(""),
  uid: z.string(),
  resourceVersion: z.string(),
});
const anyObject = z.object({ metadata });
const page = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().default("") }),
  items: z
    .array(z.unknown())
    .nullish()
    .transform((items) => items ?? []),
});
const event = z.discriminatedUnion("type", [
  z.object({ type: z.enum(["ADDED", "MODIFIED", "DELETED"]), object: z.unknown() }),
  z.object({ type: z.literal("BOOKMARK"), object: z.object({ metadata: z.object({ resourceVersion: z.string() }) }) }),
  z.object({ type: z.literal("ERROR"), object: z.object({ code: z.int().default(500), message: z.string().default("") }) }),
]);

interface Held<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly object: T;
}

export interface ListWatch<T> {
  readonly name: string;
  /** By `<namespace>/<name>` (`/<name>` where there is no namespace); undefined before the first list. */
  readonly objects: () => ReadonlyMap<string, T> | undefined;
  /** Keeps the copy until the signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export function createListWatch<T>(options: {
  /** For log lines and metrics. */
  readonly name: string;
  /** `/api/v1/pods`, with `fieldSelector` and the like in its query. */
  readonly path: string;
  readonly client: Pick<KubernetesClient, "request" | "watch">;
  /** What is kept of an object. Throws for what is none; such an object is left out, and said. */
  readonly parse: (object: unknown) => T;
  /** Called after every change of the copy. */
  readonly onChange: () => void;
  readonly onError?: (code: string) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly times?: ListWatchTimes;
}): ListWatch<T> {
  const { name, client, clock, random, logger, onChange, times = defaultTimes } = options;
  const backoff = createBackoff({
    baseMilliseconds: times.backoffBaseMilliseconds,
    maximumMilliseconds: times.backoffMaximumMilliseconds,
    clock,
    random,
  });
  let held: Map<string, Held<T>> | undefined;
  let shown: ReadonlyMap<string, T> | undefined;
  /** Why it failed last, since it last worked. */
  let failing: string | undefined;

  const withQuery = (query: Record<string, string>): string =>
    `${options.path}${options.path.includes("?") ? "&" : "?"}${new URLSearchParams(query).toString()}`;

  function show(): void {
    shown = undefined;
    onChange();
  }

  /** Undefined for what cannot be read. */
  function read(value: unknown): { readonly key: string; readonly held: Held<T> | undefined } {
    const { metadata: of } = anyObject.parse(value);
    const key = `${of.namespace}/${of.name}`;
    try {
      return { key, held: { uid: of.uid, resourceVersion: of.resourceVersion, object: options.parse(value) } };
    } catch (error) {
      logger.error({ err: error, resource: name, object: key }, "an object of the cluster cannot be read; it is left out");
      return { key, held: undefined };
    }
  }

  async function list(signal: AbortSignal): Promise<string> {
    const found = new Map<string, Held<T>>();
    let token = "";
    let version: string | undefined;
    for (let pages = 0; pages < maxPages; pages += 1) {
      const answer = checked(
        page,
        await client.request({
          method: "GET",
          path: withQuery({ limit: String(pageSize), ...(token === "" ? {} : { continue: token }) }),
          signal,
        }),
      );
      version ??= answer.metadata.resourceVersion;
      if (version !== answer.metadata.resourceVersion) {
        throw new KubernetesError("gone", `${name}: the pages of a list are of different versions`);
      }
      for (const item of answer.items) {
        const { key, held: one } = read(item);
        if (one !== undefined) found.set(key, one);
      }
      token = answer.metadata.continue;
      if (token !== "") continue;
      held = found;
      show();
      return version;
    }
    throw new KubernetesError("malformed-answer", `${name}: a list of more than ${maxPages} pages`);
  }

  function take(value: unknown, deleted: boolean): string {
    const { metadata: of } = anyObject.parse(value);
    const key = `${of.namespace}/${of.name}`;
    const known = held?.get(key);
    if (deleted) {
      // Of an object that has been made anew since, the old one's end is no news.
      if (known?.uid === of.uid && isNewer(of.resourceVersion, known.resourceVersion)) {
        held?.delete(key);
        show();
      }
      return of.resourceVersion;
    }
    // What comes twice, or late, changes nothing.
    if (known !== undefined && !isNewer(of.resourceVersion, known.resourceVersion)) return of.resourceVersion;
    const { held: one } = read(value);
    if (one === undefined) held?.delete(key);
    else held?.set(key, one);
    show();
    return of.resourceVersion;
  }

  /** One watch from that version on; resolves to the last version seen when the API server ends it. */
  async function watchFrom(version: string, onVersion: (version: string) => void, signal: AbortSignal): Promise<void> {
    const timeoutSeconds = String(Math.round(times.watchSeconds * (1 + random())));
    const path = withQuery({ watch: "true", resourceVersion: version, allowWatchBookmarks: "true", timeoutSeconds });
    for await (const line of client.watch(path, times.idleMilliseconds, signal)) {
      const { type, object } = checked(event, line);
      if (type === "ERROR") {
        const code = object.code === 410 ? "gone" : "server-error";
        throw new KubernetesError(code, `watch of ${name}: ${object.code} ${object.message}`);
      }
      onVersion(type === "BOOKMARK" ? object.metadata.resourceVersion : take(object, type === "DELETED"));
    }
  }

  /** Watches until a list is due. */
  async function follow(listed: string, signal: AbortSignal): Promise<void> {
    const listAgainAt = clock.now() + times.relistMilliseconds * (0.5 + random());
    let version = listed;
    let failures = 0;
    while (clock.now() < listAgainAt && failures < failuresBeforeList) {
      let moved = false;
      let failed: unknown;
      try {
        await watchFrom(
          version,
          (next) => {
            if (isNewer(next, version)) version = next;
            moved = true;
          },
          signal,
        );
      } catch (error) {
        failed = error;
      }
      signal.throwIfAborted();
      if (failed instanceof KubernetesError && failed.code === "gone") return;
      if (moved) {
        backoff.reset();
        failures = 0;
        failing = undefined;
      }
      if (failed !== undefined) {
        report(failed, "a watch broke off");
        failures += 1;
      }
      // Also after an end in good order: one that comes at once, again and again, must not make a storm.
      if (!moved || failed !== undefined) await backoff.wait(signal);
    }
  }

  function report(error: unknown, message: string): void {
    const code = error instanceof KubernetesError ? error.code : "internal";
    options.onError?.(code);
    // An API server that is away for an hour would fill the log; the metric counts them all.
    if (code !== failing) logger.warn({ err: error, resource: name, reason: code }, message);
    failing = code;
  }

  return {
    name,
    objects() {
      if (held === undefined) return undefined;
      shown ??= new Map([...held].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, { object }]) => [key, object]));
      return shown;
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          await follow(await list(signal), signal);
          // Not reset by a list alone: an API server that answers every watch with 410 must not be listed without end.
          await backoff.wait(signal);
        } catch (error) {
          if (signal.aborted) return;
          report(error, "a list failed; trying again");
          await backoff.wait(signal);
        }
      }
    },
  };
}

/** Versions are decimal numbers that rise (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions). */
function isNewer(version: string, than: string): boolean {
  const decimal = /^\d{1,20}$/;
  return decimal.test(version) && decimal.test(than) ? BigInt(version) > BigInt(than) : version !== than;
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new KubernetesError("malformed-answer", "an answer that the API does not promise", { cause: parsed.error });
}
