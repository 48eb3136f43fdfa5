/** How much there is of everything, taken from the core when somebody asks. */
import type { Core } from "../core/core.ts";
import { type ActionCode, decodeAction } from "../plan/actions.ts";
import { type Family, TABLES, type TableName, tableId } from "../plan/tables.ts";
import type { Counts } from "./view.ts";

export type CountedCore = Pick<
  Core,
  | "serviceCount"
  | "sliceCount"
  | "endpointCount"
  | "elementCount"
  | "memoryBytes"
  | "eachElement"
  | "ownerOf"
>;

export function countsOf(core: CountedCore): Counts {
  const elements: { [table in TableName]?: number } = {};
  for (const { name } of TABLES) {
    elements[name] = core.elementCount(tableId(name, 4)) + core.elementCount(tableId(name, 6));
  }
  const noLocalEndpoints = ([4, 6] as const).flatMap((family) => {
    const { internal, external } = portsWithoutLocalEndpoints(core, family);
    return [
      { policy: "internal", family, count: internal } as const,
      { policy: "external", family, count: external } as const,
    ];
  });
  return {
    services: core.serviceCount(),
    slices: core.sliceCount(),
    endpoints: core.endpointCount(),
    elements,
    coreBytes: core.memoryBytes(),
    noLocalEndpoints,
  };
}

/**
 * Frontends that are dropped are those of a Local policy with endpoints on other nodes only (kube-proxy.md
 * 5.3; without endpoints anywhere they are rejected): internal if the address is a clusterIP. Counted by
 * Service and port. Of a Service with load balancer addresses these count, its node port is the same port.
 */
function portsWithoutLocalEndpoints(core: CountedCore, family: Family) {
  const dropped: { readonly owner: number; readonly port: string; readonly address: Uint8Array }[] =
    [];
  const size = family === 4 ? 4 : 16;
  core.eachElement(tableId("no-endpoints", family), (key, value, owner) => {
    if (!isDrop(value)) return;
    dropped.push({ owner, port: key.subarray(size).join("."), address: key.slice(0, size) });
  });
  const internal = new Set<string>();
  const external = new Set<string>();
  const withAddress = new Set<number>();
  for (const { owner, port, address } of dropped) {
    const clusterIp = core.ownerOf(tableId("cluster-ips", family), address) !== undefined;
    (clusterIp ? internal : external).add(`${owner} ${port}`);
    if (!clusterIp) withAddress.add(owner);
  }
  core.eachElement(tableId("nodeports-no-endpoints", family), (key, value, owner) => {
    if (isDrop(value) && !withAddress.has(owner)) external.add(`${owner} node ${key.join(".")}`);
  });
  return { internal: internal.size, external: external.size };
}

function isDrop(value: Uint8Array): boolean {
  const code = new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
  return decodeAction(code as ActionCode).verb === "drop";
}
