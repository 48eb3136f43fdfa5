/** Those of upstream's metrics (pkg/proxy/metrics/metrics.go) that exist in its iptables mode alone. */
import type { RestoreStatistics } from "../backend/backend.ts";
import { Counter, Gauge, type Instrument } from "./instruments.ts";

/** As of now. */
export function restoreInstruments(families: readonly RestoreStatistics[]): Instrument[] {
  const failures = new Counter({
    name: "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
    help: "[ALPHA] Cumulative proxy iptables restore failures",
    labels: ["ip_family"],
  });
  const partialFailures = new Counter({
    name: "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
    help: "[ALPHA] Cumulative proxy iptables partial restore failures",
    labels: ["ip_family"],
  });
  const total = new Gauge({
    name: "kubeproxy_sync_proxy_rules_iptables_total",
    help: "[ALPHA] Total number of iptables rules owned by kube-proxy",
    labels: ["table", "ip_family"],
  });
  const last = new Gauge({
    name: "kubeproxy_sync_proxy_rules_iptables_last",
    help: "[ALPHA] Number of iptables rules written by kube-proxy in last sync",
    labels: ["table", "ip_family"],
  });
  for (const each of families) {
    const family = `IPv${each.family}`;
    failures.add(each.failures, family);
    partialFailures.add(each.partialFailures, family);
    for (const rules of each.rules) {
      total.set(rules.total, rules.table, family);
      last.set(rules.last, rules.table, family);
    }
  }
  return [failures, partialFailures, total, last];
}
