/** An Event as events.k8s.io/v1 wants it, in JSON (API rules: pkg/apis/core/validation/events.go). */
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

/** Of two or more alike: how many, and when the last one was. */
export interface EventSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

/** What dashboards and alerts select kube-proxy's Events by. */
const REPORTING_CONTROLLER = "kube-proxy";
/** Bytes of UTF-8; the API refuses more. */
const NOTE_MAX = 1024;

export interface EventStamp {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Nanoseconds since the epoch, another for each Event of this process. */
  readonly unique: bigint;
  readonly hostname: string;
}

/** @param hostname the machine's own, whatever the Node is called: as client-go */
export function eventObject(event: KubeEvent, { at, unique, hostname }: EventStamp): EventObject {
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: {
      namespace: event.regarding.namespace ?? "default",
      name: eventName(event.regarding.name, unique),
    },
    eventTime: microTime(at),
    reportingController: REPORTING_CONTROLLER,
    reportingInstance: `${REPORTING_CONTROLLER}-${hostname}`,
    type: event.type,
    reason: event.reason,
    action: event.action,
    note: cut(event.note),
    regarding: event.regarding,
  };
}

export function eventSeries(count: number, lastAt: number): EventSeries {
  return { count, lastObservedTime: microTime(lastAt) };
}

/** Events with the same key are one series: alike in all but their time and note. */
export function seriesKey({ type, reason, action, regarding }: KubeEvent): string {
  const { kind, namespace = "", name, uid = "" } = regarding;
  return [type, reason, action, kind, namespace, name, uid].join(" ");
}

/** `<name>.<hex>`; client-go takes a UUID, too, where that would be no DNS subdomain. */
function eventName(name: string, unique: bigint): string {
  const full = `${name}.${unique.toString(16)}`;
  return full.length <= 253 && DNS_SUBDOMAIN.test(full) ? full : crypto.randomUUID();
}

const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}

/** Never in the middle of a character. */
function cut(note: string): string {
  const ellipsis = "…";
  if (Buffer.byteLength(note) <= NOTE_MAX) return note;
  const room = new Uint8Array(NOTE_MAX - Buffer.byteLength(ellipsis));
  const { read } = new TextEncoder().encodeInto(note, room);
  return note.slice(0, read) + ellipsis;
}
