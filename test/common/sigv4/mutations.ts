/** Texts that are nearly right, of latin1 as everything on the wire is: good ones with pieces cut out, put in, doubled, swapped and spelt otherwise. */
import * as fc from "fast-check";

type Change = (text: string) => string;

/** `pieces` are what is put in besides single characters; `separators` part a text into what is doubled, dropped and moved. */
export function mutated(base: fc.Arbitrary<string>, pieces: readonly string[], separators: readonly string[]): fc.Arbitrary<string> {
  // Evenly: numbers of fast-check are mostly small or large, and places would be mostly ends.
  const at = fc.noBias(fc.nat(9999)).map((share) => share / 10_000);
  const place = (text: string, where: number) => Math.floor(where * (text.length + 1));
  const character = fc.noBias(fc.nat(0xff)).map((code) => String.fromCharCode(code));
  const inserted = fc.oneof(character, fc.constantFrom(...pieces), fc.stringMatching(/^[0-9a-zA-Z]$/));

  const splice = fc.tuple(at, fc.nat(2), inserted).map(([where, remove, insert]): Change => (text) => {
    const start = place(text, where);
    return text.slice(0, start) + insert + text.slice(start + remove);
  });
  const cut = fc.tuple(at, fc.nat(30)).map(([where, length]): Change => (text) => {
    const start = place(text, where);
    return text.slice(0, start) + text.slice(start + length);
  });
  const turnCase = fc.tuple(at, fc.nat(20)).map(([where, length]): Change => (text) => {
    const start = place(text, where);
    const part = text.slice(start, start + length);
    const upper = part.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase());
    const lower = part.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
    return text.slice(0, start) + (part === lower ? upper : lower) + text.slice(start + length);
  });
  const escape = at.map((where): Change => (text) => {
    const start = Math.max(place(text, where) - 1, 0);
    return text.slice(0, start) + escaped(text.slice(start, start + 1)) + text.slice(start + 1);
  });
  const partwise = fc
    .record({ separator: fc.constantFrom(...separators), from: at, to: at, what: fc.constantFrom("double", "move", "drop") })
    .map(({ separator, from, to, what }): Change => (text) => {
      const parts = text.split(separator);
      const [part = ""] = parts.slice(Math.floor(from * parts.length));
      const rest = what === "double" ? parts : parts.toSpliced(Math.floor(from * parts.length), 1);
      return (what === "drop" ? rest : rest.toSpliced(Math.floor(to * (rest.length + 1)), 0, part)).join(separator);
    });
  const change = fc.oneof(splice, cut, turnCase, escape, partwise);
  return fc
    .tuple(base, fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([text, changes]) => changes.reduce((result, apply) => apply(result), text));
}

function escaped(character: string): string {
  return character === "" ? "" : `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
