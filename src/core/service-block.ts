/** A lens: the block of a Service in the core's memory (asm/layout.ts) as a `Service`. */
import {
  ADDRESS_STRIDE,
  PORT_STRIDE,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  SERVICE_HEADER,
  SERVICE_TYPE_LOAD_BALANCER,
  SERVICE_TYPE_NODE_PORT,
} from "../../asm/layout/layout.ts";
import type { Service, ServiceId, ServicePort } from "../model/service.ts";
import type { Cidr, Family } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/**
 * Reads the block at `at`. Its bytes are copied: the result outlives the block.
 *
 * @param key `namespace/name`
 * @param name the text of a name id
 */
export function readServiceBlock(
  view: DataView,
  at: number,
  id: ServiceId,
  key: string,
  name: (id: number) => string,
): Service {
  const type = view.getUint8(at + 14);
  const flags = view.getUint8(at + 15);
  let next = at + SERVICE_HEADER;
  const addresses = (count: number): Cidr[] => {
    const list = Array.from({ length: count }, (_, i) =>
      readAddress(view, next + i * ADDRESS_STRIDE),
    );
    next += count * ADDRESS_STRIDE;
    return list;
  };
  const clusterIPs = addresses(view.getUint16(at + 18, true));
  const externalIPs = addresses(view.getUint16(at + 20, true));
  const vips = addresses(view.getUint16(at + 22, true));
  const sourceRanges = addresses(view.getUint16(at + 24, true));
  const ports = Array.from({ length: view.getUint16(at + 16, true) }, (_, i) =>
    readPort(view, next + i * PORT_STRIDE, name),
  );
  const slash = key.indexOf("/");
  return {
    id,
    namespace: key.slice(0, slash),
    name: key.slice(slash + 1),
    created: view.getUint32(at + 4, true),
    type:
      type === SERVICE_TYPE_LOAD_BALANCER
        ? "LoadBalancer"
        : type === SERVICE_TYPE_NODE_PORT
          ? "NodePort"
          : "ClusterIP",
    ports,
    clusterIPs,
    externalIPs,
    vips,
    sourceRanges,
    externalLocal: (flags & SERVICE_FLAG_EXTERNAL_LOCAL) !== 0,
    internalLocal: (flags & SERVICE_FLAG_INTERNAL_LOCAL) !== 0,
    affinitySeconds: view.getUint32(at + 8, true),
    healthCheckNodePort: view.getUint16(at + 12, true),
  };
}

function readAddress(view: DataView, at: number): Cidr {
  const family = view.getUint8(at) as Family;
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  for (let i = 0; i < bytes.length; i++) bytes[i] = view.getUint8(at + 4 + i);
  return { family, bytes, prefix: view.getUint8(at + 1) };
}

function readPort(view: DataView, at: number, name: (id: number) => string): ServicePort {
  return {
    name: name(view.getUint32(at, true)),
    protocol: view.getUint8(at + 8) as Protocol,
    port: view.getUint16(at + 4, true),
    nodePort: view.getUint16(at + 6, true),
  };
}
