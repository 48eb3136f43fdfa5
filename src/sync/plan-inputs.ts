/** What the plan depends on besides Services: this node, its addresses, the cluster's ranges. */

import type { Core } from "../core/core.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import { type Address, type Cidr, isLinkLocal, printAddress, printCidr } from "../net/address.ts";
import type { PlanContext } from "../plan/plan.ts";
import type { TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { FrontendClaims } from "../state/claims.ts";
import { readNode, withBindAddress } from "../state/node.ts";
import { type NodePortAddresses, nodePortAddresses } from "../state/node-port-addresses.ts";
import { ServiceCidrs } from "../state/service-cidrs.ts";

/** The part of the configuration that the plan depends on. */
export interface PlanSettings {
  /**
   * kube-proxy's bindAddress: overrides the node's own address of its family unless unspecified.
   */
  readonly bindAddress: string;
  readonly nodePortAddresses: NodePortAddresses;
  /** Services' externalIPs are served. */
  readonly externalIPs: boolean;
}

export interface PlanInputsOptions extends PlanSettings {
  readonly core: Core;
  readonly claims: FrontendClaims;
  readonly nodeName: string;
  /** The dataplane lets healthCheckNodePorts in; false by default. */
  readonly opensHealthCheckPorts?: boolean;
  /** What is wrong with the Node and the ServiceCIDRs. */
  readonly problems: TellProblems;
}

export class PlanInputs {
  readonly #options: PlanInputsOptions;
  readonly #cidrs = new ServiceCidrs();
  readonly #nodeProblems: ProblemSet;
  readonly #cidrProblems: ProblemSet;
  #settings: PlanSettings;
  /** As the Node has it, and with bindAddress. */
  #node: NodeFacts;
  #facts: NodeFacts;
  #nodeSeen = false;
  #podCidrs: readonly Cidr[] = [];
  #interfaces: readonly Address[] = [];
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

  /** Another configuration, while the proxy runs. A sync is to follow. */
  configure({ bindAddress, nodePortAddresses, externalIPs }: PlanSettings): void {
    this.#settings = { bindAddress, nodePortAddresses, externalIPs };
    this.#version++;
    this.#options.core.serveExternalIPs(externalIPs);
    this.#setFacts(this.#node);
  }

  get node(): NodeFacts {
    return this.#facts;
  }

  /** The Node object has been seen, now or earlier: the last copy counts when it is deleted. */
  get nodeSeen(): boolean {
    return this.#nodeSeen;
  }

  /**
   * The ranges of pods on this node. A Node that was just recreated has none for a while; those of
   * its predecessor stay until then.
   */
  get podCidrs(): readonly Cidr[] {
    return this.#podCidrs;
  }

  /** This node's object, or undefined when there is none. Returns whether `podCidrs` changed. */
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
      // Source ranges that hold the node's own address let the load balancer's addresses in.
      this.#options.core.markAllDirty();
    }
  }

  /** All ServiceCIDR objects. */
  setServiceCidrs(objects: readonly unknown[]): void {
    this.#cidrProblems.set(this.#cidrs.replace(objects));
    this.#version++;
  }

  /** The addresses on this node's interfaces, as the kernel has them now. */
  setInterfaceAddresses(addresses: readonly Address[]): void {
    this.#interfaces = addresses;
    this.#version++;
  }

  /** Grows whenever `planNode` may come out differently. */
  version(): number {
    return this.#version + this.#options.core.localAddressesVersion();
  }

  /**
   * Where healthCheckNodePorts listen: the addresses that serve node ports, or `::` for all there
   * are, so that an address which appears later is answered without another listener. Link-local
   * addresses cannot be bound without naming an interface, and no load balancer asks there.
   */
  listenAddresses(): readonly string[] {
    const { primary, cidrs } = this.#settings.nodePortAddresses;
    if (!primary && cidrs.every(({ prefix }) => prefix === 0)) return ["::"];
    const addresses = this.#nodePortAddresses().filter((address) => !isLinkLocal(address));
    return addresses.map(({ bytes }) => printAddress(bytes));
  }

  context(): PlanContext {
    const { core, claims } = this.#options;
    const { primary } = this.#facts;
    const { opensHealthCheckPorts = false } = this.#options;
    return {
      primary,
      claims,
      serviceCidrs: this.#cidrs.cidrs,
      nodePortAddresses: this.#nodePortAddresses(),
      localEndpoints: { 4: core.localAddresses(4), 6: core.localAddresses(6) },
      opensHealthCheckPorts,
    };
  }

  #nodePortAddresses(): readonly Address[] {
    const option = this.#settings.nodePortAddresses;
    return nodePortAddresses(option, this.#facts.primary, this.#interfaces);
  }
}

function unknownNode(name: string): NodeFacts {
  return { name, uid: "", primary: {}, zone: "", podCidrs: [], eligible: false };
}

function cidrText(cidrs: readonly Cidr[]): string {
  return cidrs.map(printCidr).join(",");
}

function primaryText({ primary }: NodeFacts): string {
  const text = (address: Address | undefined) => (address ? printAddress(address.bytes) : "");
  return `${text(primary[4])} ${text(primary[6])}`;
}
