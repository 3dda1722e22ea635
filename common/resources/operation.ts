/**
 * Operations: what a service calls the requests it answers. `GetItem: GET /items/{id}` makes the action
 * `<service>:GetItem` on the resource `items/{id}`, the path without its first slash; the long form
 * `GetItem: { http: GET /items/{id}, resource: item/{id} }` names the resource.
 */
import { z } from "zod";
import { PolicyError } from "../policy/error.ts";
import { createOperationRouter } from "../policy/operations.ts";
import type { OperationTemplate } from "../policy/operations.ts";

/** A literal in canonical form (RFC 3986 pchar, escapes upper-case), or one whole-segment parameter. */
const segment = String.raw`(?:(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+|\{[A-Za-z][A-Za-z0-9_]*\})`;
const httpTemplate = new RegExp(`^[A-Z]{1,16} /(?:${segment}(?:/${segment})*/?)?$`);
const resourceTemplate = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@%/-]|\{[A-Za-z][A-Za-z0-9_]*\})+$/;
const http = z
  .string()
  .max(1024, "at most 1024 characters")
  .regex(httpTemplate, "a method and a path template, such as GET /items/{id}")
  .refine((value) => !/\/\.{1,2}(?:\/|$)/.test(value), "a path without . and .. segments")
  .refine((value) => new Set(parametersIn(value)).size === parametersIn(value).length, "each parameter once");

export const operations = z
  .record(
    z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,127}$/, "an operation's name of letters, digits and underscores"),
    z
      .union([
        http,
        z
          .strictObject({
            http,
            resource: z.string().max(1024, "at most 1024 characters").regex(resourceTemplate, "a resource template, such as item/{id}"),
          })
          .refine(
            (value) => parametersIn(value.resource).every((name) => parametersIn(value.http).includes(name)),
            "a resource whose parameters all occur in the path",
          ),
      ])
      .transform((value) => (typeof value === "string" ? { http: value, resource: resourceOfPath(value) } : value)),
  )
  .transform((value, context) => {
    const seen = new Map<string, string>();
    for (const [name, operation] of Object.entries(value)) {
      const shape = operation.http.replaceAll(/\{[^}]*\}/g, "{}");
      const other = seen.get(shape);
      if (other === undefined) seen.set(shape, name);
      else context.addIssue({ code: "custom", path: [name], message: `a template that ${other} does not already have` });
    }
    if (context.issues.length > 0) return value;
    try {
      createOperationRouter("service", operationTemplates(value), { strict: true });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      context.addIssue({ code: "custom", message: `operations that can be matched: ${error.problem}` });
    }
    return value;
  });

function parametersIn(template: string): readonly string[] {
  return template.match(/\{[^}]*\}/g) ?? [];
}

function resourceOfPath(template: string): string {
  return template.slice(template.indexOf("/") + 1) || "/";
}

type Operations = Readonly<Record<string, { readonly http: string; readonly resource: string }>>;

/** As the router of common/policy and snapshots take them. */
export function operationTemplates(value: Operations): readonly OperationTemplate[] {
  return Object.entries(value).map(([name, { http, resource }]) => {
    const space = http.indexOf(" ");
    return { name, method: http.slice(0, space), path: http.slice(space + 1), resource };
  });
}
