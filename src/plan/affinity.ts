/**
 * ClientIP affinity. The dataplane learns where a client went by frontend: the element here says that it
 * should, and for how long. kube-proxy shares one memory between all frontends of a port.
 */
import { AFFINITY_SECONDS_MAX } from "../base/limits.ts";
import { encodeAction } from "../model/actions.ts";
import type { Service } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Frontend } from "../state/frontends.ts";
import type { DesiredWriter } from "./desired.ts";

const LEARN = { 4: tableId("learn", 4), 6: tableId("learn", 6) };
const NODE_PORT_LEARN = { 4: tableId("nodeports-learn", 4), 6: tableId("nodeports-learn", 6) };

/** How long a client of this Service is remembered; 0 without affinity. */
export function affinitySeconds(service: Service): number {
  return Math.min(service.affinitySeconds, AFFINITY_SECONDS_MAX);
}

/** Makes the clients of a frontend be remembered. */
export function planLearn(service: Service, frontend: Frontend, writer: DesiredWriter): void {
  const nodePort = frontend.address === undefined;
  const code = encodeAction({ verb: "learn", nodePort, seconds: affinitySeconds(service) });
  const table = (nodePort ? NODE_PORT_LEARN : LEARN)[frontend.family];
  writer.action(table, service.id, frontend, code);
}
