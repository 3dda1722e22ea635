/** What of a message's fields travels on to the next leg (RFC 9110 7.6.1). */
import { FieldKind, type Field } from "../../common/http/field.ts";

const nothingNamed: ReadonlySet<string> = new Set();

/** Field names that `Connection` declares to concern this connection only. */
function namedByConnection(fields: readonly Field[]): ReadonlySet<string> {
  let names: Set<string> | undefined;
  for (const field of fields) {
    if (!(field.kinds & FieldKind.CONNECTION)) continue;
    for (const option of field.value.toLowerCase().split(",")) {
      const name = option.trim();
      if (name !== "keep-alive" && name !== "close") (names ??= new Set()).add(name);
    }
  }
  return names ?? nothingNamed;
}

/** `fields` without the hop-by-hop ones and without those of the kinds in `also`. The same array where nothing is left out. */
export function endToEndFields(fields: readonly Field[], kinds: number, also: number): readonly Field[] {
  const excluded = FieldKind.HOP_BY_HOP | also;
  if (!(kinds & excluded)) return fields;
  const named = kinds & FieldKind.CONNECTION ? namedByConnection(fields) : nothingNamed;
  return fields.filter((field) => !(field.kinds & excluded) && !named.has(field.name));
}
