/**
 * What of the rules is in a namespace. Each carries a comment, `countersign <id> <number>/<total>`, by which it is known again:
 * one that is missing, doubled, out of order or somebody else's shows, however a version of nft or iptables prints rules.
 */
export interface Installed {
  readonly backend: "nft" | "iptables";
  /** `drifted`: some of it is there, and not all of it as it was installed. */
  readonly state: "absent" | "complete" | "drifted";
  /** Of the rules that are there; undefined where they disagree. */
  readonly id: string | undefined;
  /** One sentence each. */
  readonly problems: readonly string[];
  /** As the backend's own program lists them. */
  readonly listing: string;
}

export function commentOf(id: string, number: number, total: number): string {
  return `countersign ${id} ${number}/${total}`;
}

export function markOf(comment: string | undefined): { readonly id: string; readonly number: number; readonly total: number } | undefined {
  const [, id, number, total] = /^countersign ([0-9a-f]{12}) (\d+)\/(\d+)/.exec(comment ?? "") ?? [];
  return id === undefined ? undefined : { id, number: Number(number), total: Number(total) };
}

/** `comments` of all rules of a set, in the order in which they are met. */
export function problemsOf(
  comments: readonly (string | undefined)[],
  where: string,
): { readonly ids: ReadonlySet<string>; readonly problems: string[] } {
  const ids = new Set<string>();
  const problems: string[] = [];
  const numbers: number[] = [];
  let total = 0;
  for (const comment of comments) {
    const mark = markOf(comment);
    if (!mark) {
      problems.push(`${where} has a rule that is not of countersign`);
      continue;
    }
    ids.add(mark.id);
    numbers.push(mark.number);
    total = Math.max(total, mark.total);
  }
  const missing = Array.from({ length: total }, (_, index) => index + 1).filter((number) => !numbers.includes(number));
  if (total === 0) problems.push(`${where} has no rules`);
  if (missing.length > 0) problems.push(`${where} lacks ${missing.length} of ${total} rules (${missing.join(", ")})`);
  if (new Set(numbers).size < numbers.length) problems.push(`${where} has rules twice`);
  else if (numbers.some((number, index) => number < (numbers[index - 1] ?? 0))) problems.push(`${where} has rules out of order`);
  if (ids.size > 1) problems.push(`${where} has rules of several installations`);
  return { ids, problems };
}
