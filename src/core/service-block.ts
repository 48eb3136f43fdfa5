/** Reads a Service record in the core's memory (asm/layout/service.ts) as a `Service`. */
import {
  ADDRESS_FAMILY,
  ADDRESS_IP,
  ADDRESS_PREFIX,
  ADDRESS_STRIDE,
  PORT_NAME,
  PORT_NODE_PORT,
  PORT_NUMBER,
  PORT_PROTOCOL,
  PORT_STRIDE,
  SERVICE_AFFINITY_SECONDS,
  SERVICE_CLUSTER_IPS,
  SERVICE_CREATED,
  SERVICE_EXTERNAL_IPS,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  SERVICE_FLAGS,
  SERVICE_HEADER,
  SERVICE_HEALTH_CHECK_NODE_PORT,
  SERVICE_PORTS,
  SERVICE_SOURCE_RANGES,
  SERVICE_TYPE,
  SERVICE_TYPE_LOAD_BALANCER,
  SERVICE_TYPE_NODE_PORT,
  SERVICE_VIPS,
} from "../../asm/layout/service.ts";
import type { Service, ServiceId, ServicePort } from "../model/service.ts";
import { ADDRESS_BYTES, type Cidr, type Family } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/**
 * Reads the record at `at`. Its bytes are copied, so the result stays valid after the record is
 * gone.
 *
 * @param key `namespace/name`
 * @param name returns the text of a name id
 */
export function readServiceBlock(
  view: DataView,
  at: number,
  id: ServiceId,
  key: string,
  name: (id: number) => string,
): Service {
  const type = view.getUint8(at + SERVICE_TYPE);
  const flags = view.getUint8(at + SERVICE_FLAGS);
  let next = at + SERVICE_HEADER;
  const addresses = (count: number): Cidr[] => {
    const list = Array.from({ length: count }, (_, i) =>
      readServiceAddress(view, next + i * ADDRESS_STRIDE),
    );
    next += count * ADDRESS_STRIDE;
    return list;
  };
  const clusterIPs = addresses(view.getUint16(at + SERVICE_CLUSTER_IPS, true));
  const externalIPs = addresses(view.getUint16(at + SERVICE_EXTERNAL_IPS, true));
  const vips = addresses(view.getUint16(at + SERVICE_VIPS, true));
  const sourceRanges = addresses(view.getUint16(at + SERVICE_SOURCE_RANGES, true));
  const ports = Array.from({ length: view.getUint16(at + SERVICE_PORTS, true) }, (_, i) =>
    readServicePort(view, next + i * PORT_STRIDE, name),
  );
  const slash = key.indexOf("/");
  return {
    id,
    namespace: key.slice(0, slash),
    name: key.slice(slash + 1),
    created: view.getUint32(at + SERVICE_CREATED, true),
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
    affinitySeconds: view.getUint32(at + SERVICE_AFFINITY_SECONDS, true),
    healthCheckNodePort: view.getUint16(at + SERVICE_HEALTH_CHECK_NODE_PORT, true),
  };
}

function readServiceAddress(view: DataView, at: number): Cidr {
  const family = view.getUint8(at + ADDRESS_FAMILY) as Family;
  const bytes = new Uint8Array(ADDRESS_BYTES[family]);
  for (let i = 0; i < bytes.length; i++) bytes[i] = view.getUint8(at + ADDRESS_IP + i);
  return { family, bytes, prefix: view.getUint8(at + ADDRESS_PREFIX) };
}

function readServicePort(view: DataView, at: number, name: (id: number) => string): ServicePort {
  return {
    name: name(view.getUint32(at + PORT_NAME, true)),
    protocol: view.getUint8(at + PORT_PROTOCOL) as Protocol,
    port: view.getUint16(at + PORT_NUMBER, true),
    nodePort: view.getUint16(at + PORT_NODE_PORT, true),
  };
}
