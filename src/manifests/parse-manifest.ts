/**
 * Parses one manifest file into objects with their line numbers, or names the line that cannot be
 * parsed.
 */
import { isJsonObject, type JsonObject } from "../base/json.ts";
import { readYaml, type YamlDocument } from "../base/yaml.ts";
import type { Problem } from "../problems/problem.ts";
import { withDefaults } from "./manifest-defaults.ts";

export type ManifestKind = "Service" | "EndpointSlice" | "Node" | "ServiceCIDR";

export interface ManifestObject {
  readonly kind: ManifestKind;
  /** Such as `Service default/web`. */
  readonly key: string;
  /** Such as `/etc/sluice/web.yaml:12`. */
  readonly where: string;
  /** Includes the API server's defaults. */
  readonly object: JsonObject;
}

export interface ManifestFile {
  readonly objects: readonly ManifestObject[];
  /** Reasons why objects were left out. */
  readonly problems: readonly Problem[];
}

const API_VERSIONS: { readonly [kind: string]: string } = {
  Service: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Node: "v1",
  ServiceCIDR: "networking.k8s.io/v1",
};

/**
 * Parses any number of YAML documents, or JSON. Each document is an object or a List of objects.
 * @returns a Problem if the file as a whole cannot be read; its last good version should then stay.
 */
export async function parseManifest(path: string, text: string): Promise<ManifestFile | Problem> {
  const objects: ManifestObject[] = [];
  const problems: Problem[] = [];
  const documents = await readYaml(text);
  for (const { fault } of documents) {
    if (fault === undefined) continue;
    const where = `${path}:${fault.line}`;
    const problem = manifestProblem(where, "", `invalid YAML: ${fault.message}`);
    // The rest of the text may have been read wrongly.
    if (fault.syntax) return problem;
    problems.push(problem);
  }
  for (const { value, line } of documents.flatMap(entriesOf)) {
    const where = `${path}:${line}`;
    const found = interpret(where, value);
    if (found === undefined) continue;
    if ("message" in found) problems.push(found);
    else objects.push(found);
  }
  return { objects, problems };
}

/** Returns a problem with the message `where: field: text`. */
export function manifestProblem(where: string, field: string, text: string): Problem {
  const message = field === "" ? `${where}: ${text}` : `${where}: ${field}: ${text}`;
  return { subject: where, code: "MANIFEST_INVALID", field, message };
}

interface DocumentEntry {
  readonly value: unknown;
  readonly line: number;
}

function entriesOf({ value, lineOf }: YamlDocument): DocumentEntry[] {
  const items = listItems(value);
  if (items === undefined) return [{ value, line: lineOf([]) }];
  return items.map((item, index) => ({ value: item, line: lineOf(["items", index]) }));
}

/** Returns the items of a List, a ServiceList and so on. */
function listItems(value: unknown): readonly unknown[] | undefined {
  if (!isJsonObject(value)) return undefined;
  const { kind, items } = value;
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(items)
    ? items
    : undefined;
}

/** Undefined for objects that the API server's selectors would also leave out. */
function interpret(where: string, value: unknown): ManifestObject | Problem | undefined {
  if (value === null || value === undefined) return undefined;
  if (!isJsonObject(value))
    return manifestProblem(where, "", faultText(value, "must be an object"));
  const { kind, apiVersion } = value;
  if (!isKind(kind)) {
    const known = Object.keys(API_VERSIONS).join(", ");
    const rule = `must be one of ${known}, or a List of them`;
    return manifestProblem(where, "kind", faultText(kind, rule));
  }
  if (apiVersion !== API_VERSIONS[kind]) {
    const rule = `must be ${API_VERSIONS[kind]}`;
    return manifestProblem(where, "apiVersion", faultText(apiVersion, rule));
  }
  const object = withDefaults(kind, value);
  const { metadata, spec } = object;
  const { name, namespace, labels } = isJsonObject(metadata) ? metadata : {};
  if (typeof name !== "string" || name === "") {
    return manifestProblem(where, "metadata.name", faultText(name, "must be a name"));
  }
  const label = isJsonObject(labels) ? labels : {};
  if (kind === "Service") {
    const { type, clusterIP } = isJsonObject(spec) ? spec : {};
    if ("service.kubernetes.io/service-proxy-name" in label || clusterIP === "None")
      return undefined;
    if (type !== "ExternalName" && (clusterIP === undefined || clusterIP === "")) {
      const rule = "must be an IP address (without an API server, nothing allocates one)";
      return manifestProblem(where, "spec.clusterIP", faultText(clusterIP, rule));
    }
  }
  if (kind === "EndpointSlice" && "service.kubernetes.io/headless" in label) return undefined;
  const scope = kind === "Service" || kind === "EndpointSlice" ? `${String(namespace)}/` : "";
  return { kind, key: `${kind} ${scope}${name}`, where, object };
}

function isKind(kind: unknown): kind is ManifestKind {
  return typeof kind === "string" && Object.hasOwn(API_VERSIONS, kind);
}

function faultText(value: unknown, rule: string): string {
  const what = value === undefined ? "required value" : `invalid value ${JSON.stringify(value)}`;
  return `${what}: ${rule}`;
}
