/** Files as kubectl reads them: YAML 1.1, in which `0440` is octal and `yes` is true. */
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import type { Json } from "../../../common/injection/cel.ts";
import { KustomizeError } from "./error.ts";

/** The text of a file. Throws KustomizeError `unreadable`. */
export type ReadText = (path: string) => string;

export function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new KustomizeError("unreadable", `${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Documents of which something is left without their comments. Throws KustomizeError `unreadable`. */
export function documentsOf(text: string, path: string): readonly Json[] {
  const documents = parseAllDocuments(text, { version: "1.1" });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new KustomizeError("unreadable", `${path}: ${error.message.split("\n")[0]}`, { cause: error });
    const value = document.toJS() as Json;
    return value === null ? [] : [value];
  });
}
