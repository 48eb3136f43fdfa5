/**
 * Encodes objects from JSON or YAML as frames of a protobuf watch, and feeds frames into the core.
 * The core therefore has a single input format. Only fields that the core reads are encoded.
 */

import {
  FIELD_AFFINITY_CONFIG_CLIENT_IP,
  FIELD_CLIENT_IP_TIMEOUT,
  FIELD_CONDITION_READY,
  FIELD_CONDITION_SERVING,
  FIELD_CONDITION_TERMINATING,
  FIELD_ENDPOINT_ADDRESSES,
  FIELD_ENDPOINT_CONDITIONS,
  FIELD_ENDPOINT_HINTS,
  FIELD_ENDPOINT_NODE_NAME,
  FIELD_HINT_NAME,
  FIELD_HINTS_FOR_NODES,
  FIELD_HINTS_FOR_ZONES,
  FIELD_INGRESS_IP,
  FIELD_INGRESS_IP_MODE,
  FIELD_LOAD_BALANCER_INGRESS,
  FIELD_MAP_KEY,
  FIELD_MAP_VALUE,
  FIELD_META_ANNOTATIONS,
  FIELD_META_CREATION_TIMESTAMP,
  FIELD_META_LABELS,
  FIELD_META_NAME,
  FIELD_META_NAMESPACE,
  FIELD_META_RESOURCE_VERSION,
  FIELD_META_UID,
  FIELD_OBJECT_METADATA,
  FIELD_PORT_NAME,
  FIELD_PORT_NODE_PORT,
  FIELD_PORT_NUMBER,
  FIELD_PORT_PROTOCOL,
  FIELD_RAW_EXTENSION_RAW,
  FIELD_SERVICE_SPEC,
  FIELD_SERVICE_STATUS,
  FIELD_SLICE_ADDRESS_TYPE,
  FIELD_SLICE_ENDPOINTS,
  FIELD_SLICE_PORTS,
  FIELD_SPEC_AFFINITY_CONFIG,
  FIELD_SPEC_CLUSTER_IP,
  FIELD_SPEC_CLUSTER_IPS,
  FIELD_SPEC_EXTERNAL_IPS,
  FIELD_SPEC_EXTERNAL_POLICY,
  FIELD_SPEC_HEALTH_CHECK_NODE_PORT,
  FIELD_SPEC_INTERNAL_POLICY,
  FIELD_SPEC_PORTS,
  FIELD_SPEC_SESSION_AFFINITY,
  FIELD_SPEC_SOURCE_RANGES,
  FIELD_SPEC_TYPE,
  FIELD_STATUS_LOAD_BALANCER,
  FIELD_TIME_SECONDS,
  FIELD_TYPE_META_API_VERSION,
  FIELD_TYPE_META_KIND,
  FIELD_UNKNOWN_RAW,
  FIELD_UNKNOWN_TYPE_META,
  FIELD_WATCH_EVENT_OBJECT,
  FIELD_WATCH_EVENT_TYPE,
  UNKNOWN_MAGIC,
} from "../../asm/layout/fields.ts";
import type { JsonObject } from "../base/json.ts";
import type { Core, FeedResult, ObjectKind, ObjectStream } from "../core/core.ts";
import { metadataOf, ObjectFields } from "./object-fields.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** @see encodeWatchEvent */
export type EncodeEvent = (kind: ObjectKind, type: EventType, object: JsonObject) => Uint8Array;

/** The methods of the core that sources need. */
export type ObjectStore = Pick<Core, "openStream" | "beginReplace" | "endReplace">;

/** The platforms of the program are little-endian. */
const MAGIC = new Uint8Array(Uint32Array.of(UNKNOWN_MAGIC).buffer);
/** The API version of each kind that the core decodes. */
export const OBJECT_API_VERSIONS: Readonly<Record<ObjectKind, string>> = {
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
    out.text(FIELD_WATCH_EVENT_TYPE, type);
    out.message(FIELD_WATCH_EVENT_OBJECT, () => {
      out.message(FIELD_RAW_EXTENSION_RAW, () => {
        out.raw(MAGIC);
        out.message(FIELD_UNKNOWN_TYPE_META, () => {
          out.text(FIELD_TYPE_META_API_VERSION, OBJECT_API_VERSIONS[kind]);
          out.text(FIELD_TYPE_META_KIND, kind);
        });
        out.message(FIELD_UNKNOWN_RAW, () => {
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
  out.message(FIELD_OBJECT_METADATA, () => {
    text(FIELD_META_NAME, meta.text("name"));
    text(FIELD_META_NAMESPACE, meta.text("namespace"));
    text(FIELD_META_UID, meta.text("uid"));
    text(FIELD_META_RESOURCE_VERSION, meta.text("resourceVersion"));
    const created = meta.seconds("creationTimestamp");
    if (created !== undefined) {
      out.message(FIELD_META_CREATION_TIMESTAMP, () => out.integer(FIELD_TIME_SECONDS, created));
    }
    for (const entry of meta.entries("labels")) writeEntry(FIELD_META_LABELS, entry);
    for (const entry of meta.entries("annotations")) writeEntry(FIELD_META_ANNOTATIONS, entry);
  });
}

function writeEntry(field: number, [key, value]: [string, string]): void {
  out.message(field, () => {
    out.text(FIELD_MAP_KEY, key);
    out.text(FIELD_MAP_VALUE, value);
  });
}

function writeService(service: ObjectFields): void {
  const spec = service.object("spec");
  if (spec !== undefined) out.message(FIELD_SERVICE_SPEC, () => writeSpec(spec));
  const ingress = service.object("status")?.object("loadBalancer")?.objects("ingress") ?? [];
  if (ingress.length === 0) return;
  out.message(FIELD_SERVICE_STATUS, () => {
    out.message(FIELD_STATUS_LOAD_BALANCER, () => {
      for (const each of ingress) {
        out.message(FIELD_LOAD_BALANCER_INGRESS, () => {
          text(FIELD_INGRESS_IP, each.text("ip"));
          text(FIELD_INGRESS_IP_MODE, each.text("ipMode"));
        });
      }
    });
  });
}

function writeSpec(spec: ObjectFields): void {
  for (const port of spec.objects("ports")) {
    out.message(FIELD_SPEC_PORTS, () => {
      text(FIELD_PORT_NAME, port.text("name"));
      text(FIELD_PORT_PROTOCOL, port.text("protocol"));
      integer(FIELD_PORT_NUMBER, port.integer("port"));
      integer(FIELD_PORT_NODE_PORT, port.integer("nodePort"));
    });
  }
  text(FIELD_SPEC_CLUSTER_IP, spec.text("clusterIP"));
  text(FIELD_SPEC_TYPE, spec.text("type"));
  for (const address of spec.texts("externalIPs")) out.text(FIELD_SPEC_EXTERNAL_IPS, address);
  text(FIELD_SPEC_SESSION_AFFINITY, spec.text("sessionAffinity"));
  for (const range of spec.texts("loadBalancerSourceRanges")) {
    out.text(FIELD_SPEC_SOURCE_RANGES, range);
  }
  text(FIELD_SPEC_EXTERNAL_POLICY, spec.text("externalTrafficPolicy"));
  integer(FIELD_SPEC_HEALTH_CHECK_NODE_PORT, spec.integer("healthCheckNodePort"));
  const clientIP = spec.object("sessionAffinityConfig")?.object("clientIP");
  if (clientIP !== undefined) {
    out.message(FIELD_SPEC_AFFINITY_CONFIG, () => {
      out.message(FIELD_AFFINITY_CONFIG_CLIENT_IP, () => {
        integer(FIELD_CLIENT_IP_TIMEOUT, clientIP.integer("timeoutSeconds"));
      });
    });
  }
  for (const address of spec.texts("clusterIPs")) out.text(FIELD_SPEC_CLUSTER_IPS, address);
  text(FIELD_SPEC_INTERNAL_POLICY, spec.text("internalTrafficPolicy"));
}

function writeSlice(slice: ObjectFields): void {
  for (const endpoint of slice.objects("endpoints")) {
    out.message(FIELD_SLICE_ENDPOINTS, () => writeEndpoint(endpoint));
  }
  for (const port of slice.objects("ports")) {
    out.message(FIELD_SLICE_PORTS, () => {
      text(FIELD_PORT_NAME, port.text("name"));
      text(FIELD_PORT_PROTOCOL, port.text("protocol"));
      integer(FIELD_PORT_NUMBER, port.integer("port"));
    });
  }
  text(FIELD_SLICE_ADDRESS_TYPE, slice.text("addressType"));
}

function writeEndpoint(endpoint: ObjectFields): void {
  for (const address of endpoint.texts("addresses")) out.text(FIELD_ENDPOINT_ADDRESSES, address);
  const conditions = endpoint.object("conditions");
  if (conditions !== undefined) {
    out.message(FIELD_ENDPOINT_CONDITIONS, () => {
      flag(FIELD_CONDITION_READY, conditions.flag("ready"));
      flag(FIELD_CONDITION_SERVING, conditions.flag("serving"));
      flag(FIELD_CONDITION_TERMINATING, conditions.flag("terminating"));
    });
  }
  text(FIELD_ENDPOINT_NODE_NAME, endpoint.text("nodeName"));
  const hints = endpoint.object("hints");
  if (hints === undefined) return;
  out.message(FIELD_ENDPOINT_HINTS, () => {
    for (const zone of hints.objects("forZones")) {
      out.message(FIELD_HINTS_FOR_ZONES, () => text(FIELD_HINT_NAME, zone.text("name")));
    }
    for (const node of hints.objects("forNodes")) {
      out.message(FIELD_HINTS_FOR_NODES, () => text(FIELD_HINT_NAME, node.text("name")));
    }
  });
}

function text(field: number, value: string | undefined): void {
  if (value !== undefined) out.text(field, value);
}

function integer(field: number, value: number | undefined): void {
  if (value !== undefined) out.integer(field, value);
}

function flag(field: number, value: boolean | undefined): void {
  if (value !== undefined) out.integer(field, value ? 1 : 0);
}
