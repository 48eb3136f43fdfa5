/**
 * Serves a fake API for tests over real TLS. It supports lists, watches with bookmarks, resource
 * versions, 410 for old versions, tokens, client certificates, and faults on demand. It supports
 * only JSON.
 */
import { readFileSync } from "node:fs";
import type { JsonObject } from "../../src/base/json.ts";
import type { Certificate } from "../cluster/certificates.ts";
import { type Reply, type Request, serveTls } from "./tls-server.ts";
import { bookmark, event } from "./watch-lines.ts";

/** One request, as the server saw it. */
export interface SeenRequest {
  readonly path: string;
  readonly parameters: URLSearchParams;
  readonly authorization: string;
  /** Common name of the client's certificate, "" without one. */
  readonly client: string;
}

export interface FakeApi {
  readonly port: number;
  readonly seen: readonly SeenRequest[];
  /** Accepts only requests with one of these Authorization headers; undefined accepts all. */
  accepted: Set<string> | undefined;
  /** Stores an object (or a newer version of it) and notifies watchers. */
  put(path: string, name: string, rest?: JsonObject): void;
  remove(path: string, name: string): void;
  /** From now on, older watches get 410. */
  compact(): void;
  /** Cuts every connection. */
  disconnect(): void;
  stop(): Promise<void>;
}

interface Stored {
  readonly version: number;
  readonly object: JsonObject;
}

interface Collection {
  readonly objects: Map<string, Stored>;
  readonly events: { readonly version: number; readonly line: string }[];
  readonly watchers: Set<Reply>;
}

export interface FakeApiOptions {
  readonly certificate: Certificate;
  /** Requires clients to show a certificate of this authority. */
  readonly clientAuthority?: string;
  /** 0 for any free port. */
  readonly port?: number;
}

const JSON_TYPE = { "content-type": "application/json" };

export async function startFakeApi(options: FakeApiOptions): Promise<FakeApi> {
  const collections = new Map<string, Collection>();
  const seen: SeenRequest[] = [];
  let version = 100;
  let oldest = 0;

  const collection = (path: string): Collection => {
    const found = collections.get(path);
    if (found !== undefined) return found;
    const made = { objects: new Map(), events: [], watchers: new Set<Reply>() };
    collections.set(path, made);
    return made;
  };
  const tell = (path: string, line: string) => {
    const { events, watchers } = collection(path);
    events.push({ version, line });
    for (const watcher of watchers) watcher.write(line);
  };
  const answer = ({ url, headers, client }: Request, reply: Reply) => {
    const authorization = headers.get("authorization") ?? "";
    seen.push({ path: url.pathname, parameters: url.searchParams, authorization, client });
    if (api.accepted !== undefined && !api.accepted.has(authorization)) {
      return refuse(reply, 401, "Unauthorized");
    }
    const { objects, events, watchers } = collection(url.pathname);
    const from = Number(url.searchParams.get("resourceVersion") ?? 0);
    if (url.searchParams.get("watch") !== "true") {
      const items = [...objects.values()].map((stored) => stored.object);
      reply.start(200, JSON_TYPE);
      reply.write(JSON.stringify({ metadata: { resourceVersion: String(version) }, items }));
      return reply.end();
    }
    if (from < oldest) return refuse(reply, 410, "too old resource version");
    reply.start(200, JSON_TYPE);
    reply.write(bookmark(version));
    for (const past of events) if (past.version > from) reply.write(past.line);
    watchers.add(reply);
    reply.onClose(() => watchers.delete(reply));
  };

  const server = await serveTls({
    cert: readFileSync(options.certificate.certificate, "utf8"),
    key: readFileSync(options.certificate.key, "utf8"),
    port: options.port ?? 0,
    ...(options.clientAuthority === undefined ? {} : { clientAuthority: options.clientAuthority }),
    answer,
  });

  const api: FakeApi = {
    port: server.port,
    seen,
    accepted: undefined,
    put(path, name, rest = {}) {
      version += 1;
      const { objects } = collection(path);
      const metadata = { namespace: "default", name, resourceVersion: String(version) };
      const object = { ...rest, metadata };
      tell(path, event(objects.has(name) ? "MODIFIED" : "ADDED", object));
      objects.set(name, { version, object });
    },
    remove(path, name) {
      version += 1;
      const { objects } = collection(path);
      const metadata = { namespace: "default", name, resourceVersion: String(version) };
      tell(path, event("DELETED", { metadata }));
      objects.delete(name);
    },
    compact() {
      oldest = version + 1;
      version += 1;
      for (const each of collections.values()) each.events.length = 0;
    },
    disconnect: () => server.disconnect(),
    stop: () => server.stop(),
  };
  return api;
}

function refuse(reply: Reply, code: number, message: string): void {
  reply.start(code, JSON_TYPE);
  reply.write(JSON.stringify({ kind: "Status", code, reason: "Test", message }));
  reply.end();
}
