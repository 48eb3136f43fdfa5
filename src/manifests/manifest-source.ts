/**
 * Reads objects from a directory of manifests, for edge nodes without a control plane and for the
 * demo. Replace files by rename if you can. If a half-written file does not parse, its last good
 * version stays in effect.
 */
import { resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { isDefect, messageOf, SluiceError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { FILE_SETTLE_MS } from "../base/limits.ts";
import type { ObjectKind, ObjectStream } from "../core/core.ts";
import { watchDirectory } from "../os/watch-directory.ts";
import type { Problem } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { Source, SourceEvents, SourceStatus } from "../source/source.ts";
import {
  type EncodeEvent,
  type EventType,
  feedFrame,
  type ObjectStore,
} from "../source/watch-frames.ts";
import { type KnownFile, readFiles, unreadableProblem } from "./manifest-directory.ts";
import { type ManifestObject, manifestProblem } from "./parse-manifest.ts";

export interface ManifestSourceOptions {
  readonly directory: string;
  readonly core: ObjectStore;
  readonly encode: EncodeEvent;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly events: SourceEvents;
}

/** An object that was passed on. */
interface PublishedObject {
  readonly object: JsonObject;
  /** Its JSON, for comparison. */
  readonly text: string;
  /** Time of its appearance; undefined if it was there at the first read. */
  readonly seen: string | undefined;
}

export class ManifestSource implements Source {
  readonly #options: ManifestSourceOptions;
  readonly #directory: string;
  readonly #problems: ProblemSet;
  readonly #streams = new Map<ObjectKind, ObjectStream>();
  #files = new Map<string, KnownFile>();
  /** By key: `Service default/web`. */
  #published = new Map<string, PublishedObject>();
  /** resourceVersion of the last object that was fed into the core. */
  #version = 0;
  #synced = false;
  #stopped = false;
  #lastEventAt = 0;
  #scanning = false;
  #scanAgain = false;
  #stopWatching = () => {};
  #cancelSettle = () => {};

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
    this.#directory = resolve(options.directory);
    this.#problems = new ProblemSet(options.events.onProblems);
  }

  start(): void {
    const { clock } = this.#options;
    this.#stopWatching = watchDirectory(this.#directory, clock, () => this.#rescan());
    this.#rescan();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopWatching();
    this.#cancelSettle();
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  get synced(): boolean {
    return this.#synced;
  }

  status(): SourceStatus {
    const problems = this.#problems.all();
    const unreadable = problems.some(({ subject }) => subject === this.#directory);
    return {
      name: this.#directory,
      synced: this.#synced,
      connected: !this.#stopped && !unreadable,
      lastError: problems[0]?.message ?? "",
      lastEventAt: this.#lastEventAt,
    };
  }

  #rescan(): void {
    this.#scan().catch((thrown: unknown) => this.#options.events.onFatal(thrown));
  }

  /** Runs one scan at a time. A call during a scan triggers one more. */
  async #scan(): Promise<void> {
    this.#scanAgain = true;
    if (this.#scanning) return;
    this.#scanning = true;
    while (this.#scanAgain && !this.#stopped) {
      this.#scanAgain = false;
      await this.#scanOnce();
    }
    this.#scanning = false;
  }

  async #scanOnce(): Promise<void> {
    const { clock } = this.#options;
    let files: Map<string, KnownFile>;
    try {
      files = await readFiles(this.#directory, this.#files, clock.monotonic());
    } catch (thrown) {
      if (this.#stopped) return;
      this.#problems.begin(unreadableProblem(this.#directory, thrown));
      return;
    }
    if (this.#stopped) return;
    this.#files = files;
    this.#publish();
    this.#cancelSettle();
    if ([...files.values()].some((file) => file.unsettled !== undefined)) {
      this.#cancelSettle = clock.after(FILE_SETTLE_MS, () => this.#rescan());
    }
  }

  /** Passes on the objects that differ from the published ones. */
  #publish(): void {
    const { clock, events } = this.#options;
    const problems = [...this.#files.values()].flatMap((file) => file.problems);
    const before = this.#published;
    const next = new Map<string, PublishedObject>();
    const changedKinds = new Set<string>();
    for (const [key, entry] of this.#chooseFirst(problems)) {
      const known = before.get(key);
      const published = this.#publishOne(entry, known, problems);
      if (published !== undefined) next.set(key, published);
      if (published !== known) changedKinds.add(entry.kind);
    }
    for (const [key, { object }] of before) {
      if (next.has(key)) continue;
      const kind = kindOf(key);
      this.#feed(kind, "DELETED", object);
      changedKinds.add(kind);
    }
    this.#published = next;
    this.#problems.set(problems);
    if (changedKinds.has("Node")) events.onNode(this.#objectsOf("Node")[0]);
    if (changedKinds.has("ServiceCIDR")) events.onServiceCidrs(this.#objectsOf("ServiceCIDR"));
    if (changedKinds.size > 0) {
      this.#lastEventAt = clock.now();
      events.onChange();
    }
    if (!this.#synced) {
      this.#synced = true;
      events.onSynced();
    }
  }

  /**
   * Feeds the object unless it equals `before`. Returns the object now published. This is `before`
   * if nothing changed or if the object is invalid; an invalid object is added to `problems`.
   */
  #publishOne(
    entry: ManifestObject,
    before: PublishedObject | undefined,
    problems: Problem[],
  ): PublishedObject | undefined {
    const { kind, object, where } = entry;
    try {
      const text = comparable(entry);
      if (before?.text === text) return before;
      // Without a creationTimestamp, an object is as old as its first appearance here, so that it
      // does not take a frontend from an older one.
      const now = () => new Date(this.#options.clock.now()).toISOString();
      const seen = before?.seen ?? (this.#synced ? now() : undefined);
      this.#feed(kind, before === undefined ? "ADDED" : "MODIFIED", object, seen);
      return { object, text, seen };
    } catch (thrown) {
      if (isDefect(thrown) || !(thrown instanceof SluiceError)) throw thrown;
      problems.push({ ...manifestProblem(where, "", ""), message: thrown.message });
      return before;
    }
  }

  /** Feeds the object into the core if the core stores its kind. */
  #feed(kind: string, type: EventType, object: JsonObject, seen?: string): void {
    if (kind !== "Service" && kind !== "EndpointSlice") return;
    const { core, encode } = this.#options;
    this.#version += 1;
    const metadata = {
      ...(seen === undefined ? {} : { creationTimestamp: seen }),
      ...(object["metadata"] as JsonObject),
      resourceVersion: String(this.#version),
    };
    const stream = this.#streams.get(kind) ?? core.openStream(kind, "watch");
    this.#streams.set(kind, stream);
    feedFrame(stream, encode(kind, type, { ...object, metadata }));
  }

  #objectsOf(kind: string): JsonObject[] {
    return [...this.#published].flatMap(([key, { object }]) =>
      kindOf(key) === kind ? [object] : [],
    );
  }

  /**
   * Returns the objects by key. If several files define the same key, the first file by name wins,
   * and the others are added to `problems`. Nodes other than ours are left out.
   */
  #chooseFirst(problems: Problem[]): ReadonlyMap<string, ManifestObject> {
    const wanted = new Map<string, ManifestObject>();
    for (const entry of [...this.#files.values()].flatMap((file) => file.objects)) {
      const { kind, key, where } = entry;
      if (kind === "Node" && key !== `Node ${this.#options.nodeName}`) continue;
      const first = wanted.get(key);
      if (first === undefined) wanted.set(key, entry);
      else {
        const text = `${key} is already defined in ${first.where}`;
        problems.push(manifestProblem(where, "metadata.name", text));
      }
    }
    return wanted;
  }
}

/** `Service default/web` → `Service`. */
function kindOf(key: string): string {
  return key.slice(0, key.indexOf(" "));
}

/**
 * @throws SluiceError MANIFEST_INVALID for YAML that JSON cannot express: a value that contains
 *   itself
 */
function comparable({ object, where }: ManifestObject): string {
  try {
    return JSON.stringify(object);
  } catch (cause) {
    const message = `${where}: cyclic or too deeply nested: ${firstLine(messageOf(cause))}`;
    throw new SluiceError("MANIFEST_INVALID", message, where, { cause });
  }
}

function firstLine(text: string): string {
  return text.slice(0, (text.indexOf("\n") + 1 || text.length + 1) - 1);
}
