/** AWS's UriEncode(): every byte but RFC 3986's unreserved ones becomes an upper-case escape. Text is latin1: one character, one byte. */

const reserved = /[^A-Za-z0-9\-._~]/g;
const reservedInPath = /[^A-Za-z0-9\-._~/]/g;
const anyReservedInPath = /[^A-Za-z0-9\-._~/]/;

const escapeOf = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`);

function encodeCharacter(character: string): string {
  const escape = escapeOf[character.charCodeAt(0)];
  if (escape === undefined) throw new TypeError("text to encode must be latin1");
  return escape;
}

export function uriEncode(text: string): string {
  return text.replace(reserved, encodeCharacter);
}

/** The same with slashes left as they are. */
export function uriEncodePath(path: string): string {
  return anyReservedInPath.test(path) ? path.replace(reservedInPath, encodeCharacter) : path;
}
