/**
 * Plans the elements that make a frontend follow externalTrafficPolicy and internalTrafficPolicy
 * (KEP-2086), and the elements of a frontend without endpoints. Selection has already handled
 * terminating endpoints (KEP-1669).
 */
import { SLOTS_MAX } from "../base/limits.ts";
import { type ActionCode, encodeAction, type SlotTable, type SnatMode } from "../model/actions.ts";
import type { EndpointSelection, EndpointSpan } from "../model/choice.ts";
import type { Service } from "../model/service.ts";
import { type TableId, tableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import type { Frontend } from "../state/frontends.ts";
import { affinitySeconds, type ChosenSpans, planAffinity } from "./affinity.ts";
import type { AffinityMaps } from "./affinity-maps.ts";
import type { DesiredWriter } from "./desired.ts";

/**
 * The tables of one kind of frontend in one family. Node ports have their own, without the address.
 */
interface FrontendTables {
  readonly everyone: TableId;
  readonly outside: TableId;
  readonly unserved: TableId;
  readonly cluster: TableId;
  readonly clusterSlots: SlotTable;
  readonly local: TableId;
  readonly localSlots: SlotTable;
}

const ADDRESS_TABLES = { 4: addressTables(4), 6: addressTables(6) };
const NODE_PORT_TABLES = { 4: nodePortTables(4), 6: nodePortTables(6) };
const DROP_ACTION = encodeAction({ verb: "drop" });
const DROP_OUTSIDE_ACTION = encodeAction({ verb: "drop-outside" });
const REJECT_ACTION = encodeAction({ verb: "reject" });
const ACCEPT_ACTION = encodeAction({ verb: "accept" });

const NO_ENDPOINTS: EndpointSpan = { pointer: 0, count: 0 };

/**
 * Writes how this frontend chooses an endpoint, for every source and, with externalTrafficPolicy
 * Local, for outside sources. Each group of sources gets one action and one list of slots, or a
 * reject or drop if it has no endpoints.
 */
export function planFrontend(
  service: Service,
  frontend: Frontend,
  choice: EndpointSelection,
  affinityMaps: AffinityMaps | undefined,
  writer: DesiredWriter,
): void {
  const tables = frontend.address === undefined ? NODE_PORT_TABLES : ADDRESS_TABLES;
  const plan = new FrontendPlan(service, frontend, tables[frontend.family], writer);
  if (frontend.kind === "cluster-ip") planInternal(service, choice, plan);
  else if (externalPolicyLocal(service)) planExternalLocal(choice, plan);
  else planExternalCluster(choice, plan);
  const chosen = plan.chosenWithAffinity();
  if (chosen !== undefined) planAffinity(service, frontend, chosen, affinityMaps, writer);
}

/**
 * Reports whether externalTrafficPolicy Local applies (kube-proxy's ExternalPolicyLocal). It
 * applies only to Services that external traffic can reach; on others, the field is left over from
 * an earlier type.
 */
export function externalPolicyLocal(service: Service): boolean {
  if (!service.externalLocal) return false;
  return service.type !== "ClusterIP" || service.externalIPs.length > 0;
}

function planInternal(service: Service, choice: EndpointSelection, plan: FrontendPlan): void {
  const span = service.internalLocal ? choice.local : choice.cluster;
  if (span.count > 0) plan.everyone(span, "plain");
  // As in kube-proxy: with policy Local, a local endpoint may appear, so drop lets the client
  // retry. Reject tells it that there are no endpoints anywhere.
  else plan.refuse(service.internalLocal && choice.usable ? "drop" : "reject");
}

function planExternalCluster(choice: EndpointSelection, plan: FrontendPlan): void {
  if (choice.cluster.count > 0) plan.everyone(choice.cluster, "masquerade");
  else plan.refuse("reject");
}

function planExternalLocal(choice: EndpointSelection, plan: FrontendPlan): void {
  const { cluster, local, usable } = choice;
  if (!usable) {
    plan.refuse("reject");
    return;
  }
  // Short-circuit: local pods and the node itself reach the endpoints of the whole cluster, as if
  // through a load balancer and back.
  if (cluster.count > 0) plan.everyone(cluster, "short-circuit");
  if (local.count > 0) plan.outside(local);
  else plan.refuseOutside();
}

/** Writes the elements of one frontend into its tables. */
class FrontendPlan {
  readonly #service: Service;
  readonly #frontend: Frontend;
  readonly #tables: FrontendTables;
  readonly #writer: DesiredWriter;
  #everyone = NO_ENDPOINTS;
  #outside = NO_ENDPOINTS;

  constructor(service: Service, frontend: Frontend, tables: FrontendTables, writer: DesiredWriter) {
    this.#service = service;
    this.#frontend = frontend;
    this.#tables = tables;
    this.#writer = writer;
  }

  /** Lets every source choose among these endpoints, unless `outside` applies to it. */
  everyone(span: EndpointSpan, snat: SnatMode): void {
    const { cluster, clusterSlots, everyone } = this.#tables;
    this.#everyone = this.#choose(everyone, cluster, clusterSlots, span, snat);
  }

  /**
   * Lets outside sources (neither local pods nor this node) choose among these local endpoints, and
   * keep their address.
   */
  outside(span: EndpointSpan): void {
    const { local, localSlots, outside } = this.#tables;
    this.#outside = this.#choose(outside, local, localSlots, span, "plain");
  }

  /** Returns what was chosen, or undefined without endpoints or session affinity. */
  chosenWithAffinity(): ChosenSpans | undefined {
    const spans = { everyone: this.#everyone, outside: this.#outside };
    const count = spans.everyone.count + spans.outside.count;
    return this.#hasAffinity && count > 0 ? spans : undefined;
  }

  refuse(how: "drop" | "reject"): void {
    this.#refuse(how === "drop" ? DROP_ACTION : REJECT_ACTION);
  }

  /**
   * Drops connections from outside sources. `accept` leaves them untranslated. If no other program
   * translates them either, `drop-outside` then drops them: with nftables in `unserved4`, with
   * iptables in KUBE-EXTERNAL-SERVICES, for every source.
   */
  refuseOutside(): void {
    this.#writer.action(this.#tables.outside, this.#service.id, this.#frontend, ACCEPT_ACTION);
    this.#refuse(DROP_OUTSIDE_ACTION);
  }

  #refuse(code: ActionCode): void {
    this.#writer.action(this.#tables.unserved, this.#service.id, this.#frontend, code);
  }

  #choose(
    frontends: TableId,
    slots: TableId,
    slotTable: SlotTable,
    span: EndpointSpan,
    snat: SnatMode,
  ): EndpointSpan {
    const { id } = this.#service;
    const verb = this.#hasAffinity ? "recall" : "pick";
    const chosen = { pointer: span.pointer, count: Math.min(span.count, SLOTS_MAX) };
    const code = encodeAction({ verb, slotTable, snat, count: chosen.count });
    this.#writer.slots(slots, id, this.#frontend, chosen);
    this.#writer.action(frontends, id, this.#frontend, code);
    return chosen;
  }

  get #hasAffinity(): boolean {
    return affinitySeconds(this.#service) > 0;
  }
}

function addressTables(family: Family): FrontendTables {
  return {
    everyone: tableId("frontends", family),
    outside: tableId("outside", family),
    unserved: tableId("no-endpoints", family),
    cluster: tableId("endpoints", family),
    clusterSlots: "endpoints",
    local: tableId("local-endpoints", family),
    localSlots: "local-endpoints",
  };
}

function nodePortTables(family: Family): FrontendTables {
  return {
    everyone: tableId("nodeports", family),
    outside: tableId("nodeports-outside", family),
    unserved: tableId("nodeports-no-endpoints", family),
    cluster: tableId("nodeport-endpoints", family),
    clusterSlots: "nodeport-endpoints",
    local: tableId("nodeport-local-endpoints", family),
    localSlots: "nodeport-local-endpoints",
  };
}
