import { describe, expect, test } from "bun:test";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { parseArguments } from "../../src/config/command-line.ts";
import type { Config } from "../../src/config/config.ts";
import { resolveConfig } from "../../src/config/resolve-config.ts";
import { writeConfig } from "../../src/config/write-config.ts";

/** Runs --write-config-to on a file system in memory. */
async function written(argv: readonly string[], body?: string) {
  const files = new Map<string, string>();
  if (body !== undefined) {
    const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    files.set("in.yaml", head + body);
  }
  const command = parseArguments([
    "--write-config-to=out.yaml",
    ...(body === undefined ? [] : ["--config=in.yaml"]),
    ...argv,
  ]);
  if (command.kind !== "write-config") throw new Error(command.kind);
  const read = async (path: string) => {
    const text = files.get(path);
    if (text === undefined) throw new Error(`no ${path}`);
    return text;
  };
  const output = await writeConfig(command.file, command.flags, {
    read,
    write: async (path, text) => {
      files.set(path, text);
    },
  });
  const again = await resolveConfig(new Map([["config", "out.yaml"]]), read);
  return { output, text: files.get("out.yaml") ?? "", again };
}

describe("the written file gives the same configuration", () => {
  const cases: [name: string, argv: readonly string[], body: string | undefined][] = [
    ["defaults", [], undefined],
    [
      "flags alone",
      ["--cluster-cidr=10.0.0.0/8,fd00::/8", "--metrics-port=1", "--masquerade-all"],
      undefined,
    ],
    ["mode iptables", [], "mode: iptables\niptables: {minSyncPeriod: 2s, masqueradeBit: 3}"],
    ["mode ipvs", [], "mode: ipvs\nipvs: {syncPeriod: 90s, minSyncPeriod: 1ms, scheduler: rr}"],
    ["iptables' section without a mode", [], "iptables: {masqueradeAll: true, syncPeriod: 1h}"],
    ["node port ranges", [], "nodePortAddresses: [10.1.2.3/8, 'fd00::/8']"],
    ["one family's ranges", ["--nodeport-addresses=0.0.0.0/0"], undefined],
    ["addresses of IPv6", [], "bindAddress: '::'\nhealthzBindAddress: '::1'"],
    ["names that YAML would misread", ["--hostname-override=ON"], "clusterCIDR: 10.0.0.0/8"],
    ["a name of digits", [], "hostnameOverride: '0123'"],
    [
      "logging",
      ["--vmodule=a=1", "-v=3"],
      "logging: {flushFrequency: 1500000000, vmodule: [{filePattern: 'b*', verbosity: 2}]}",
    ],
    ["JSON lines", ["--logging-format=json", "--log-flush-frequency=1.5s"], undefined],
    ["feature gates", [], "featureGates: {AllowServiceExternalIPs: false, Other: true}"],
    [
      "a bridge",
      [],
      "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\nclusterCIDR: none",
    ],
    ["the node", [], "oomScoreAdj: 0\nconntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s}"],
    [
      "our section",
      ["--manifests=/m", "--counters=false", "--admin-bind-address=[::1]:9"],
      "sluice: {dropInvalidPackets: never, removeKubeProxyRules: false, endpointMetricsLimit: 0}\nclientConnection: {kubeconfig: /k}",
    ],
  ];
  test.each(cases)("%s", async (_, argv, body) => {
    const { again } = await written(argv, body);
    const { config } = await resolveArgs(argv, body);
    expect(again.config).toEqual(config);
  });
});

test("the written file is upstream's document followed by our section", async () => {
  const { text, output } = await written(["--cluster-cidr=10.0.0.0/8", "--proxy-mode=nftables"]);
  expect(text).toStartWith(
    "kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nfeatureGates: {}\n",
  );
  expect(text).toContain("\nmode: nftables\n");
  expect(text).toContain("\nsluice:\n  counters: true\n");
  expect(output).toBe("Wrote out.yaml\n");
});

test("settings that only flags can make are named, because the file leaves them out", async () => {
  const { output, again } = await written([
    ...["--master=https://api", "--healthz-port=0"],
    ...["--cluster-cidr=10.0.0.0/8", "--proxy-mode=nftables"],
  ]);
  expect(output).toBe(
    "Not written, because the file has no field for it: --master, --healthz-port=0\nWrote out.yaml\n",
  );
  const { master, healthzBindAddress }: Config = again.config;
  expect([master, healthzBindAddress]).toEqual(["", "0.0.0.0:10256"]);
});

test("warnings are printed", async () => {
  const { output } = await written([], "mode: nftables\nportRange: 1-2\nclusterCIDR: 10.0.0.0/8");
  expect(output).toStartWith(
    "Accepted settings that have no effect in Sluice (settings: portRange; ",
  );
});

test("invalid settings are not written", async () => {
  await expect(written(["--cluster-cidr=x"])).rejects.toThrow(
    '--cluster-cidr: invalid value "x": must be one CIDR',
  );
});

test("an unwritable file is an error", async () => {
  const attempt = writeConfig("/dev/full", new Map(), {
    read: async () => "",
    write: async () => {
      throw new Error("ENOSPC: no space left on device, write");
    },
  });
  const error = await attempt.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SluiceError);
  expect((error as SluiceError).message).toBe("write /dev/full: no space left on device (ENOSPC)");
});
