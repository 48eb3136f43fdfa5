/**
 * A directory of manifests as a source: edge nodes without a control plane, and the demo. Files are best
 * replaced by rename; a file that is half written and does not parse keeps its last good version.
 */
import { resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { isDefect, messageOf, SluiceError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { DRAFT_MS } from "../base/limits.ts";
import type { ObjectKind, ObjectStream } from "../core/core.ts";
import { watchDirectory } from "../os/watch-directory.ts";
import type { Problem } from "../problems/problem.ts";
import { Reports } from "../problems/problem-set.ts";
import type { EventType } from "../watch/json-body.ts";
import { type EncodeEvent, feedFrame, type Ingest } from "../watch/sink.ts";
import type { Source, SourceEvents } from "../watch/source.ts";
import { type ManifestObject, manifestProblem } from "./manifest-file.ts";
import { type KnownFile, readFiles } from "./manifest-files.ts";

export interface ManifestSourceOptions {
  readonly directory: string;
  readonly core: Ingest;
  readonly encode: EncodeEvent;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly events: SourceEvents;
}

interface Published {
  readonly object: JsonObject;
  readonly text: string;
  /** When it appeared, if that was after the first read. */
  readonly seen: string | undefined;
}

/** @throws SluiceError MANIFEST_INVALID for what YAML can say and JSON cannot: a thing that holds itself. */
function comparable({ object, where }: ManifestObject): string {
  try {
    return JSON.stringify(object);
  } catch (cause) {
    const rule = `cannot be used: it must be a tree of bounded depth: ${firstLine(messageOf(cause))}`;
    throw new SluiceError("MANIFEST_INVALID", `Cannot use ${where}: ${rule}`, where, { cause });
  }
}

function firstLine(text: string): string {
  return text.slice(0, (text.indexOf("\n") + 1 || text.length + 1) - 1);
}

export function createManifestSource(options: ManifestSourceOptions): Source {
  const { core, clock, events } = options;
  const directory = resolve(options.directory);
  const streams = new Map<ObjectKind, ObjectStream>();
  let files = new Map<string, KnownFile>();
  /** What was handed on, by key, with its JSON for comparison. */
  let published = new Map<string, Published>();
  const reports = new Reports(events.onProblems);
  let version = 0;
  let synced = false;
  let stopped = false;
  let stopWatching = () => {};
  let stopDraft = () => {};
  let lastEventAt = 0;
  let scanning = false;
  let again = false;

  const scan = async () => {
    again = true;
    if (scanning) return;
    scanning = true;
    while (again && !stopped) {
      again = false;
      let read: typeof files;
      try {
        read = await readFiles(directory, files, clock.monotonic());
      } catch (thrown) {
        if (stopped) break;
        const problem = manifestProblem(directory, "", `cannot be read: ${messageOf(thrown)}`);
        reports.set([...reports.all(), problem]);
        continue;
      }
      if (stopped) break;
      files = read;
      publish();
      stopDraft();
      if ([...files.values()].some((file) => file.draft !== undefined)) {
        stopDraft = clock.after(DRAFT_MS, look);
      }
    }
    scanning = false;
  };
  const look = () => {
    scan().catch((thrown: unknown) => events.onFatal(thrown));
  };

  const publish = () => {
    const problems = [...files.values()].flatMap((file) => file.problems);
    const wanted = chooseFirst(files, problems);
    const next: typeof published = new Map();
    let changed = false;
    const others = new Set<string>();
    for (const [key, entry] of wanted) {
      const before = published.get(key);
      try {
        const text = comparable(entry);
        if (before?.text === text) {
          next.set(key, before);
          continue;
        }
        // One without a creationTimestamp is as old as our first sight of it: it takes nothing from those before.
        const seen = before?.seen ?? (synced ? new Date(clock.now()).toISOString() : undefined);
        if (!feed(entry.kind, before === undefined ? "ADDED" : "MODIFIED", entry.object, seen)) {
          others.add(entry.kind);
        }
        next.set(key, { object: entry.object, text, seen });
        changed = true;
      } catch (thrown) {
        if (isDefect(thrown) || !(thrown instanceof SluiceError)) throw thrown;
        problems.push({ ...manifestProblem(entry.where, "", ""), message: thrown.message });
        if (before !== undefined) next.set(key, before);
      }
    }
    for (const [key, { object }] of published) {
      if (next.has(key)) continue;
      const kind = key.slice(0, key.indexOf(" "));
      if (!feed(kind, "DELETED", object)) others.add(kind);
      changed = true;
    }
    published = next;
    reports.set(problems);
    if (others.has("Node")) events.onNode(objectsOf("Node")[0]);
    if (others.has("ServiceCIDR")) events.onServiceCidrs(objectsOf("ServiceCIDR"));
    if (changed) lastEventAt = clock.now();
    if (changed) events.onChange();
    if (!synced) {
      synced = true;
      events.onSynced();
    }
  };

  /** False for kinds that the core does not keep. */
  const feed = (kind: string, type: EventType, object: JsonObject, seen?: string): boolean => {
    if (kind !== "Service" && kind !== "EndpointSlice") return false;
    version += 1;
    const metadata = {
      ...(seen === undefined ? {} : { creationTimestamp: seen }),
      ...(object["metadata"] as JsonObject),
      resourceVersion: String(version),
    };
    const versioned = { ...object, metadata };
    const stream = streams.get(kind) ?? core.openStream(kind, "watch");
    streams.set(kind, stream);
    feedFrame(stream, options.encode(kind, type, versioned));
    return true;
  };

  const objectsOf = (kind: string): JsonObject[] =>
    [...published].flatMap(([key, { object }]) => (key.startsWith(`${kind} `) ? [object] : []));

  /** Of several files with one object the first by name has it; Nodes of others are nobody's business. */
  const chooseFirst = (known: typeof files, problems: Problem[]) => {
    const wanted = new Map<string, ManifestObject>();
    for (const entry of [...known.values()].flatMap((file) => file.objects)) {
      if (entry.kind === "Node" && entry.key !== `Node ${options.nodeName}`) continue;
      const first = wanted.get(entry.key);
      if (first === undefined) wanted.set(entry.key, entry);
      else {
        problems.push(
          manifestProblem(
            entry.where,
            "metadata.name",
            `must not repeat ${entry.key}, which ${first.where} has`,
          ),
        );
      }
    }
    return wanted;
  };

  return {
    start() {
      stopWatching = watchDirectory(directory, clock, look);
      look();
    },
    stop() {
      stopped = true;
      stopWatching();
      stopDraft();
      for (const stream of streams.values()) stream.close();
      streams.clear();
    },
    get synced() {
      return synced;
    },
    status: () => ({
      name: directory,
      synced,
      connected: !stopped && !reports.all().some((each) => each.subject === directory),
      lastError: reports.all()[0]?.message ?? "",
      lastEventAt,
    }),
  };
}
