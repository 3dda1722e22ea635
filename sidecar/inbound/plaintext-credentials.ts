/**
 * Signatures of the mesh's role sessions that come in plaintext. They are not believed, because nobody knows who sent them, and
 * their tokens are not for an application to see. An application's own credentials, AWS's among them, are its own affair.
 */
import { FieldKind, type Field } from "../../common/http/field.ts";
import { decodeQuery } from "../../common/sigv4/canonical-query.ts";

/** Access key ids of role sessions. */
const ofTheMesh = "CSGN";
const meshAuthorization = new RegExp(`^AWS4-[^ ]+ .*Credential=${ofTheMesh}`);

/** Whether an Authorization among them is one of the mesh's. */
export function bearMeshSignature(fields: readonly Field[]): boolean {
  return fields.some(({ kinds, value }) => (kinds & FieldKind.AUTHORIZATION) !== 0 && meshAuthorization.test(value));
}

/** `query` without a signature of the mesh's; as it is where it carries none. */
export function withoutMeshSignature(query: string): string {
  if (query === "") return query;
  const parameters = query.split("&").map((text) => {
    const [name = "", value = ""] = text.split("=", 2);
    return { text, name: decodeQuery(name).toLowerCase(), value };
  });
  const signed = parameters.some(({ name, value }) => name === "x-amz-credential" && decodeQuery(value).startsWith(ofTheMesh));
  if (!signed) return query;
  return parameters
    .filter(({ name }) => !name.startsWith("x-amz-"))
    .map(({ text }) => text)
    .join("&");
}
