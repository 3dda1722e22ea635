/** What is wrong with texts of resources: all of it at once. */
export type ResourceErrorCode = "invalid-resources";

export interface ResourceProblem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** `spec.ports[0].port`; empty for the document as a whole. */
  readonly path: string;
  /** What belongs there: "a whole number from 1 to 65535". Empty where `found` says it all. */
  readonly expected: string;
  /** What is there: `"http"`, `nothing`, `an unknown field`. */
  readonly found: string;
}

export class ResourceError extends Error {
  override readonly name = "ResourceError";
  readonly code: ResourceErrorCode = "invalid-resources";
  readonly problems: readonly ResourceProblem[];

  constructor(problems: readonly ResourceProblem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.problems = problems;
  }
}

/** `mesh.yaml:12:7: spec.ports[0].port: expected a whole number, found "http"` */
export function formatProblem({ file, line, column, path, expected, found }: ResourceProblem): string {
  const sentence = [expected && `expected ${expected}`, expected ? found && `found ${found}` : found]
    .filter((part) => part !== "")
    .join(", ");
  return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${sentence}`;
}
