/**
 * Plans ClientIP affinity. An element tells the backend to remember the clients of one frontend,
 * and for how long. kube-proxy remembers them for each Service port, whatever the frontend.
 */
import { AFFINITY_SECONDS_MAX } from "../base/limits.ts";
import { encodeAction } from "../model/actions.ts";
import type { Service } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Frontend } from "../state/frontends.ts";
import type { DesiredWriter } from "./desired.ts";

const LEARN = { 4: tableId("learn", 4), 6: tableId("learn", 6) };
const NODE_PORT_LEARN = { 4: tableId("nodeports-learn", 4), 6: tableId("nodeports-learn", 6) };

/** Returns how many seconds a client of this Service is remembered; 0 without affinity. */
export function affinitySeconds(service: Service): number {
  return Math.min(service.affinitySeconds, AFFINITY_SECONDS_MAX);
}

/** Writes the element that makes the backend remember the clients of a frontend. */
export function planLearn(service: Service, frontend: Frontend, writer: DesiredWriter): void {
  const nodePort = frontend.address === undefined;
  const code = encodeAction({ verb: "learn", nodePort, seconds: affinitySeconds(service) });
  const table = (nodePort ? NODE_PORT_LEARN : LEARN)[frontend.family];
  writer.action(table, service.id, frontend, code);
}
