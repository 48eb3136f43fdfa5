/**
 * Our own section of the same file. A kube-proxy would warn of an unknown field and go on, so one file
 * serves both.
 */
import type { Field } from "./field.ts";

export const OWN_FIELDS = {
  "sluice.counters": {
    type: "boolean",
    default: true,
    does: "count new connections by Service and endpoint. Only nftables can: without effect where iptables serves",
    live: "no",
  },
  "sluice.manifests": {
    type: "string",
    default: "",
    does: "directory of Services, EndpointSlices and Nodes to serve instead of an API server",
    live: "no",
  },
  "sluice.endpointMetricsLimit": {
    type: "integer",
    default: 10_000,
    does: "most series of sluice_endpoint_connections_total, 0 to 1000000; 0: none",
  },
  "sluice.adminBindAddress": {
    type: "string",
    default: "",
    shown: "the metrics address",
    does: "IP:port of the paths under /sluice/v1. The metrics address itself is the same as none",
  },
  "sluice.dropInvalidPackets": {
    type: "string",
    default: "auto",
    does: "drop packets that connection tracking takes for invalid, rather than forward them untranslated: always, never, or auto, which is before Linux 6.1, where late copies are among them",
  },
  "sluice.removeKubeProxyRules": {
    type: "boolean",
    default: true,
    does: "remove what kube-proxy has left in the kernel once our own rules are in it",
  },
} as const satisfies { readonly [path: string]: Field };
