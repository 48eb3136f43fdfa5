/**
 * Encodes objects from JSON or YAML as frames of a protobuf watch, and feeds frames into the core.
 * The core therefore has a single input format. Only fields that the core reads are encoded. Field
 * numbers come from the generated.proto files of k8s.io/api core/v1 and discovery/v1, and of
 * k8s.io/apimachinery meta/v1 and runtime.
 */

import type { JsonObject } from "../base/json.ts";
import type { Core, FeedResult, ObjectKind, ObjectStream } from "../core/core.ts";
import { metadataOf, ObjectFields } from "./object-fields.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** @see encodeWatchEvent */
export type EncodeEvent = (kind: ObjectKind, type: EventType, object: JsonObject) => Uint8Array;

/** The methods of the core that sources need. */
export type Ingest = Pick<Core, "openStream" | "beginReplace" | "endReplace">;

const MAGIC = new Uint8Array([0x6b, 0x38, 0x73, 0x00]);
const API_VERSION: Readonly<Record<ObjectKind, string>> = {
  Service: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
};

const out = new ProtobufWriter();

/** Feeds one complete frame. */
export function feedFrame(stream: ObjectStream, frame: Uint8Array): FeedResult {
  stream.reserve(frame.length).set(frame);
  return stream.feed(frame.length);
}

/**
 * Encodes one event as a frame, including its length.
 *
 * @throws SluiceError OBJECT_INVALID if a field has the wrong type, such as a port "http"
 */
export function encodeWatchEvent(
  kind: ObjectKind,
  type: EventType,
  object: JsonObject,
): Uint8Array {
  const { namespace, name } = metadataOf(object);
  const fields = new ObjectFields(`${kind} ${namespace}/${name}`, "", object);
  out.start();
  out.frame(() => {
    out.text(1, type);
    out.message(2, () => {
      out.message(1, () => {
        out.raw(MAGIC);
        out.message(1, () => {
          out.text(1, API_VERSION[kind]);
          out.text(2, kind);
        });
        out.message(2, () => {
          writeMeta(fields.object("metadata"));
          if (type === "DELETED") return;
          if (kind === "Service") writeService(fields);
          else writeSlice(fields);
        });
      });
    });
  });
  return out.finish();
}

function writeMeta(meta: ObjectFields | undefined): void {
  if (meta === undefined) return;
  out.message(1, () => {
    text(1, meta.text("name"));
    text(3, meta.text("namespace"));
    text(5, meta.text("uid"));
    text(6, meta.text("resourceVersion"));
    const created = meta.seconds("creationTimestamp");
    if (created !== undefined) out.message(8, () => out.integer(1, created));
    for (const entry of meta.entries("labels")) writeEntry(11, entry);
    for (const entry of meta.entries("annotations")) writeEntry(12, entry);
  });
}

function writeEntry(field: number, [key, value]: [string, string]): void {
  out.message(field, () => {
    out.text(1, key);
    out.text(2, value);
  });
}

function writeService(service: ObjectFields): void {
  const spec = service.object("spec");
  if (spec !== undefined) out.message(2, () => writeSpec(spec));
  const ingress = service.object("status")?.object("loadBalancer")?.objects("ingress") ?? [];
  if (ingress.length === 0) return;
  out.message(3, () => {
    out.message(1, () => {
      for (const each of ingress) {
        out.message(1, () => {
          text(1, each.text("ip"));
          text(3, each.text("ipMode"));
        });
      }
    });
  });
}

function writeSpec(spec: ObjectFields): void {
  for (const port of spec.objects("ports")) {
    out.message(1, () => {
      text(1, port.text("name"));
      text(2, port.text("protocol"));
      integer(3, port.integer("port"));
      integer(5, port.integer("nodePort"));
    });
  }
  text(3, spec.text("clusterIP"));
  text(4, spec.text("type"));
  for (const address of spec.texts("externalIPs")) out.text(5, address);
  text(7, spec.text("sessionAffinity"));
  for (const range of spec.texts("loadBalancerSourceRanges")) out.text(9, range);
  text(11, spec.text("externalTrafficPolicy"));
  integer(12, spec.integer("healthCheckNodePort"));
  const clientIP = spec.object("sessionAffinityConfig")?.object("clientIP");
  if (clientIP !== undefined) {
    out.message(14, () => out.message(1, () => integer(1, clientIP.integer("timeoutSeconds"))));
  }
  for (const address of spec.texts("clusterIPs")) out.text(18, address);
  text(22, spec.text("internalTrafficPolicy"));
}

function writeSlice(slice: ObjectFields): void {
  for (const endpoint of slice.objects("endpoints")) out.message(2, () => writeEndpoint(endpoint));
  for (const port of slice.objects("ports")) {
    out.message(3, () => {
      text(1, port.text("name"));
      text(2, port.text("protocol"));
      integer(3, port.integer("port"));
    });
  }
  text(4, slice.text("addressType"));
}

function writeEndpoint(endpoint: ObjectFields): void {
  for (const address of endpoint.texts("addresses")) out.text(1, address);
  const conditions = endpoint.object("conditions");
  if (conditions !== undefined) {
    out.message(2, () => {
      for (const [index, name] of (["ready", "serving", "terminating"] as const).entries()) {
        const value = conditions.flag(name);
        if (value !== undefined) out.integer(index + 1, value ? 1 : 0);
      }
    });
  }
  text(6, endpoint.text("nodeName"));
  const hints = endpoint.object("hints");
  if (hints === undefined) return;
  out.message(8, () => {
    for (const zone of hints.objects("forZones")) out.message(1, () => text(1, zone.text("name")));
    for (const node of hints.objects("forNodes")) out.message(2, () => text(1, node.text("name")));
  });
}

function text(field: number, value: string | undefined): void {
  if (value !== undefined) out.text(field, value);
}

function integer(field: number, value: number | undefined): void {
  if (value !== undefined) out.integer(field, value);
}
