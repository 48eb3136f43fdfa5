/**
 * Stores the objects of a reflector: Services and slices in the core, the few other kinds in a map.
 */

import type { BodyReader } from "../api-client/read-request.ts";
import { SluiceError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { FeedResult, ObjectKind, ObjectStream } from "../core/core.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { metadataOf } from "../source/object-fields.ts";
import {
  type EncodeEvent,
  type EventType,
  feedFrame,
  OBJECT_API_VERSIONS,
  type ObjectStore,
} from "../source/watch-frames.ts";
import { JsonList, JsonWatch, NO_CHANGE, type ObjectType } from "./json-body.ts";

export interface ObjectSink {
  /** True if this sink reads protobuf. Every sink reads JSON. */
  readonly protobuf: boolean;
  open(format: "list" | "watch", encoding: "protobuf" | "json"): BodyReader;
  /**
   * Starts a replacement: `endReplace` removes objects that were not fed again. A second call
   * restarts it.
   */
  beginReplace(): void;
  endReplace(): void;
}

/**
 * Feeds protobuf into the core unchanged, and re-encodes JSON, so that the core has one input
 * format.
 * @param onProblems receives JSON objects that cannot be encoded; their last good version stays
 */
export function coreSink(
  core: ObjectStore,
  kind: ObjectKind,
  encode: EncodeEvent,
  onProblems: ReportProblems,
): ObjectSink {
  const objectType = { kind, apiVersion: OBJECT_API_VERSIONS[kind] };
  const problems = new ProblemSet(onProblems);
  let fresh: Set<string> | undefined;
  const problemKeyOf = (subject: string) =>
    ({ subject, code: "OBJECT_INVALID", field: "" }) as const;
  const encodeOrReport = (type: EventType, object: JsonObject): Uint8Array | undefined => {
    const { namespace, name, resourceVersion } = metadataOf(object);
    const subject = `${kind} ${namespace}/${name}`;
    fresh?.add(subject);
    try {
      // A deleted object need not be readable, so its metadata is enough.
      const content =
        type === "DELETED" ? { metadata: { namespace, name, resourceVersion } } : object;
      const frame = encode(kind, type, content);
      // Usually there is none, and this runs for each object.
      if (problems.size > 0) problems.end(problemKeyOf(subject));
      return frame;
    } catch (thrown) {
      if (!(thrown instanceof SluiceError) || thrown.code !== "OBJECT_INVALID") throw thrown;
      problems.begin({ ...problemKeyOf(subject), message: thrown.message });
      return undefined;
    }
  };
  return {
    protobuf: true,
    open(format, encoding) {
      if (encoding === "protobuf") return new CoreBody(core.openStream(kind, format));
      const stream = core.openStream(kind, "watch");
      const apply = (type: EventType, object: JsonObject) => {
        const frame = encodeOrReport(type, object);
        return frame !== undefined && feedFrame(stream, frame).objects;
      };
      return format === "list"
        ? new JsonList(objectType, apply, () => stream.close())
        : new JsonWatch(objectType, apply, () => stream.close());
    },
    beginReplace() {
      fresh = new Set();
      core.beginReplace(kind);
    },
    endReplace() {
      for (const problem of problems.all()) {
        if (fresh?.has(problem.subject) === false) problems.end(problem);
      }
      fresh = undefined;
      core.endReplace(kind);
    },
  };
}

class CoreBody implements BodyReader {
  readonly #stream: ObjectStream;

  constructor(stream: ObjectStream) {
    this.#stream = stream;
  }

  feed(chunk: Uint8Array): FeedResult {
    return feedFrame(this.#stream, chunk);
  }

  end(): FeedResult {
    return NO_CHANGE;
  }

  close(): void {
    this.#stream.close();
  }
}

/** Stores objects by name. `onChange` receives all of them after each change. */
export function mapSink(
  type: ObjectType,
  onChange: (objects: readonly JsonObject[]) => void,
): ObjectSink {
  const objects = new Map<string, JsonObject>();
  let fresh: Set<string> | undefined;
  const apply = (type: EventType, object: JsonObject) => {
    const name = metadataOf(object).name;
    if (type === "DELETED") objects.delete(name);
    else objects.set(name, object);
    fresh?.add(name);
    if (fresh === undefined) onChange([...objects.values()]);
    return true;
  };
  return {
    protobuf: false,
    open: (format) =>
      format === "list"
        ? new JsonList(type, apply, () => {})
        : new JsonWatch(type, apply, () => {}),
    beginReplace() {
      fresh = new Set();
    },
    endReplace() {
      for (const name of objects.keys()) if (fresh?.has(name) === false) objects.delete(name);
      fresh = undefined;
      onChange([...objects.values()]);
    },
  };
}
