/**
 * Fills in the API server's defaults, which manifests lack (core/v1 and discovery/v1 defaults.go).
 */
import { isJsonObject, type JsonObject } from "../base/json.ts";

/**
 * Returns a copy with defaults. A value of unexpected shape stays as it is; the decoder reports it.
 */
export function withDefaults(kind: string, object: JsonObject): JsonObject {
  const { metadata } = object;
  if (!isJsonObject(metadata)) return object;
  switch (kind) {
    case "Service":
      return service({ ...object, metadata: { namespace: "default", ...metadata } });
    case "EndpointSlice":
      return slice({ ...object, metadata: { namespace: "default", ...metadata } });
    default:
      return object;
  }
}

const CLIENT_IP_TIMEOUT_S = 10_800;

function service(object: JsonObject): JsonObject {
  const { spec, status } = object;
  if (!isJsonObject(spec)) return object;
  const { type = "ClusterIP", clusterIP, clusterIPs, externalIPs, ports } = spec;
  const addresses = clusterIPs ?? (clusterIP === undefined ? [] : [clusterIP]);
  const external =
    type === "NodePort" ||
    type === "LoadBalancer" ||
    (Array.isArray(externalIPs) && externalIPs.length > 0);
  return {
    ...object,
    spec: {
      sessionAffinity: "None",
      ...(type === "ExternalName" ? {} : { internalTrafficPolicy: "Cluster" }),
      ...(external ? { externalTrafficPolicy: "Cluster" } : {}),
      ...(Array.isArray(addresses)
        ? { clusterIP: addresses[0], ipFamilies: addresses.map(family) }
        : {}),
      ...spec,
      type,
      clusterIPs: addresses,
      ports: mapEach(ports, (port) => ({ protocol: "TCP", ...port })),
      ...affinity(spec),
    },
    ...(isJsonObject(status) ? { status: loadBalancer(status) } : {}),
  };
}

function affinity(spec: JsonObject): JsonObject {
  const { sessionAffinity, sessionAffinityConfig: config } = spec;
  if (sessionAffinity !== "ClientIP") return {};
  const { clientIP } = isJsonObject(config) ? config : {};
  return {
    sessionAffinityConfig: {
      ...(isJsonObject(config) ? config : {}),
      clientIP: {
        timeoutSeconds: CLIENT_IP_TIMEOUT_S,
        ...(isJsonObject(clientIP) ? clientIP : {}),
      },
    },
  };
}

function loadBalancer(status: JsonObject): JsonObject {
  const { loadBalancer } = status;
  if (!isJsonObject(loadBalancer)) return status;
  const { ingress } = loadBalancer;
  return {
    ...status,
    loadBalancer: {
      ...loadBalancer,
      ingress: mapEach(ingress, (each) => ("ip" in each ? { ipMode: "VIP", ...each } : each)),
    },
  };
}

function slice(object: JsonObject): JsonObject {
  const { ports } = object;
  return {
    ...object,
    ports: mapEach(ports, (port) => ({ name: "", protocol: "TCP", ...port })),
  };
}

function family(address: unknown): string {
  return String(address).includes(":") ? "IPv6" : "IPv4";
}

function mapEach(value: unknown, change: (entry: JsonObject) => JsonObject): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((entry: unknown) => (isJsonObject(entry) ? change(entry) : entry));
}
