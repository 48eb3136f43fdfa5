/**
 * Serves /flagz and /statusz (KEP-4827, KEP-4828; apiserver/pkg/server/flagz and statusz): as text
 * for people or, by the Accept header, as an object of config.k8s.io. Kubernetes components pick a
 * random delimiter for the text, so that nobody parses it; here it is always the first of its four.
 */
import type { Context } from "hono";
import { EMULATED_VERSION } from "../observe/build-info.ts";
import type { ProxyView } from "../observe/view.ts";

/** One answer in both forms. `fields` are added to the object next to its kind and name. */
export interface ZPage {
  readonly text: string;
  readonly fields: { readonly [field: string]: unknown };
}

type Kind = "Flagz" | "Statusz";
const VERSIONS: ReadonlySet<string> = new Set(["v1alpha1", "v1beta1"]);
const STRUCTURED: ReadonlySet<string> = new Set(["application/json", "application/yaml"]);

/** Builds /flagz: the command-line flags, sorted. */
export function flagzPage(flags: { readonly [name: string]: string }): ZPage {
  const sorted = Object.entries(flags).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = sorted.map(([name, value]) => `${name}:${value}\n`);
  return { text: lines.join(""), fields: { flags: Object.fromEntries(sorted) } };
}

/**
 * Builds /statusz: the start time and the versions. It has the version of Bun instead of Go, and
 * kube-proxy's version as the emulated version.
 */
export function statuszPage(
  view: Pick<ProxyView, "startedAt" | "now" | "version">,
  routes: readonly string[],
): ZPage {
  const startTime = `${new Date(view.startedAt).toISOString().slice(0, 19)}Z`;
  const uptimeSeconds = Math.max(0, Math.floor((view.now() - view.startedAt) / 1000));
  const paths = [...new Set(routes.map((route) => `/${route.split("/")[1]}`))].sort();
  const text = `
Started: ${unixDate(view.startedAt)}
Up: ${uptimeText(uptimeSeconds)}
Bun version: ${Bun.version}
Binary version: ${view.version}
Emulation version: ${EMULATED_VERSION}
Paths: ${paths.join(" ")}
`;
  return {
    text,
    fields: {
      startTime,
      uptimeSeconds,
      goVersion: `bun${Bun.version}`,
      binaryVersion: view.version,
      emulationVersion: EMULATED_VERSION,
      paths,
    },
  };
}

/** Returns the page in a form that the client accepts, or 406 with a Kubernetes Status. */
export function respondNegotiated(context: Context, kind: Kind, page: ZPage): Response {
  const accepted = acceptedType(context.req.header("Accept") ?? "", kind);
  const lower = kind.toLowerCase();
  if (accepted === "text") return context.text(header(lower) + page.text);
  if (accepted === undefined) {
    const status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: `only the following media types are accepted: ${[...STRUCTURED].join(", ")}, text/plain`,
      reason: "NotAcceptable",
      code: 406,
    };
    return context.body(indented(status), 406, { "Content-Type": "application/json" });
  }
  const { media, version } = accepted;
  const object = {
    kind,
    apiVersion: `config.k8s.io/${version}`,
    metadata: { name: "kube-proxy" },
    ...page.fields,
  };
  if (version === "v1alpha1") {
    const words = `This version of the ${lower} endpoint is deprecated. Please use a newer version.`;
    context.header("Warning", `299 - "${words}"`);
  }
  // JSON is also valid YAML.
  return context.body(indented(object), 200, {
    "Content-Type": `${media};g=config.k8s.io;v=${version};as=${kind}`,
  });
}

type Accepted = "text" | { readonly media: string; readonly version: string };

/**
 * Picks the acceptable clause of an Accept header with the highest weight. An empty header means
 * text.
 */
function acceptedType(text: string, kind: Kind): Accepted | undefined {
  if (text.trim() === "") return "text";
  const clauses = text.split(",").map((clause) => {
    const [media = "", ...rest] = clause.split(";").map((part) => part.trim().toLowerCase());
    const parameters = new Map(rest.map((part) => part.split("=", 2) as [string, string]));
    return { media, parameters, weight: Number(parameters.get("q") ?? 1) };
  });
  for (const { media, parameters } of clauses.sort((a, b) => b.weight - a.weight)) {
    const version = parameters.get("v") ?? "";
    const named = parameters.get("as") === kind.toLowerCase();
    if (!parameters.has("as") && (media === "text/plain" || media === "text/*" || media === "*/*"))
      return "text";
    if (!STRUCTURED.has(media) || !named || !VERSIONS.has(version)) continue;
    if (parameters.get("g") === "config.k8s.io") return { media, version };
  }
  return undefined;
}

function header(page: string): string {
  return `
kube-proxy ${page}
Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.
`;
}

function indented(object: unknown): string {
  return `${JSON.stringify(object, undefined, 2)}\n`;
}

/** Formats like Go's time.UnixDate in UTC: `Tue Nov 24 14:47:01 UTC 2026`. */
function unixDate(ms: number): string {
  const [day = "", date, month, year, time] = new Date(ms).toUTCString().split(" ");
  return `${day.slice(0, 3)} ${month} ${String(Number(date)).padStart(2)} ${time} UTC ${year}`;
}

function uptimeText(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60) % 60;
  return `${Math.floor(seconds / 3600)} hr ${two(minutes)} min ${two(seconds % 60)} sec`;
}
