/**
 * Compares with the real kube-proxy: both accept and reject the same files, and it accepts ours.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingControlPlane, programs } from "../../harness/cluster/control-plane.ts";
import { CONFIG_HEADER, configErrorMessage, resolveArgs } from "../../harness/resolve-config.ts";
import { decodeDocument } from "../../src/config/decode-config.ts";
import { FLAGS } from "../../src/config/flags.ts";
import { parseConfigText } from "../../src/config/parse-config.ts";
import { printConfig } from "../../src/config/write-config.ts";

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: comparison of files with kube-proxy: ${reason}`);

describe.skipIf(reason !== undefined)("compared with kube-proxy", () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-upstream-"));
    program = join(await programs(), "kube-proxy");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The file as kube-proxy writes it, or undefined if kube-proxy rejects it. */
  function written(text: string): string | undefined {
    const [from, to] = [join(folder, "in.yaml"), join(folder, "out.yaml")];
    writeFileSync(from, text);
    rmSync(to, { force: true });
    const run = Bun.spawnSync([program, "--config", from, "--write-config-to", to]);
    return run.exitCode === 0 ? readFileSync(to, "utf8") : undefined;
  }

  test("Sluice knows every flag", () => {
    const { stdout } = Bun.spawnSync([program, "--help"]);
    const theirs = [...stdout.toString().matchAll(/^ +(?:-\w, )?--([a-z0-9-]+)/gm)];
    expect(theirs.length).toBeGreaterThan(50);
    const ours = new Set(FLAGS.map(({ name }) => name));
    expect(theirs.flatMap(([, name = ""]) => (ours.has(name) ? [] : [name]))).toEqual([]);
  });

  test("Sluice knows every field that it writes, and it accepts our file unchanged", async () => {
    const theirs = written(`${CONFIG_HEADER}mode: nftables\n`) ?? "";
    const decoded = decodeDocument((await parseConfigText(theirs, "theirs")).value);
    expect([decoded.unknown, decoded.faults]).toEqual([[], []]);
    const { config } = await resolveArgs([], "mode: nftables");
    // The only default that differs.
    const ours = theirs.replace("localhostNodePorts: true", "localhostNodePorts: false");
    expect(ours).not.toBe(theirs);
    expect(written(await printConfig(config))).toBe(ours);
  });

  test.each(["", "mode: auto", "mode: ipvs", "mode: iptables"])(
    "it accepts our file in every mode, and reads auto as the empty mode, its iptables: %j",
    async (body) => {
      const { config } = await resolveArgs([], body);
      const rewritten = written(await printConfig(config)) ?? "";
      expect(rewritten).toContain("\nmode: iptables\n");
    },
  );

  test("only Sluice knows the mode auto", async () => {
    expect([
      written(`${CONFIG_HEADER}mode: auto`),
      await configErrorMessage([], "mode: auto"),
    ]).toEqual([undefined, ""]);
  });

  test.each([
    "mode: userspace",
    "iptables: {masqueradeBit: 32}",
    "mode: iptables\nnftables: {masqueradeBit: 31}",
    "mode: nftables\nnftables: {masqueradeBit: 32}",
    "mode: nftables\nnftables: {syncPeriod: -1s}",
    "mode: nftables\nnftables: {syncPeriod: 1s, minSyncPeriod: 2s}",
    "mode: nftables\nnftables: {syncPeriod: 1s, minSyncPeriod: 1s}",
    "mode: ipvs\nipvs: {tcpTimeout: -1s}",
    "mode: ipvs\nipvs: {excludeCIDRs: [x]}",
    "ipvs: {excludeCIDRs: [x], tcpTimeout: -1s}",
    "bindAddress: x",
    "bindAddress: 010.0.0.1",
    "healthzBindAddress: 127.0.0.1",
    "healthzBindAddress: '127.0.0.1:0'",
    "metricsBindAddress: 'localhost:80'",
    "metricsBindAddress: '[::1]:80'",
    "nodePortAddresses: [primary, 10.0.0.0/8]",
    "nodePortAddresses: [10.0.0.0/33]",
    "nodePortAddresses: [10.0.0.1/8]",
    "detectLocalMode: Magic",
    "detectLocalMode: BridgeInterface",
    "detectLocalMode: InterfaceNamePrefix",
    "clusterCIDR: 10.0.0.0/8,11.0.0.0/8",
    "clusterCIDR: 10.0.0.0/8,fd00::/8",
    "clusterCIDR: x",
    "oomScoreAdj: 1001",
    "conntrack: {maxPerCore: -1}",
    "conntrack: {udpStreamTimeout: -1s}",
    "configSyncPeriod: -1s",
    "clientConnection: {burst: -1}",
    "showHiddenMetricsForVersion: '1.35'",
    "showHiddenMetricsForVersion: old",
    "logging: {format: xml}",
    "logging: {flushFrequency: -1s}",
    "logging: {flushFrequency: 1000000000}",
    "logging: {flushFrequency: 0}",
    "logging: {verbosity: -1}",
    "logging: {vmodule: [{filePattern: a, verbosity: 1}]}",
    "logging: {vmodule: [{filePattern: a}]}",
    "logging: {vmodule: [{filePattern: '', verbosity: 1}]}",
    "logging: {vmodule: [{filePattern: 'a=b', verbosity: 1}]}",
    "logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}",
    "logging: {options: {text: {splitStream: true}}}",
    "logging: {options: {json: {splitStream: true, infoBufferSize: 0}}}",
    "logging: {options: {text: {infoBufferSize: 1}}}",
    "logging: {options: {text: {infoBufferSize: lots}}}",
    "logging: {options: {json: {infoBufferSize: 4Ki}}}",
    "logging: {options: {json: {infoBufferSize: '0'}}}",
    "featureGates: {LoggingAlphaOptions: true}\nlogging: {options: {json: {infoBufferSize: 4Ki}}}",
    "featureGates: {AllowServiceExternalIPs: false}",
    "featureGates: {AllowServiceExternalIPs: maybe}",
    "color: red",
    "mode: 7",
    "iptables: {syncPeriod: 30}",
  ])("the same verdict: %s", async (body) => {
    const theirs = written(CONFIG_HEADER + body) === undefined ? "refused" : "taken";
    const ours = (await configErrorMessage([], body)) === "" ? "taken" : "refused";
    expect(ours).toBe(theirs);
  });
});
