/**
 * Reads objects from the API server with four reflectors, and decides when the first sync may
 * start.
 */

import type { ClusterAccess } from "../api-client/access.ts";
import { openTransport, type Transport } from "../api-client/transport.ts";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { type JsonObject, listAt, objectAt, stringAt } from "../base/json.ts";
import { NODE_WAIT_MS, POD_CIDRS_WAIT_MS } from "../base/limits.ts";
import { parseCidr } from "../net/address.ts";
import type { Problem } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { metadataOf } from "../source/object-fields.ts";
import type { Source, SourceEvents, SourceStatus } from "../source/source.ts";
import type { EncodeEvent, ObjectStore } from "../source/watch-frames.ts";
import { Reflector, type ReflectorStatus } from "./reflector.ts";
import {
  ENDPOINT_SLICE_RESOURCE,
  nodeResource,
  type Resource,
  SERVICE_CIDR_RESOURCE,
  SERVICE_RESOURCE,
} from "./resources.ts";
import { coreSink, mapSink, type ObjectSink } from "./sink.ts";

export interface ApiSourceOptions {
  readonly access: ClusterAccess;
  readonly core: ObjectStore;
  readonly encode: EncodeEvent;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: SourceEvents;
  /**
   * Reads the initial state by WatchList instead of a list from the server's cache. Default false,
   * because a list is faster.
   */
  readonly watchList?: boolean;
  /**
   * If true, the first sync waits until the Node has podCIDRs (detectLocalMode NodeCIDR). Default
   * false.
   */
  readonly needsPodCidrs?: boolean;
  /** Replaces the transport in tests; called once for each reflector, and once for checks. */
  readonly openTransport?: (access: ClusterAccess) => Transport;
}

export class ApiSource implements Source {
  readonly #options: ApiSourceOptions;
  readonly #reflectors: readonly Reflector[];
  /** Shared by the reflectors' checks of the store. It has a connection only while they run. */
  readonly #checkTransport: Transport;
  /** Resources with a complete initial state. */
  readonly #listed = new Set<Resource["name"]>();
  #cidrsAttempted = false;
  #nodeSettled = false;
  readonly #nodeProblems: ProblemSet;
  #podCidrsSettled: boolean;
  /** Undefined until the wait for the Node starts. */
  #stopWaiting: (() => void) | undefined;
  #synced = false;

  constructor(options: ApiSourceOptions) {
    const { core, encode, nodeName, events } = options;
    this.#options = options;
    this.#checkTransport = this.#openTransport();
    this.#podCidrsSettled = options.needsPodCidrs !== true;
    const { onProblems } = events;
    this.#nodeProblems = new ProblemSet(onProblems);
    const node = nodeResource(nodeName);
    this.#reflectors = [
      this.#reflector(SERVICE_RESOURCE, coreSink(core, "Service", encode, onProblems)),
      this.#reflector(ENDPOINT_SLICE_RESOURCE, coreSink(core, "EndpointSlice", encode, onProblems)),
      this.#reflector(
        node,
        mapSink(node, (nodes) => this.#onNode(nodes)),
      ),
      this.#reflector(
        SERVICE_CIDR_RESOURCE,
        mapSink(SERVICE_CIDR_RESOURCE, (cidrs) => events.onServiceCidrs(cidrs)),
      ),
    ];
  }

  start(): void {
    for (const each of this.#reflectors) each.start();
  }

  stop(): void {
    this.#stopWaiting?.();
    for (const each of this.#reflectors) each.stop();
    this.#checkTransport.close();
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** One status per resource. */
  reflectors(): readonly ReflectorStatus[] {
    return this.#reflectors.map((each) => each.status());
  }

  status(): SourceStatus {
    return summary(this.#options.access.server, this.#synced, this.reflectors());
  }

  #openTransport(): Transport {
    return (this.#options.openTransport ?? openTransport)(this.#options.access);
  }

  #reflector(resource: Resource, sink: ObjectSink): Reflector {
    const { access, clock, random, events, watchList = false } = this.#options;
    return new Reflector({
      resource,
      sink,
      transport: this.#openTransport(),
      checkTransport: this.#checkTransport,
      server: access.server,
      clock,
      random,
      watchList,
      onListed: () => {
        this.#listed.add(resource.name);
        this.#syncIfComplete();
      },
      onAttempted: () => {
        if (resource !== SERVICE_CIDR_RESOURCE || this.#cidrsAttempted) return;
        this.#cidrsAttempted = true;
        this.#syncIfComplete();
      },
      onChange: () => events.onChange(),
      onProblems: (problems) => events.onProblems(problems),
      onFatal: (error) => events.onFatal(error),
    });
  }

  /** Like kube-proxy, waits for a Node with addresses, because node ports need them. */
  #onNode(nodes: readonly JsonObject[]): void {
    // A cache in between may ignore the field selector.
    const node = nodes.find((each) => metadataOf(each).name === this.#options.nodeName);
    if (node !== undefined && hasAddress(node)) this.#nodeSettled = true;
    if (node !== undefined && hasPodCidr(node)) this.#podCidrsSettled = true;
    this.#nodeProblems.set(nodeProblems(this.#options.nodeName, node));
    this.#options.events.onNode(node);
    this.#syncIfComplete();
  }

  #syncIfComplete(): void {
    const listed = this.#listed.has("services") && this.#listed.has("endpointslices");
    if (this.#synced || !listed) return;
    this.#stopWaiting ??= this.#waitForNode();
    if (!this.#nodeSettled || !this.#podCidrsSettled || !this.#cidrsAttempted) return;
    this.#synced = true;
    this.#stopWaiting();
    this.#options.events.onSynced();
  }

  /** Starts the deadlines for the Node. Returns a function that cancels them. */
  #waitForNode(): () => void {
    const { clock, events, nodeName } = this.#options;
    const stopAddresses = clock.after(NODE_WAIT_MS, () => {
      this.#nodeSettled = true;
      this.#cidrsAttempted = true;
      this.#syncIfComplete();
    });
    const stopPodCidrs = this.#podCidrsSettled
      ? () => {}
      : clock.after(POD_CIDRS_WAIT_MS, () => {
          if (!this.#podCidrsSettled) events.onFatal(noPodCidrs(nodeName));
        });
    return () => {
      stopAddresses();
      stopPodCidrs();
    };
  }
}

/** ServiceCIDRs are optional, so they do not count for `connected`. */
function summary(name: string, synced: boolean, all: readonly ReflectorStatus[]): SourceStatus {
  const needed = all.filter((each) => each.resource !== SERVICE_CIDR_RESOURCE.name);
  return {
    name,
    synced,
    connected: needed.every((each) => each.connected),
    lastError: all.find((each) => each.lastError !== "")?.lastError ?? "",
    lastEventAt: Math.max(...all.map((each) => each.lastEventAt)),
  };
}

/** Returns the reason that the Node is of no use: node ports, for example, need its addresses. */
function nodeProblems(name: string, node: JsonObject | undefined): readonly Problem[] {
  if (node !== undefined && hasAddress(node)) return [];
  const cause =
    node === undefined
      ? "the API server has no Node with this name (does hostnameOverride name this node?)"
      : "it has no address (the kubelet or a cloud controller sets status.addresses)";
  const message = `read Node ${name}: ${cause}`;
  return [{ subject: `Node ${name}`, code: "NODE_MISSING", field: "", message }];
}

function hasAddress(node: JsonObject): boolean {
  return listAt(objectAt(node, "status"), "addresses").length > 0;
}

function hasPodCidr(node: JsonObject): boolean {
  const spec = objectAt(node, "spec");
  const all = [stringAt(spec, "podCIDR"), ...listAt(spec, "podCIDRs")];
  return all.some((text) => typeof text === "string" && parseCidr(text));
}

const POD_CIDRS_HINT =
  "(detectLocalMode NodeCIDR needs it; allocate podCIDRs to the Node, or set another mode)";

function noPodCidrs(nodeName: string): SluiceError {
  const subject = `Node ${nodeName}`;
  const wait = POD_CIDRS_WAIT_MS / 1000;
  return new SluiceError(
    "OBJECT_INVALID",
    `${subject}: spec.podCIDRs: required value: still empty after ${wait} s ${POD_CIDRS_HINT}`,
    subject,
  );
}
