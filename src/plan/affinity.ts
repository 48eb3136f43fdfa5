/**
 * Plans ClientIP affinity: the elements that make the backend remember the clients of a frontend,
 * and let it find their endpoints again. kube-proxy remembers clients for each Service port,
 * whatever the frontend.
 */
import { AFFINITY_SECONDS_MAX } from "../base/limits.ts";
import { encodeAction } from "../model/actions.ts";
import type { EndpointSpan } from "../model/choice.ts";
import type { Service } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import type { Frontend } from "../state/frontends.ts";
import { type AffinityMaps, LEARN, NODE_PORT_LEARN } from "./affinity-maps.ts";
import type { DesiredWriter, NumberTables } from "./desired.ts";

const NUMBERS = { 4: numberTables(4, ""), 6: numberTables(6, "") };
const NODE_PORT_NUMBERS = { 4: numberTables(4, "nodeport-"), 6: numberTables(6, "nodeport-") };

/** The endpoints that a frontend chooses from: for every source, and for outside sources. */
export interface ChosenSpans {
  readonly everyone: EndpointSpan;
  readonly outside: EndpointSpan;
}

/** Returns how many seconds a client of this Service is remembered; 0 without affinity. */
export function affinitySeconds(service: Service): number {
  return Math.min(service.affinitySeconds, AFFINITY_SECONDS_MAX);
}

/**
 * Writes the element that makes the backend remember the clients of a frontend. `maps` is undefined
 * if the kernel keeps its own lists of clients. Otherwise it also writes the numbers of the
 * endpoints, which the maps remember.
 */
export function planAffinity(
  service: Service,
  frontend: Frontend,
  spans: ChosenSpans,
  maps: AffinityMaps | undefined,
  writer: DesiredWriter,
): void {
  const { family } = frontend;
  const nodePort = frontend.address === undefined;
  const map = maps?.mapOf(frontend) ?? 0;
  const code = encodeAction({ verb: "learn", nodePort, map, seconds: affinitySeconds(service) });
  writer.action((nodePort ? NODE_PORT_LEARN : LEARN)[family], service.id, frontend, code);
  if (maps === undefined) return;
  const tables = (nodePort ? NODE_PORT_NUMBERS : NUMBERS)[family];
  writer.numbers(tables, service.id, frontend, spans);
}

function numberTables(family: Family, prefix: "" | "nodeport-"): NumberTables {
  return {
    numbers: tableId(`${prefix}endpoint-numbers`, family),
    everyone: tableId(`${prefix}numbered-endpoints`, family),
    outside: tableId(`${prefix}numbered-local-endpoints`, family),
  };
}
