/**
 * The manifests of an overlay of k8s/, the same that `kubectl apply -k` takes: rendered from its files, in which image and trust domain
 * are what a user would have written there by hand.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { isMap, isSeq, parseAllDocuments, visit, type Document } from "yaml";
import type { JsonObject } from "../../../common/injection/json.ts";
import { SpiffeIdError } from "../../../common/spiffe/error.ts";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { kustomizationFile } from "../kustomize/kustomization.ts";
import { readText } from "../kustomize/read.ts";
import { render } from "../kustomize/render.ts";
import { InstallError } from "./error.ts";

const folder = join(import.meta.dirname, "../../../k8s/overlays");

export interface ManifestOptions {
  readonly overlay: string;
  /** Name, with a tag or a digest, or both. */
  readonly image?: string;
  readonly trustDomain?: string;
}

export function overlays(): readonly string[] {
  return readdirSync(folder).filter((name) => existsSync(join(folder, name, kustomizationFile)));
}

export const trustDomainVariable = "COUNTERSIGN_TRUST_DOMAIN";
/** As the base writes it, without a tag. */
const ownImage = "countersign";

/** In the order in which they can be applied. Throws InstallError `no-overlay` and `bad-option`, KustomizeError. */
export function manifestsOf({ overlay, image, trustDomain }: ManifestOptions): readonly JsonObject[] {
  const known = overlays();
  if (!known.includes(overlay)) {
    throw new InstallError("no-overlay", `there is no overlay ${JSON.stringify(overlay)}: expected one of ${known.join(", ")}`);
  }
  const edits: Edit[] = [];
  if (image !== undefined) edits.push(imageEdit(image));
  if (trustDomain !== undefined) edits.push(trustDomainEdit(trustDomain));
  return render(join(folder, overlay), (path) => {
    const text = readText(path);
    const documents = parseAllDocuments(text, { version: "1.1" });
    if (!Array.isArray(documents) || documents.some(({ errors }) => errors.length > 0)) return text;
    const changed = documents.flatMap((document) => edits.map((edit) => edit(document, basename(path)))).includes(true);
    return changed ? documents.map((document) => document.toString({ lineWidth: 0 })).join("") : text;
  });
}

/** Changes a document of a file, and says whether it did. */
type Edit = (document: Document, file: string) => boolean;

function imageEdit(image: string): Edit {
  const found = /^([a-z0-9][a-zA-Z0-9._:/-]*?)(?::([a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(image);
  const [, newName, newTag, digest] = found ?? [];
  if (newName === undefined || (newTag === undefined && digest === undefined)) {
    throw new InstallError(
      "bad-option",
      `--image ${JSON.stringify(image)}: expected a name with a tag or a digest, such as countersign:0.1.0`,
    );
  }
  const entry = { name: ownImage, newName, ...(newTag !== undefined && { newTag }), ...(digest !== undefined && { digest }) };
  return (document, file) => {
    const images = file === kustomizationFile ? document.get("images") : undefined;
    if (!isSeq(images)) return false;
    const index = images.items.findIndex((item) => isMap(item) && item.get("name") === ownImage);
    if (index !== -1) images.items[index] = document.createNode(entry);
    return index !== -1;
  };
}

function trustDomainEdit(name: string): Edit {
  try {
    trustDomainFromString(name);
  } catch (error) {
    if (!(error instanceof SpiffeIdError)) throw error;
    throw new InstallError("bad-option", `--trust-domain ${JSON.stringify(name)}: ${error.message}`, { cause: error });
  }
  return (document) => {
    let changed = false;
    if (document.get("kind") === "Mesh" && document.getIn(["spec", "trustDomain"]) !== name) {
      document.setIn(["spec", "trustDomain"], name);
      changed = true;
    }
    visit(document, {
      Map: (_key, map) => {
        if (map.get("name") !== trustDomainVariable || !map.has("value") || map.get("value") === name) return;
        map.set("value", name);
        changed = true;
      },
    });
    return changed;
  };
}
