/** The API server as a source: four reflectors, and the gate before the first sync. */

import type { ClusterAccess } from "../api-client/access.ts";
import { openTransport, type Transport } from "../api-client/transport.ts";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { type JsonObject, listAt, objectAt, textAt } from "../base/json.ts";
import { NODE_WAIT_MS, POD_CIDRS_WAIT_MS } from "../base/limits.ts";
import { parseCidr } from "../net/address.ts";
import { Reflector, type ReflectorStatus } from "./reflector.ts";
import {
  ENDPOINT_SLICES,
  nodeResource,
  type Resource,
  SERVICE_CIDRS,
  SERVICES,
} from "./resources.ts";
import { coreSink, type EncodeEvent, type Ingest, mapSink, type Sink } from "./sink.ts";
import type { Source, SourceEvents, SourceStatus } from "./source.ts";

export interface ApiSourceOptions {
  readonly access: ClusterAccess;
  readonly core: Ingest;
  readonly encode: EncodeEvent;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: SourceEvents;
  /** Read initial states by WatchList instead of a list from the server's cache. Default false: a list is faster. */
  readonly watchList?: boolean;
  /** The first sync must not come before the Node has podCIDRs (detectLocalMode NodeCIDR). Default false. */
  readonly needsPodCidrs?: boolean;
  /** For tests and simulations; one call for each reflector. */
  readonly openTransport?: (access: ClusterAccess) => Transport;
}

export interface ApiSource extends Source {
  /** One for each resource. */
  reflectors(): readonly ReflectorStatus[];
}

export function createApiSource(options: ApiSourceOptions): ApiSource {
  const { access, core, clock, events } = options;
  const listed = new Set<Resource["name"]>();
  let cidrsAttempted = false;
  let nodeSettled = false;
  let podCidrsSettled = options.needsPodCidrs !== true;
  let stopWaiting: (() => void) | undefined;
  let synced = false;

  /** kube-proxy waits for a Node that has addresses, since node ports need them. */
  const onNode = (nodes: readonly JsonObject[]) => {
    const [node] = nodes;
    if (node !== undefined && hasAddress(node)) nodeSettled = true;
    if (node !== undefined && hasPodCidr(node)) podCidrsSettled = true;
    events.onNode(node);
    gate();
  };
  const gate = () => {
    if (synced || !listed.has("services") || !listed.has("endpointslices")) return;
    stopWaiting ??= waitForNode();
    if (!nodeSettled || !podCidrsSettled || !cidrsAttempted) return;
    synced = true;
    stopWaiting();
    events.onSynced();
  };

  const waitForNode = () => {
    const stopAddresses = clock.after(NODE_WAIT_MS, () => {
      nodeSettled = true;
      cidrsAttempted = true;
      gate();
    });
    const stopPodCidrs = podCidrsSettled
      ? () => {}
      : clock.after(POD_CIDRS_WAIT_MS, () => {
          if (!podCidrsSettled) events.onFatal(noPodCidrs(options.nodeName));
        });
    return () => {
      stopAddresses();
      stopPodCidrs();
    };
  };

  const reflector = (resource: Resource, sink: Sink) =>
    new Reflector({
      resource,
      sink,
      transport: (options.openTransport ?? openTransport)(access),
      server: access.server,
      clock,
      random: options.random,
      watchList: options.watchList ?? false,
      onUnauthorized: () => access.refused(),
      onListed() {
        listed.add(resource.name);
        gate();
      },
      onAttempted() {
        if (resource !== SERVICE_CIDRS || cidrsAttempted) return;
        cidrsAttempted = true;
        gate();
      },
      onChange: () => events.onChange(),
      onProblems: (problems) => events.onProblems(problems),
      onFatal: (error) => events.onFatal(error),
    });
  const reflectors = [
    reflector(SERVICES, coreSink(core, "Service", options.encode, events.onProblems)),
    reflector(ENDPOINT_SLICES, coreSink(core, "EndpointSlice", options.encode, events.onProblems)),
    reflector(nodeResource(options.nodeName), mapSink(onNode)),
    reflector(
      SERVICE_CIDRS,
      mapSink((cidrs) => events.onServiceCidrs(cidrs)),
    ),
  ];

  return {
    start() {
      for (const each of reflectors) each.start();
    },
    stop() {
      stopWaiting?.();
      for (const each of reflectors) each.stop();
    },
    get synced() {
      return synced;
    },
    reflectors: () => reflectors.map((each) => each.status()),
    status: () =>
      summary(
        access.server,
        synced,
        reflectors.map((each) => each.status()),
      ),
  };
}

/** ServiceCIDRs are optional: a server without them is no less connected. */
function summary(name: string, synced: boolean, all: readonly ReflectorStatus[]): SourceStatus {
  const needed = all.filter((each) => each.resource !== SERVICE_CIDRS.name);
  return {
    name,
    synced,
    connected: needed.every((each) => each.connected),
    lastError: all.find((each) => each.lastError !== "")?.lastError ?? "",
    lastEventAt: Math.max(...all.map((each) => each.lastEventAt)),
  };
}

function hasAddress(node: JsonObject): boolean {
  return listAt(objectAt(node, "status"), "addresses").length > 0;
}

function hasPodCidr(node: JsonObject): boolean {
  const spec = objectAt(node, "spec");
  const all = [textAt(spec, "podCIDR"), ...listAt(spec, "podCIDRs")];
  return all.some((text) => typeof text === "string" && parseCidr(text));
}

function noPodCidrs(nodeName: string): SluiceError {
  const subject = `Node ${nodeName}`;
  const rule = `it must have podCIDRs after ${POD_CIDRS_WAIT_MS / 1000} s`;
  return new SluiceError(
    "OBJECT_INVALID",
    `Cannot detect local traffic by ${subject}: ${rule}: current value is ""`,
    subject,
  );
}
