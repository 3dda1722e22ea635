/** `countersign inject` */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { parse } from "yaml";
import packageJson from "../package.json" with { type: "json" };
import type { Json } from "../common/injection/cel.ts";
import { injectText, type InjectOutcome } from "./kubernetes/inject-documents.ts";
import { InjectError, type InjectionSettings } from "../common/injection/inject-pod.ts";
import { defaultSettings } from "../common/injection/injected.ts";
import { asObject } from "../common/injection/json.ts";
import { settingsConfigMap } from "../common/injection/names.ts";

export interface InjectOptions {
  readonly file: readonly string[];
  readonly image?: string;
  readonly settings?: string;
}

const reasons: Readonly<Record<Exclude<InjectOutcome["outcome"], "injected">, string>> = {
  unchanged: "has its sidecar already",
  annotation: "left alone: its annotation refuses",
  "host-network": "left alone: it is in the network of its node",
  windows: "left alone: it is for Windows",
};

/** Prints all files, injected, as one text; what was done with each object goes to stderr. */
export async function inject(options: InjectOptions): Promise<void> {
  const settings = await settingsOf(options);
  const texts: string[] = [];
  for (const file of options.file) {
    const source = file === "-" ? "standard input" : file;
    const injected = injectText(await read(file), settings, source);
    texts.push(injected.text);
    for (const { kind, name, outcome } of injected.outcomes) {
      process.stderr.write(`${kind} ${name} ${outcome === "injected" ? "injected" : reasons[outcome]}\n`);
    }
  }
  const separated = texts.map((each, index) => (index === 0 || each.startsWith("---") ? each : `---\n${each}`));
  process.stdout.write(separated.join(""));
}

async function settingsOf({ image, settings }: InjectOptions): Promise<InjectionSettings> {
  const given = settings === undefined ? {} : await readSettings(settings);
  const ownImage = `${defaultSettings.image}:${packageJson.version}`;
  return { ...defaultSettings, image: ownImage, ...given, ...(image === undefined ? {} : { image }) };
}

async function readSettings(file: string): Promise<Readonly<Record<string, string>>> {
  const data = asObject(asObject(parse(await read(file)) as Json)?.["data"]);
  if (data === undefined) throw new InjectError("unreadable", `${file}: expected the ConfigMap ${settingsConfigMap}, with data`);
  return Object.fromEntries(Object.entries(data).flatMap(([key, value]) => (typeof value === "string" ? [[key, value]] : [])));
}

async function read(file: string): Promise<string> {
  return file === "-" ? await text(process.stdin) : await readFile(file, "utf8");
}
