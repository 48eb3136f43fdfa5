/**
 * Holds the inputs of the plan other than Services: this node, the addresses that serve node ports,
 * and the ServiceCIDRs.
 */

import type { Core } from "../core/core.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import {
  type Address,
  type Cidr,
  compareAddresses,
  isLinkLocal,
  isLoopback,
  printAddress,
  printCidr,
} from "../net/address.ts";
import { cidrContains, intersectRanges } from "../net/cidr.ts";
import { AffinityMaps } from "../plan/affinity-maps.ts";
import type { PlanContext } from "../plan/plan.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { FrontendClaims } from "../state/claims.ts";
import { readNode, withBindAddress } from "../state/node.ts";
import { type NodePortAddresses, nodePortRanges } from "../state/node-port-ranges.ts";
import { ServiceCidrs } from "../state/service-cidrs.ts";

/** The settings that the plan depends on. */
export interface PlanSettings {
  /**
   * kube-proxy's bindAddress. Unless unspecified, it overrides the node's own address of its
   * family.
   */
  readonly bindAddress: string;
  readonly nodePortAddresses: NodePortAddresses;
  /** Whether to serve the externalIPs of Services. */
  readonly externalIPs: boolean;
}

export interface PlanInputsOptions extends PlanSettings {
  readonly core: Core;
  readonly claims: FrontendClaims;
  readonly nodeName: string;
  /** Whether the backend opens healthCheckNodePorts in the firewall. False by default. */
  readonly opensHealthCheckPorts?: boolean;
  /** Whether the backend remembers clients in maps of its own. True by default. */
  readonly affinityMaps?: boolean;
  /** Receives the problems of the Node and the ServiceCIDRs. */
  readonly problems: ReportProblems;
}

export class PlanInputs {
  readonly #options: PlanInputsOptions;
  readonly #cidrs = new ServiceCidrs();
  readonly #nodeProblems: ProblemSet;
  readonly #cidrProblems: ProblemSet;
  #settings: PlanSettings;
  /** The node as its object says, and the same node with bindAddress applied. */
  #node: NodeFacts;
  #facts: NodeFacts;
  #nodeSeen = false;
  #podCidrs: readonly Cidr[] = [];
  #local: readonly Cidr[] = [];
  #version = 0;

  constructor(options: PlanInputsOptions) {
    this.#options = options;
    this.#nodeProblems = new ProblemSet(options.problems);
    this.#cidrProblems = new ProblemSet(options.problems);
    const { bindAddress, nodePortAddresses, externalIPs } = options;
    this.#settings = { bindAddress, nodePortAddresses, externalIPs };
    this.#node = unknownNode(options.nodeName);
    this.#facts = withBindAddress(this.#node, bindAddress);
    options.core.serveExternalIPs(externalIPs);
  }

  /** Applies another configuration at run time. The caller requests a sync. */
  configure({ bindAddress, nodePortAddresses, externalIPs }: PlanSettings): void {
    this.#settings = { bindAddress, nodePortAddresses, externalIPs };
    this.#version++;
    this.#options.core.serveExternalIPs(externalIPs);
    this.#setFacts(this.#node);
  }

  get node(): NodeFacts {
    return this.#facts;
  }

  /** True once the Node object was seen. After its deletion, the last copy stays in use. */
  get nodeSeen(): boolean {
    return this.#nodeSeen;
  }

  /**
   * The pod ranges of this node. A recreated Node has none at first; until it does, the previous
   * ranges stay in use.
   */
  get podCidrs(): readonly Cidr[] {
    return this.#podCidrs;
  }

  /**
   * Takes this node's object; undefined if it does not exist. Reports whether `podCidrs` changed.
   */
  setNode(object: unknown): boolean {
    if (object === undefined) {
      this.#nodeProblems.set([]);
      return false;
    }
    const { facts, problems } = readNode(object);
    this.#nodeProblems.set(problems);
    if (facts === undefined) return false;
    this.#nodeSeen = true;
    this.#options.core.setZone(facts.zone);
    this.#setFacts(facts);
    return this.#setPodCidrs(facts.podCidrs);
  }

  #setPodCidrs(cidrs: readonly Cidr[]): boolean {
    if (cidrs.length === 0 || cidrText(cidrs) === cidrText(this.#podCidrs)) return false;
    this.#podCidrs = cidrs;
    return true;
  }

  #setFacts(node: NodeFacts): void {
    const before = this.#facts;
    this.#node = node;
    this.#facts = withBindAddress(node, this.#settings.bindAddress);
    if (primaryText(before) !== primaryText(this.#facts)) {
      this.#version++;
      // Source ranges that contain the node's own address also allow the VIPs
      // (plan/source-ranges.ts).
      this.#options.core.markAllDirty();
    }
  }

  /** Takes the complete list of ServiceCIDR objects. */
  setServiceCidrs(objects: readonly unknown[]): void {
    this.#cidrProblems.set(this.#cidrs.replace(objects));
    this.#version++;
  }

  /**
   * Takes the ranges that the kernel currently considers local. No element depends on them. Reports
   * whether `listenAddresses` changed.
   */
  setLocalRanges(ranges: readonly Cidr[]): boolean {
    const before = this.listenAddresses().join();
    this.#local = ranges;
    return this.listenAddresses().join() !== before;
  }

  /** The local ranges in which node ports answer, sorted and disjoint. */
  localNodePortRanges(among = this.#local): readonly Cidr[] {
    return intersectRanges(this.#nodePortRanges(), among).filter((range) => !isLoopback(range));
  }

  /** Increases whenever the result of `planNode` may differ. */
  version(): number {
    return this.#version;
  }

  /**
   * The addresses on which healthCheckNodePorts listen: those that serve node ports, or `::` if all
   * of them do. With `::`, a new address needs no new listener. Link-local addresses are left out:
   * binding one requires an interface name, and no load balancer probes them.
   */
  listenAddresses(): readonly string[] {
    const { primary, cidrs } = this.#settings.nodePortAddresses;
    if (!primary && cidrs.every(({ prefix }) => prefix === 0)) return ["::"];
    const served = this.#nodePortRanges();
    return this.#local
      .filter((range) => range.prefix === range.bytes.length * 8 && !isLinkLocal(range))
      .filter((range) => !isLoopback(range) && served.some((each) => cidrContains(each, range)))
      .sort(compareAddresses)
      .map(({ bytes }) => printAddress(bytes));
  }

  context(): PlanContext {
    const { core, claims } = this.#options;
    const { nodeIPs } = this.#facts;
    const { opensHealthCheckPorts = false, affinityMaps = true } = this.#options;
    return {
      primary: nodeIPs,
      claims,
      serviceCidrs: this.#cidrs.cidrs,
      nodePortRanges: this.#nodePortRanges(),
      opensHealthCheckPorts,
      affinityMaps: affinityMaps ? new AffinityMaps(core) : undefined,
    };
  }

  #nodePortRanges(): readonly Cidr[] {
    return nodePortRanges(this.#settings.nodePortAddresses, this.#facts.nodeIPs);
  }
}

function unknownNode(name: string): NodeFacts {
  return { name, uid: "", nodeIPs: {}, zone: "", podCidrs: [], eligible: false };
}

function cidrText(cidrs: readonly Cidr[]): string {
  return cidrs.map(printCidr).join(",");
}

function primaryText({ nodeIPs }: NodeFacts): string {
  const text = (address: Address | undefined) => (address ? printAddress(address.bytes) : "");
  return `${text(nodeIPs[4])} ${text(nodeIPs[6])}`;
}
