import { describe, expect, it } from "vitest";
import { canonicalKey, contextFromEntries } from "../../../common/policy/request-context.ts";

describe("condition keys", () => {
  it.each([
    ["aws:PrincipalTag/Team", "aws:principaltag/team"],
    ["HTTP:Method", "http:method"],
    ["http:Header/X-Tenant", "http:header/x-tenant"],
    ["http:Query/Name", "http:query/Name"],
    ["HTTP:QUERY/Name", "http:query/Name"],
    ["jwt:claim/firstName", "jwt:claim/firstName"],
  ])("%s is looked up as %s", (written, canonical) => {
    expect(canonicalKey(written)).toBe(canonical);
  });

  it("are found in any case, and are not properties of objects", () => {
    const context = contextFromEntries([["aws:PrincipalTag/Team", "red"]]);
    expect(context.get(canonicalKey("AWS:PRINCIPALTAG/TEAM"))).toBe("red");
    expect(context.get("constructor")).toBeUndefined();
    expect(context.get("__proto__")).toBeUndefined();
  });
});
