/**
 * Builds Events as JSON objects of events.k8s.io/v1 (rules: pkg/apis/core/validation/events.go).
 */
import type { WriteRequest } from "../api-client/transport.ts";
import type { KubeEvent, ObjectReference } from "./events.ts";

export interface EventObject {
  readonly apiVersion: "events.k8s.io/v1";
  readonly kind: "Event";
  readonly metadata: { readonly namespace: string; readonly name: string };
  /** RFC 3339 with microseconds: MicroTime. */
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly type: string;
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: ObjectReference;
  readonly series?: EventSeries;
}

/** Set on an Event that occurred at least twice. */
export interface EventSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

/** Dashboards and alerts select kube-proxy's Events by it. */
const REPORTING_CONTROLLER = "kube-proxy";
/** The maximum length in bytes of UTF-8. The API rejects longer notes. */
const NOTE_MAX = 1024;

/**
 * @param at milliseconds since the epoch
 * @param unique about nanoseconds since the epoch, different for every Event of this process
 * @param hostname the machine's name, not the Node's: as client-go does
 */
export function eventObject(
  event: KubeEvent,
  stamp: { readonly at: number; readonly unique: bigint; readonly hostname: string },
): EventObject {
  const { type, reason, action, note, regarding } = event;
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: {
      namespace: regarding.namespace ?? "default",
      name: eventName(regarding.name, stamp.unique),
    },
    eventTime: microTime(stamp.at),
    reportingController: REPORTING_CONTROLLER,
    reportingInstance: `${REPORTING_CONTROLLER}-${stamp.hostname}`,
    type,
    reason,
    action,
    note: truncate(note),
    regarding,
  };
}

/** @param lastAt milliseconds since the epoch */
export function eventSeries(count: number, lastAt: number): EventSeries {
  return { count, lastObservedTime: microTime(lastAt) };
}

/** Events with the same key form a series: they differ only in time and note. */
export function seriesKey({ type, reason, action, regarding }: KubeEvent): string {
  const { kind, namespace = "", name, uid = "" } = regarding;
  return [type, reason, action, kind, namespace, name, uid].join(" ");
}

/** Creates the Event. If it `exists`, changes only its series. */
export function eventRequest(
  object: EventObject,
  series: EventSeries | undefined,
  exists: boolean,
): WriteRequest {
  const { namespace, name } = object.metadata;
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  if (!exists) {
    const body = JSON.stringify({ ...object, series });
    return { method: "POST", path, contentType: "application/json", body };
  }
  const contentType = "application/merge-patch+json";
  return {
    method: "PATCH",
    path: `${path}/${name}`,
    contentType,
    body: JSON.stringify({ series }),
  };
}

const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Returns `<name>.<hex>`, or like client-go a UUID if that is not a DNS subdomain. */
function eventName(name: string, unique: bigint): string {
  const full = `${name}.${unique.toString(16)}`;
  return full.length <= 253 && DNS_SUBDOMAIN.test(full) ? full : crypto.randomUUID();
}

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}

/** Cuts to NOTE_MAX bytes, never inside a character. */
function truncate(note: string): string {
  const ellipsis = "…";
  if (Buffer.byteLength(note) <= NOTE_MAX) return note;
  const room = new Uint8Array(NOTE_MAX - Buffer.byteLength(ellipsis));
  const { read } = new TextEncoder().encodeInto(note, room);
  return note.slice(0, read) + ellipsis;
}
