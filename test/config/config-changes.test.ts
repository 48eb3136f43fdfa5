import { describe, expect, test } from "bun:test";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { changesBetween } from "../../src/config/config-changes.ts";
import { type FieldPath, fieldAt, fieldPaths } from "../../src/config/fields.ts";

/** For each field with an effect: a base in which it counts, and a value other than its default. */
const OTHER: { readonly [path in FieldPath]?: readonly [base: string, changed: string] } = {
  featureGates: ["", "featureGates: {AllowServiceExternalIPs: false}"],
  "clientConnection.kubeconfig": ["", "clientConnection: {kubeconfig: /k}"],
  "logging.format": ["", "logging: {format: json}"],
  "logging.verbosity": ["", "logging: {verbosity: 3}"],
  "logging.vmodule": ["", "logging: {vmodule: [{filePattern: a, verbosity: 1}]}"],
  hostnameOverride: ["", "hostnameOverride: other"],
  bindAddress: ["", "bindAddress: 10.0.0.1"],
  healthzBindAddress: ["", "healthzBindAddress: 127.0.0.1"],
  metricsBindAddress: ["", "metricsBindAddress: 0.0.0.0"],
  bindAddressHardFail: ["", "bindAddressHardFail: true"],
  enableProfiling: ["", "enableProfiling: true"],
  mode: ["", "mode: nftables"],
  "iptables.masqueradeBit": ["mode: iptables", "iptables: {masqueradeBit: 3}"],
  "iptables.masqueradeAll": ["mode: iptables", "iptables: {masqueradeAll: true}"],
  "iptables.localhostNodePorts": ["mode: iptables", "iptables: {localhostNodePorts: true}"],
  "iptables.syncPeriod": ["mode: iptables", "iptables: {syncPeriod: 1m}"],
  "iptables.minSyncPeriod": ["mode: iptables", "iptables: {minSyncPeriod: 1s}"],
  "ipvs.syncPeriod": ["mode: ipvs", "ipvs: {syncPeriod: 1m}"],
  "ipvs.minSyncPeriod": ["mode: ipvs", "ipvs: {minSyncPeriod: 1s}"],
  "nftables.masqueradeBit": ["", "nftables: {masqueradeBit: 3}"],
  "nftables.masqueradeAll": ["", "nftables: {masqueradeAll: true}"],
  "nftables.syncPeriod": ["", "nftables: {syncPeriod: 1m}"],
  "nftables.minSyncPeriod": ["", "nftables: {minSyncPeriod: 1s}"],
  detectLocalMode: [
    "detectLocal: {bridgeInterface: cni0}",
    "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
  ],
  "detectLocal.bridgeInterface": [
    "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
    "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni1}",
  ],
  "detectLocal.interfaceNamePrefix": [
    "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}",
    "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cali}",
  ],
  clusterCIDR: ["", "clusterCIDR: 10.0.0.0/8"],
  nodePortAddresses: ["", "nodePortAddresses: [10.0.0.0/8]"],
  oomScoreAdj: ["", "oomScoreAdj: 0"],
  "conntrack.maxPerCore": ["", "conntrack: {maxPerCore: 0}"],
  "conntrack.min": ["", "conntrack: {min: 1}"],
  "conntrack.tcpEstablishedTimeout": ["", "conntrack: {tcpEstablishedTimeout: 1h}"],
  "conntrack.tcpCloseWaitTimeout": ["", "conntrack: {tcpCloseWaitTimeout: 2h}"],
  "conntrack.tcpBeLiberal": ["", "conntrack: {tcpBeLiberal: true}"],
  "conntrack.udpTimeout": ["", "conntrack: {udpTimeout: 1m}"],
  "conntrack.udpStreamTimeout": ["", "conntrack: {udpStreamTimeout: 1m}"],
  "sluice.counters": ["", "sluice: {counters: false}"],
  "sluice.manifests": ["", "sluice: {manifests: /m}"],
  "sluice.endpointMetricsLimit": ["", "sluice: {endpointMetricsLimit: 1}"],
  "sluice.adminBindAddress": ["", "sluice: {adminBindAddress: '127.0.0.1:1'}"],
  "sluice.dropInvalidPackets": ["", "sluice: {dropInvalidPackets: always}"],
  "sluice.removeKubeProxyRules": ["", "sluice: {removeKubeProxyRules: false}"],
};

async function changes(before: string, after: string): Promise<string[]> {
  const [old, next] = [await resolveArgs([], before), await resolveArgs([], after)];
  return changesBetween(old.config, next.config).map(
    ({ name, live }) => `${name}${live ? "" : " needs a new process"}`,
  );
}

const PATHS = [...fieldPaths("upstream"), ...fieldPaths("own")];

describe("a field with an effect changes a setting, and is live if the documentation says so", () => {
  test.each(PATHS.filter((path) => fieldAt(path).idle === undefined))("%s", async (path) => {
    const [base, changed] = OTHER[path] ?? ["", ""];
    // The documentation shows a missing `live` as "yes".
    const live = !(fieldAt(path).live ?? "yes").startsWith("no");
    const body = base.startsWith("mode") ? `${base}\n${changed}` : changed;
    const found = await changes(base, body);
    expect(found.length).toBeGreaterThan(0);
    expect(found.every((text) => !text.endsWith("needs a new process"))).toBe(live);
  });
});

test.each<[string, string, readonly string[]]>([
  ["", "", []],
  ["", "portRange: 1-2\nconfigSyncPeriod: 1m\nipvs: {scheduler: rr}", []],
  [
    "",
    "featureGates: {WatchListClient: true}",
    ["featureGates.WatchListClient needs a new process"],
  ],
  ["", "detectLocalMode: NodeCIDR", ["detectLocal"]],
  ["detectLocalMode: NodeCIDR", "detectLocalMode: ClusterCIDR", ["detectLocal"]],
  ["detectLocalMode: NodeCIDR", "detectLocalMode: NodeCIDR\noomScoreAdj: 1", ["oomScoreAdj"]],
  ["clusterCIDR: 10.0.0.0/8", "clusterCIDR: 10.0.0.1/8", []],
  ["clusterCIDR: 10.0.0.0/8", "clusterCIDR: 10.0.0.0/9", ["clusterCIDR"]],
  ["nodePortAddresses: [10.0.0.0/8]", "nodePortAddresses: [primary]", ["nodePortAddresses"]],
  ["", "mode: auto", []],
  [
    "mode: iptables",
    "mode: iptables\niptables: {masqueradeBit: 2, minSyncPeriod: 1s}",
    ["iptables.masqueradeBit", "iptables.minSyncPeriod"],
  ],
  ["mode: auto", "mode: iptables", ["mode needs a new process"]],
  [
    "mode: nftables",
    "mode: nftables\nhostnameOverride: b\nnftables: {masqueradeBit: 2}",
    ["hostnameOverride needs a new process", "nftables.masqueradeBit"],
  ],
])("from %j to %j", async (before, after, wanted) => {
  expect((await changes(before, after)).sort()).toEqual([...wanted].sort());
});
