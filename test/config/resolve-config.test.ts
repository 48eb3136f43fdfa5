import { describe, expect, test } from "bun:test";
import {
  warningTexts as allWarningTexts,
  configErrorMessage,
  resolveArgs,
} from "../../harness/resolve-config.ts";
import type { Config } from "../../src/config/config.ts";
import { type ConfigWarning, hostWarnings } from "../../src/config/config-warnings.ts";
import { NO_EFFECT_REASONS } from "../../src/config/field.ts";
import { resolveConfig } from "../../src/config/resolve-config.ts";
import { type Cidr, printCidr } from "../../src/net/address.ts";

const cidrs = (list: readonly Cidr[]) => list.map(printCidr);
const nodePorts = ({ nodePortAddresses: { primary, cidrs: list } }: Config) =>
  primary ? "primary" : cidrs(list).join(" ");

/** A warning of every test that sets neither a clusterCIDR nor another detectLocalMode. */
const NO_CLUSTER_CIDR =
  "Without clusterCIDR, local pods cannot be recognized, and connections to clusterIPs are not masqueraded unless masqueradeAll is set: ClusterCIDR set clusterCIDR or another detectLocalMode";
const IDLE = "Accepted settings that have no effect in Sluice:";
const IGNORED = "Ignored settings that have no effect together with the others:";

/** A warning in all modes except nftables, unless nodePortAddresses are set. Tested separately. */
const EVERYWHERE = "Node ports answer on all addresses of this node that other hosts can reach:";
/** A warning in the modes in which kube-proxy serves them there. Tested separately. */
const LOOPBACK = "Node ports do not answer on loopback, unlike with kube-proxy's iptables mode:";
const warningTexts = (warnings: readonly ConfigWarning[]) =>
  allWarningTexts(warnings).filter(
    (text) => !text.startsWith(EVERYWHERE) && !text.startsWith(LOOPBACK),
  );

/** The file that kubeadm writes, with its many nulls and zeros. */
const KUBEADM = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
`;

test("kubeadm's file works unchanged and gives no other warnings", async () => {
  const { config, warnings } = await resolveArgs([], KUBEADM);
  expect(warningTexts(warnings)).toEqual([]);
  expect(config).toMatchObject({
    kubeconfig: "/var/lib/kube-proxy/kubeconfig.conf",
    healthzBindAddress: "0.0.0.0:10256",
    metricsBindAddress: "127.0.0.1:10249",
    masqueradeBit: 14,
    masqueradeAll: false,
    minSyncMs: 0,
    syncPeriodMs: 30_000,
    detectLocal: { mode: "ClusterCIDR", bridgeInterface: "", interfaceNamePrefix: "" },
    counters: true,
    manifests: "",
    endpointMetricsLimit: 10_000,
  });
  expect(cidrs(config.clusterCIDRs)).toEqual(["10.244.0.0/16", "fd00:10:244::/56"]);
  expect(nodePorts(config)).toBe("0.0.0.0/0 ::/0");
});

test.each([
  ["", `${EVERYWHERE}  to limit them, set nodePortAddresses: [primary]`],
  ["mode: iptables", `${EVERYWHERE} iptables to limit them, set nodePortAddresses: [primary]`],
  ["mode: ipvs", `${EVERYWHERE} ipvs to limit them, set nodePortAddresses: [primary]`],
  ["mode: auto", `${EVERYWHERE} auto to limit them, set nodePortAddresses: [primary]`],
  ["mode: nftables", undefined],
  ["nodePortAddresses: [primary]", undefined],
])("node ports on all addresses give a warning: %s", async (body, output) => {
  const { config, warnings } = await resolveArgs([], body);
  expect(allWarningTexts(warnings).find((text) => text.startsWith(EVERYWHERE))).toBe(
    output as string,
  );
  expect(nodePorts(config)).toBe(output === undefined ? "primary" : "0.0.0.0/0 ::/0");
});

test("without file and flags all settings have their defaults", async () => {
  const { config, warnings } = await resolveArgs([]);
  expect(warningTexts(warnings)).toEqual([NO_CLUSTER_CIDR]);
  expect(config).toMatchObject({ kubeconfig: "", verbosity: 0, logFormat: "text", minSyncMs: 0 });
  expect(config.clusterCIDRs).toEqual([]);
});

describe("one setting of a file", () => {
  test.each<[string, string, (config: Config) => unknown, unknown]>([
    [
      "an address without port",
      "healthzBindAddress: 127.0.0.1",
      (c) => c.healthzBindAddress,
      "127.0.0.1:10256",
    ],
    [
      "an IPv6 address without port",
      'metricsBindAddress: "::1"',
      (c) => c.metricsBindAddress,
      "[::1]:10249",
    ],
    ["an IPv6 bindAddress", 'bindAddress: "::"', (c) => c.healthzBindAddress, "[::]:10256"],
    ["the same for metrics", 'bindAddress: "::"', (c) => c.metricsBindAddress, "[::1]:10249"],
    [
      "a host name in capitals",
      'hostnameOverride: " Node-1 "',
      (c) => c.hostnameOverride,
      "node-1",
    ],
    [
      "node port ranges",
      "nodePortAddresses: [10.1.2.3/8, 'fd00::/8']",
      nodePorts,
      "10.0.0.0/8 fd00::/8",
    ],
    ["node ports on all addresses", "nodePortAddresses: ['0.0.0.0/0']", nodePorts, "0.0.0.0/0"],
    ["iptables' node ports", "mode: iptables", nodePorts, "0.0.0.0/0 ::/0"],
    ["nftables' node ports", "mode: nftables", nodePorts, "primary"],
    [
      "nftables' section",
      "mode: nftables\nnftables: {minSyncPeriod: 1s, syncPeriod: 1m}\niptables: {minSyncPeriod: 2s}",
      (c) => [c.minSyncMs, c.syncPeriodMs],
      [1000, 60_000],
    ],
    [
      "iptables' section",
      "mode: iptables\nnftables: {minSyncPeriod: 1s}\niptables: {minSyncPeriod: 2s, masqueradeBit: 3, masqueradeAll: true}",
      (c) => [c.minSyncMs, c.masqueradeBit, c.masqueradeAll],
      [2000, 3, true],
    ],
    [
      "ipvs' section",
      "mode: ipvs\nipvs: {minSyncPeriod: 2s}\niptables: {minSyncPeriod: 1s, masqueradeAll: true}",
      (c) => [c.minSyncMs, c.masqueradeAll],
      [2000, true],
    ],
    [
      "either section without a mode",
      "nftables: {masqueradeBit: 3}\niptables: {masqueradeBit: 4, minSyncPeriod: 1500ms}",
      (c) => [c.masqueradeBit, c.minSyncMs],
      [3, 1500],
    ],
    [
      "nothing of nftables' section in iptables' mode",
      "mode: iptables\nnftables: {masqueradeAll: true, masqueradeBit: 3, minSyncPeriod: 1s, syncPeriod: 1m}",
      (c) => [c.masqueradeAll, c.masqueradeBit, c.minSyncMs, c.syncPeriodMs],
      [false, 14, 0, 30_000],
    ],
    ["bit 0", "nftables: {masqueradeBit: 0}", (c) => c.masqueradeBit, 0],
    ["Go's yes", "nftables: {masqueradeAll: yes}", (c) => c.masqueradeAll, true],
    [
      "a bridge",
      "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
      (c) => c.detectLocal,
      { mode: "BridgeInterface", bridgeInterface: "cni0", interfaceNamePrefix: "" },
    ],
    [
      "a cluster CIDR that its mode does not ask for",
      "detectLocalMode: NodeCIDR\nclusterCIDR: nonsense",
      (c) => c.clusterCIDRs,
      [],
    ],
    [
      "logging",
      "logging: {verbosity: 4, format: json}",
      (c) => [c.verbosity, c.logFormat],
      [4, "json"],
    ],
    [
      "levels of single files",
      "logging: {vmodule: [{filePattern: 'a*', verbosity: 3}, {filePattern: b}]}",
      (c) => c.vmodule,
      [
        { pattern: "a*", verbosity: 3 },
        { pattern: "b", verbosity: 0 },
      ],
    ],
    [
      "connection tracking",
      "conntrack: {maxPerCore: 0, min: 5, tcpBeLiberal: true, tcpEstablishedTimeout: 0s, udpTimeout: 30s}",
      (c) => c.conntrack,
      {
        maxPerCore: 0,
        min: 5,
        tcpBeLiberal: true,
        tcpEstablishedMs: 0,
        tcpCloseWaitMs: 3_600_000,
        udpMs: 30_000,
        udpStreamMs: 0,
      },
    ],
    [
      "the process",
      "oomScoreAdj: 0\nenableProfiling: true",
      (c) => [c.oomScoreAdj, c.profiling],
      [0, true],
    ],
    [
      "feature gates",
      "featureGates: {AllowServiceExternalIPs: false, WatchListClient: true}",
      (c) => [c.externalIPs, c.watchList],
      [false, true],
    ],
    [
      "our own section",
      "sluice: {counters: false, manifests: /m, endpointMetricsLimit: 5, dropInvalidPackets: never, removeKubeProxyRules: false}",
      (c) => [
        c.counters,
        c.manifests,
        c.endpointMetricsLimit,
        c.dropInvalid,
        c.removeKubeProxyRules,
      ],
      [false, "/m", 5, "never", false],
    ],
    [
      "an address of the admin API",
      "sluice: {adminBindAddress: '[::1]:9000'}",
      (c) => [c.adminBindAddress, c.ownDocument["adminBindAddress"]],
      ["[::1]:9000", "[::1]:9000"],
    ],
    [
      "an address of the admin API that metrics have too",
      "metricsBindAddress: 127.0.0.1\nsluice: {adminBindAddress: '127.0.0.1:10249'}",
      (c) => [c.adminBindAddress, c.ownDocument["adminBindAddress"]],
      ["", ""],
    ],
    [
      "nothing of iptables' periods in ipvs' mode",
      "mode: ipvs\niptables: {minSyncPeriod: 2s, syncPeriod: 1m}",
      (c) => [c.minSyncMs, c.syncPeriodMs],
      [0, 30_000],
    ],
  ])("%s", async (_, body, read, wanted) => {
    const { config } = await resolveArgs([], body);
    expect(read(config)).toEqual(wanted);
  });
});

describe("an invalid file", () => {
  test.each([
    [
      "mode: userspace",
      'mode: invalid value "userspace": must be nftables, iptables, auto, ipvs or empty',
    ],
    ["mode: 7", "mode: invalid value 7: must be a string"],
    [
      "nftables: {masqueradeBit: 32}",
      "nftables.masqueradeBit: invalid value 32: must be between 0 and 31",
    ],
    [
      "nftables: {masqueradeBit: '14'}",
      'nftables.masqueradeBit: invalid value "14": must be a 32-bit integer',
    ],
    [
      "iptables: {masqueradeBit: -1}",
      "iptables.masqueradeBit: invalid value -1: must be between 0 and 31",
    ],
    [
      "nftables: {masqueradeAll: maybe}",
      'nftables.masqueradeAll: invalid value "maybe": must be true or false',
    ],
    ["nftables: [1]", "nftables: invalid value [1]: must be a mapping"],
    [
      "nftables: {syncPeriod: 30}",
      "nftables.syncPeriod: invalid value 30: must be a duration such as 30s or 1h15m",
    ],
    [
      "nftables: {syncPeriod: -1s}",
      'nftables.syncPeriod: invalid value "-1s": must be greater than 0',
    ],
    [
      "nftables: {minSyncPeriod: -1s}",
      'nftables.minSyncPeriod: invalid value "-1s": must be 0 or greater',
    ],
    [
      "nftables: {minSyncPeriod: 1m}",
      'nftables.minSyncPeriod: invalid value "1m0s": must be at most nftables.syncPeriod (30s)',
    ],
    ["bindAddress: localhost", 'bindAddress: invalid value "localhost": must be an IP address'],
    [
      "healthzBindAddress: 0.0.0.0:0",
      'healthzBindAddress: invalid value "0.0.0.0:0": must be IP:port, with a port between 1 and 65535',
    ],
    [
      "metricsBindAddress: localhost:80",
      'metricsBindAddress: invalid value "localhost:80": must be IP:port',
    ],
    [
      "metricsBindAddress: '::1:80:x'",
      'metricsBindAddress: invalid value "::1:80:x": must be IP:port',
    ],
    [
      "clusterCIDR: 10.0.0.0",
      'clusterCIDR: invalid value "10.0.0.0": must be one CIDR, or one per family',
    ],
    [
      "clusterCIDR: 10.0.0.0/8,11.0.0.0/8",
      'clusterCIDR: invalid value "10.0.0.0/8,11.0.0.0/8": must be one CIDR, or one per family',
    ],
    [
      "nodePortAddresses: [primary, 10.0.0.0/8]",
      'nodePortAddresses: invalid value ["primary","10.0.0.0/8"]: must contain nothing else if it contains "primary"',
    ],
    [
      "nodePortAddresses: [10.0.0.0/8, x]",
      'nodePortAddresses[1]: invalid value "x": must be a CIDR or "primary"',
    ],
    [
      "nodePortAddresses: 10.0.0.0/8",
      'nodePortAddresses: invalid value "10.0.0.0/8": must be a list of strings',
    ],
    [
      "detectLocalMode: Magic",
      'detectLocalMode: invalid value "Magic": must be one of ClusterCIDR, NodeCIDR',
    ],
    [
      "detectLocalMode: BridgeInterface",
      'detectLocal.bridgeInterface: invalid value "": must be set in mode BridgeInterface',
    ],
    [
      "detectLocalMode: InterfaceNamePrefix",
      'detectLocal.interfaceNamePrefix: invalid value "": must be set',
    ],
    [
      "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: interface-too-long}",
      'detectLocal.bridgeInterface: invalid value "interface-too-long": must be at most 15 characters',
    ],
    ["hostnameOverride: '  '", 'hostnameOverride: invalid value "  ": must not be blank'],
    ["logging: {format: xml}", 'logging.format: invalid value "xml": must be one of text, json'],
    [
      "logging: {flushFrequency: -1s}",
      'logging.flushFrequency: invalid value "-1s": must be greater than 0',
    ],
    [
      "logging: {flushFrequency: soon}",
      'logging.flushFrequency: invalid value "soon": must be a duration such as 5s, or',
    ],
    [
      "logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}",
      'logging.vmodule: invalid value [{"filePattern":"a","verbosity":1}]: must be empty unless logging.format is text',
    ],
    [
      "logging: {vmodule: [{filePattern: 'a=b'}]}",
      'logging.vmodule: invalid value [{"filePattern":"a=b"}]: must be a list of filePattern',
    ],
    [
      "logging: {options: {json: {infoBufferSize: 4Ki}}}",
      'logging.options.json.infoBufferSize: invalid value "4Ki": must be unset unless the feature gate',
    ],
    ["logging: {verbosity: -1}", "logging.verbosity: invalid value -1: must be 0 or greater"],
    [
      "showHiddenMetricsForVersion: v1",
      'showHiddenMetricsForVersion: invalid value "v1": must be a version such as',
    ],
    [
      "clientConnection: {burst: -1}",
      "clientConnection.burst: invalid value -1: must be 0 or greater",
    ],
    [
      "mode: ipvs\nipvs: {tcpTimeout: -1s}",
      'ipvs.tcpTimeout: invalid value "-1s": must be 0 or greater',
    ],
    [
      "mode: ipvs\nipvs: {excludeCIDRs: [x]}",
      'ipvs.excludeCIDRs[0]: invalid value "x": must be a CIDR',
    ],
    [
      "featureGates: {'': true}",
      'featureGates: invalid value {"":true}: must be a mapping of names to true or false',
    ],
    [
      "sluice: {adminBindAddress: 127.0.0.1}",
      'sluice.adminBindAddress: invalid value "127.0.0.1": must be IP:port',
    ],
    [
      "sluice: {dropInvalidPackets: maybe}",
      'sluice.dropInvalidPackets: invalid value "maybe": must be one of auto, always, never',
    ],
    [
      "featureGates: {A: 1}",
      'featureGates: invalid value {"A":1}: must be a mapping of names to true or false',
    ],
    ["oomScoreAdj: 2000", "oomScoreAdj: invalid value 2000: must be between -1000 and 1000"],
    ["conntrack: {min: -1}", "conntrack.min: invalid value -1: must be 0 or greater"],
    [
      "conntrack: {udpTimeout: -1s}",
      'conntrack.udpTimeout: invalid value "-1s": must be 0 or greater',
    ],
    ["configSyncPeriod: -1s", 'configSyncPeriod: invalid value "-1s": must be greater than 0'],
    [
      "sluice: {conters: false}",
      "sluice.conters: unknown field: must be one of sluice.counters, sluice.manifests, ",
    ],
    [
      "sluice: {endpointMetricsLimit: -1}",
      "sluice.endpointMetricsLimit: invalid value -1: must be between 0 and 1000000",
    ],
  ])("%s", async (body, message) => {
    const fault = await configErrorMessage([], body);
    expect(fault).toStartWith("CONFIG_INVALID: load proxy.yaml: ");
    expect(fault).toContain(message);
  });

  test("gives an error with every fault", async () => {
    const fault = await configErrorMessage([], "mode: x\noomScoreAdj: hot\nclusterCIDR: y");
    for (const path of ["mode: invalid", "oomScoreAdj: invalid", "clusterCIDR: invalid"]) {
      expect(fault).toContain(path);
    }
  });

  test.each([
    [
      "of another version",
      '{"apiVersion": "v1", "kind": "KubeProxyConfiguration"}',
      'apiVersion: invalid value "v1": must be kubeproxy.config.k8s.io/v1alpha1',
    ],
    [
      "of another kind",
      '{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1"}',
      "load proxy.yaml: kind: required value: must be KubeProxyConfiguration",
    ],
    [
      "that is broken JSON",
      '{"a": 1',
      "parse proxy.yaml: invalid YAML: Flow map must end with a } at line 1, column 8",
    ],
  ])("%s", async (_, text, message) => {
    expect(await configErrorMessage([], text)).toContain(message);
  });

  test("that is broken YAML, with line and column", async () => {
    const fault = await configErrorMessage([], "mode: [\n");
    expect(fault).toStartWith("CONFIG_INVALID: parse proxy.yaml: invalid YAML: ");
    expect(fault).toMatch(/ at line \d+, column \d+$/);
  });

  test.each([
    ["", "load f: empty file: must contain a KubeProxyConfiguration"],
    ["null", "load f: empty file: must contain a KubeProxyConfiguration"],
    ["just text", 'load f: invalid value "just text": must contain a KubeProxyConfiguration'],
    ["- a", 'load f: invalid value ["a"]: must contain a KubeProxyConfiguration'],
  ])("that contains no mapping: %p", async (text, message) => {
    const flags = new Map([["config", "f"]]);
    const fault = resolveConfig(flags, async () => text);
    await expect(fault).rejects.toThrow(message);
  });

  test("that cannot be read", async () => {
    const flags = new Map([["config", "f.yaml"]]);
    const missing = resolveConfig(flags, async () => {
      throw new Error("ENOENT: no such file or directory, open 'f.yaml'");
    });
    await expect(missing).rejects.toMatchObject({
      code: "CONFIG_UNREADABLE",
      message: "read f.yaml: no such file or directory (ENOENT)",
    });
  });
});

describe("a valid file with a warning", () => {
  test.each<[body: string, ...warnings: string[]]>([
    ["color: red", "Ignored unknown field: proxy.yaml color"],
    ["nftables: {bits: 1}", "Ignored unknown field: proxy.yaml nftables.bits"],
    ["constructor: 1", "Ignored unknown field: proxy.yaml constructor"],
    ["sluices: {counters: false}", "Ignored unknown field: proxy.yaml sluices"],
    ["mode: nftables\nmode: nftables", "Duplicate field; using the last value: proxy.yaml mode"],
    [
      "nftables:\n  masqueradeBit: 1\n  masqueradeBit: 2",
      "Duplicate field; using the last value: proxy.yaml nftables.masqueradeBit",
    ],
    ["mode: ipvs\nnodePortAddresses: [primary]", "IPVS is not supported; using mode auto: ipvs"],
    [
      "mode: iptables",
      "Connections are not counted with iptables; sluice.counters has no effect: iptables",
    ],
    ["mode: iptables\nsluice: {counters: false}"],
    [
      "ipvs: {scheduler: rr, strictARP: true}\nconfigSyncPeriod: 1m\nportRange: 1-2",
      `${IDLE} ipvs.scheduler, ipvs.strictARP ${NO_EFFECT_REASONS.ipvs}`,
      `${IDLE} configSyncPeriod ${NO_EFFECT_REASONS.resync}`,
      `${IDLE} portRange ${NO_EFFECT_REASONS.leftover}`,
    ],
    [
      "featureGates: {AllowServiceExternalIPs: false, WatchListClient: true, NFTablesProxyMode: true, Future: false}",
      "Accepted feature gates that have no effect in Sluice: NFTablesProxyMode, Future",
    ],
  ])("%s", async (body, ...wanted) => {
    const { warnings } = await resolveArgs([], `clusterCIDR: 10.244.0.0/16\n${body}`);
    expect(warningTexts(warnings)).toEqual(wanted);
  });

  test("that concerns settings of the host is one for --init-only too", async () => {
    const body =
      "clusterCIDR: ''\nmode: ipvs\nconntrack: {mni: 1, min: 2, min: 3}\nnftables: {bits: 1}\nipvs: {scheduler: rr}";
    const { warnings } = await resolveArgs(["--conntrack-min=1"], body);
    expect(warnings.length).toBeGreaterThan(6);
    expect(allWarningTexts(hostWarnings(warnings))).toEqual([
      "Ignored unknown field: proxy.yaml conntrack.mni",
      "Duplicate field; using the last value: proxy.yaml conntrack.min",
      "Ignored flags because --config is set: --conntrack-min",
    ]);
  });

  test.each([
    ["mode: nftables\niptables: {masqueradeBit: 9}", "iptables.masqueradeBit"],
    [
      "mode: iptables\nnftables: {masqueradeAll: true, syncPeriod: 1m}",
      "nftables.masqueradeAll, nftables.syncPeriod",
    ],
    [
      "mode: ipvs\nipvs: {minSyncPeriod: 2s}\niptables: {minSyncPeriod: 3s}",
      "iptables.minSyncPeriod",
    ],
    ["nftables: {masqueradeBit: 3}\niptables: {masqueradeBit: 4}", "iptables.masqueradeBit"],
    ["detectLocal: {bridgeInterface: cni0}", "detectLocal.bridgeInterface"],
    ["sluice: {manifests: /m}\nclientConnection: {kubeconfig: /k}", "clientConnection.kubeconfig"],
  ])("when a setting has no effect together with the others: %s", async (body, settings) => {
    const { warnings } = await resolveArgs([], `clusterCIDR: 10.244.0.0/16\n${body}`);
    expect(warningTexts(warnings).at(-1)).toBe(`${IGNORED} ${settings}`);
  });

  test("when another mode recognizes pods", async () => {
    const { config, warnings } = await resolveArgs(
      [],
      `clusterCIDR: 10.0.0.0/8
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0, interfaceNamePrefix: veth}`,
    );
    expect(config.detectLocal.interfaceNamePrefix).toBe("");
    expect(warningTexts(warnings)).toEqual([
      `${IGNORED} clusterCIDR, detectLocal.interfaceNamePrefix`,
    ]);
  });

  test("when nothing recognizes pods", async () => {
    const { warnings } = await resolveArgs([], "detectLocalMode: ClusterCIDR");
    expect(warningTexts(warnings)).toEqual([NO_CLUSTER_CIDR]);
  });

  test("but not when a setting without effect equals its default", async () => {
    const body = "clusterCIDR: 10.0.0.0/8\nmode: nftables\niptables: {minSyncPeriod: 1s}";
    expect(warningTexts((await resolveArgs([], body)).warnings)).toEqual([]);
  });

  test("of a JSON file too, with braces and quotes in its strings", async () => {
    const { config, warnings } = await resolveArgs(
      [],
      `{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clusterCIDR": "10.0.0.0/8", "hostnameOverride": "a\\": {", "mode": "nftables", "mode": "",
        "nftables": {"masqueradeBit": 1, "masqueradeBit" : 2}, "iptables": {"masqueradeBit": 3}}`,
    );
    expect(config.hostnameOverride).toBe('a": {');
    expect(config.masqueradeBit).toBe(2);
    expect(warningTexts(warnings)).toEqual([
      "Duplicate field; using the last value: proxy.yaml mode",
      "Duplicate field; using the last value: proxy.yaml nftables.masqueradeBit",
      `${IGNORED} iptables.masqueradeBit`,
    ]);
  });

  test("only the first of several documents counts", async () => {
    const { config } = await resolveArgs([], "hostnameOverride: one\n---\nhostnameOverride: two\n");
    expect(config.hostnameOverride).toBe("one");
  });
});

describe("flags", () => {
  test.each<[string, readonly string[], (config: Config) => unknown, unknown]>([
    [
      "set what their fields set",
      ["--cluster-cidr=10.0.0.0/8", "--masquerade-all"],
      (c) => [cidrs(c.clusterCIDRs), c.masqueradeAll],
      [["10.0.0.0/8"], true],
    ],
    [
      "of iptables' periods feed nftables",
      ["--proxy-mode=nftables", "--iptables-sync-period=1m", "--iptables-min-sync-period=2s"],
      (c) => [c.syncPeriodMs, c.minSyncMs],
      [60_000, 2000],
    ],
    [
      "of iptables' bit do not, in nftables mode",
      ["--proxy-mode=nftables", "--iptables-masquerade-bit=3"],
      (c) => c.masqueradeBit,
      14,
    ],
    [
      "of node port ranges add up",
      ["--nodeport-addresses=10.0.0.0/8,11.0.0.0/8", "--nodeport-addresses", "fd00::/8"],
      nodePorts,
      "10.0.0.0/8 11.0.0.0/8 fd00::/8",
    ],
    ["may turn the health server off", ["--healthz-port=0"], (c) => c.healthzBindAddress, ""],
    [
      "may give its port alone",
      ["--healthz-port=1234"],
      (c) => c.healthzBindAddress,
      "0.0.0.0:1234",
    ],
    [
      "may give a port for a bare address",
      ["--metrics-bind-address=::1", "--metrics-port=1234"],
      (c) => c.metricsBindAddress,
      "[::1]:1234",
    ],
    [
      "leave a whole address alone",
      ["--metrics-bind-address=10.0.0.1:80", "--metrics-port=1234"],
      (c) => c.metricsBindAddress,
      "10.0.0.1:80",
    ],
  ])("%s", async (_, argv, read, wanted) => {
    const { config } = await resolveArgs(argv);
    expect(read(config)).toEqual(wanted);
  });

  test("are named as flags in an error", async () => {
    expect(await configErrorMessage(["--cluster-cidr=x", "--metrics-port=0"])).toBe(
      'CONFIG_INVALID: --cluster-cidr: invalid value "x": must be one CIDR, or one per family such as 10.0.0.0/8,fd00::/8; --metrics-port: invalid value 0: must be between 1 and 65535',
    );
  });

  test("without effect give one warning per reason", async () => {
    const { warnings } = await resolveArgs([
      ...["--kube-api-qps=50", "--kube-api-burst=100", "--ipvs-strict-arp=false"],
      ...["--boot-id-file=/x", "--log-flush-frequency=1s", "--cluster-cidr=10.0.0.0/8"],
    ]);
    expect(warningTexts(warnings)).toEqual([
      `${IDLE} --kube-api-burst, --kube-api-qps ${NO_EFFECT_REASONS.requests}`,
      `${IDLE} --log-flush-frequency ${NO_EFFECT_REASONS.unbuffered}`,
      `${IDLE} --boot-id-file ${NO_EFFECT_REASONS.leftover}`,
    ]);
  });

  test("of our own count together with a file, and win", async () => {
    const { config } = await resolveArgs(
      [
        ...["--admin-bind-address=127.0.0.1:1", "--drop-invalid-packets=always"],
        ...["--endpoint-metrics-limit=7", "--remove-kube-proxy-rules=false"],
      ],
      "sluice: {adminBindAddress: '127.0.0.1:2', dropInvalidPackets: never, endpointMetricsLimit: 8}",
    );
    expect(config).toMatchObject({
      adminBindAddress: "127.0.0.1:1",
      dropInvalid: "always",
      endpointMetricsLimit: 7,
      removeKubeProxyRules: false,
    });
  });

  test("of --vmodule come before the list in the file, and feature gates do not count", async () => {
    const { config } = await resolveArgs(
      ["--vmodule=a=1", "--feature-gates=AllowServiceExternalIPs=false"],
      "logging: {vmodule: [{filePattern: a, verbosity: 3}, {filePattern: b, verbosity: 2}]}",
    );
    expect(config.vmodule.map(({ pattern, verbosity }) => `${pattern}=${verbosity}`)).toEqual([
      "a=1",
      "a=3",
      "b=2",
    ]);
    expect(config.externalIPs).toBe(true);
  });

  test("together with a file: some count, the others are ignored with a warning", async () => {
    const { config, warnings } = await resolveArgs(
      [
        "--hostname-override=NODE",
        "--master=https://api",
        "-v=5",
        "--manifests=/m",
        "--counters=false",
        "--cluster-cidr=10.0.0.0/8",
        "--healthz-port=0",
      ],
      "hostnameOverride: other\nlogging: {verbosity: 1}\nclusterCIDR: 11.0.0.0/8",
    );
    expect(config).toMatchObject({
      hostnameOverride: "node",
      master: "https://api",
      verbosity: 5,
      manifests: "/m",
      counters: false,
      healthzBindAddress: "0.0.0.0:10256",
    });
    expect(cidrs(config.clusterCIDRs)).toEqual(["11.0.0.0/8"]);
    expect(warningTexts(warnings)).toEqual([
      "Ignored flags because --config is set: --cluster-cidr, --healthz-port",
      `${IGNORED} --master`,
    ]);
  });

  test.each<[string, readonly string[], string[]]>([
    [
      "that set a field of another mode are named",
      ["--proxy-mode=nftables", "--iptables-masquerade-bit=3"],
      [`${IGNORED} --iptables-masquerade-bit`],
    ],
    [
      "that set a field of each mode are heard",
      ["--proxy-mode=nftables", "--iptables-sync-period=1m", "--masquerade-all"],
      [],
    ],
    [
      "about an API server that manifests replace are named",
      ["--manifests=/m", "--kubeconfig=/k", "--master=https://api"],
      [`${IGNORED} --kubeconfig, --master`],
    ],
    [
      "about a health server that another flag turns off are named",
      ["--healthz-port=0", "--healthz-bind-address=127.0.0.1:80"],
      [`${IGNORED} --healthz-bind-address`],
    ],
  ])("%s", async (_, argv, wanted) => {
    const { warnings } = await resolveArgs(["--cluster-cidr=10.0.0.0/8", ...argv]);
    expect(warningTexts(warnings)).toEqual(wanted);
  });

  test("together with a file: an ignored flag is not blamed for a fault of the file", async () => {
    expect(await configErrorMessage(["--cluster-cidr=10.0.0.0/8"], "clusterCIDR: x")).toContain(
      'load proxy.yaml: clusterCIDR: invalid value "x"',
    );
  });
});

test("/configz shows the effective values in upstream's shape", async () => {
  const { config } = await resolveArgs([], "mode: nftables\nnftables: {minSyncPeriod: 2s}");
  const { document } = config;
  expect(Object.keys(document).slice(0, 3)).toEqual(["kind", "apiVersion", "featureGates"]);
  expect(document).toMatchObject({
    kind: "KubeProxyConfiguration",
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    mode: "nftables",
    clientConnection: { qps: 5, burst: 10, contentType: "application/vnd.kubernetes.protobuf" },
    nftables: { masqueradeBit: 14, syncPeriod: "30s", minSyncPeriod: "2s" },
    conntrack: { tcpEstablishedTimeout: "24h0m0s", maxPerCore: 32_768 },
    healthzBindAddress: "0.0.0.0:10256",
    configSyncPeriod: "15m0s",
    logging: { options: { json: { splitStream: false } } },
  });
  expect(document).not.toHaveProperty("sluice");
  expect(config.ownDocument).toEqual({
    counters: true,
    manifests: "",
    endpointMetricsLimit: 10_000,
    adminBindAddress: "",
    dropInvalidPackets: "auto",
    removeKubeProxyRules: true,
  });
});
