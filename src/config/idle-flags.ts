/** Flags of kube-proxy that do nothing here; why not is said by their fields, or by themselves. */
import type { Flag } from "./flag.ts";

export const IDLE_FLAGS: readonly Flag[] = [
  { name: "ipvs-scheduler", type: "string", fields: ["ipvs.scheduler"] },
  { name: "ipvs-exclude-cidrs", type: "strings", fields: ["ipvs.excludeCIDRs"] },
  { name: "ipvs-strict-arp", type: "boolean", fields: ["ipvs.strictARP"] },
  { name: "ipvs-tcp-timeout", type: "duration", fields: ["ipvs.tcpTimeout"] },
  { name: "ipvs-tcpfin-timeout", type: "duration", fields: ["ipvs.tcpFinTimeout"] },
  { name: "ipvs-udp-timeout", type: "duration", fields: ["ipvs.udpTimeout"] },
  { name: "config-sync-period", type: "duration", fields: ["configSyncPeriod"] },
  { name: "kube-api-content-type", type: "string", fields: ["clientConnection.contentType"] },
  { name: "kube-api-burst", type: "integer", fields: ["clientConnection.burst"] },
  { name: "kube-api-qps", type: "number", fields: ["clientConnection.qps"] },
  {
    name: "show-hidden-metrics-for-version",
    type: "string",
    fields: ["showHiddenMetricsForVersion"],
  },
  {
    name: "log-flush-frequency",
    type: "duration",
    fields: ["logging.flushFrequency"],
    besideConfig: true,
  },
  {
    name: "log-text-split-stream",
    type: "boolean",
    fields: ["logging.options.text.splitStream"],
    besideConfig: true,
  },
  {
    name: "log-text-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.text.infoBufferSize"],
    besideConfig: true,
  },
  {
    name: "log-json-split-stream",
    type: "boolean",
    fields: ["logging.options.json.splitStream"],
    besideConfig: true,
  },
  {
    name: "log-json-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.json.infoBufferSize"],
    besideConfig: true,
  },
  { name: "boot-id-file", type: "string", besideConfig: true, idle: "leftover" },
  { name: "machine-id-file", type: "string", besideConfig: true, idle: "leftover" },
];
