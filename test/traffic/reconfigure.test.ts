/** The configuration file changes as a ConfigMap does, while the program serves traffic. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLUSTER_CIDR, FAMILIES } from "../../harness/netns/addresses.ts";
import { rulesInKernel } from "../../harness/netns/backends.ts";
import { connect, outcome, type Target, useLongTimeout } from "../../harness/netns/connections.ts";
import { SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { describeBackends } from "./traffic-fixture.ts";

useLongTimeout();

const WEB = { name: "web", number: 1, type: "LoadBalancer" } as const;
const TARGETS: readonly Target[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: 1, family },
  { from: "outside", to: "vip", number: 1, family },
]);
/**
 * A volume like the kubelet's for a ConfigMap: a link to a link to a directory that is replaced.
 */
class ConfigMap {
  readonly file: string;
  readonly #directory: string;

  constructor(directory: string, settings: object) {
    mkdirSync(directory);
    this.#directory = directory;
    this.file = join(directory, "config.conf");
    this.replace(settings);
    symlinkSync("..data/config.conf", this.file);
  }

  replace(settings: object): void {
    this.write(
      JSON.stringify({
        apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
        kind: "KubeProxyConfiguration",
        ...settings,
      }),
    );
  }

  write(text: string): void {
    const data = mkdtempSync(join(this.#directory, "..2026_"));
    writeFileSync(join(data, "config.conf"), text);
    const link = join(this.#directory, "..data_tmp");
    rmSync(link, { force: true });
    symlinkSync(data, link);
    renameSync(link, join(this.#directory, "..data"));
  }
}

/** The rules with mark bit 9 instead of bit 14. */
function withOtherBit(rules: string): string {
  return rules
    .replaceAll("0x00004000", "0x00000200")
    .replaceAll("0xffffbfff", "0xfffffdff")
    .replaceAll("0x4000", "0x200");
}

/** The rules without their hash, in an order that does not depend on the kernel. */
function comparable(rules: string): string {
  return rules
    .split("\n")
    .map((line) =>
      line
        .replace(/ comment "sluice: rules \w+"/, "")
        .trim()
        .replace(/^elements = \{ |,$/g, ""),
    )
    .sort()
    .join("\n");
}

describeBackends((backend) => {
  const iptables = backend !== "nftables";
  const ORIGINAL = {
    ...(iptables && { mode: "iptables" }),
    clusterCIDR: FAMILIES.map((family) => CLUSTER_CIDR[family]).join(","),
  };

  let world: World;
  let program: SluiceProcess;
  let config: ConfigMap;

  beforeAll(async () => {
    world = await World.build();
    program = new SluiceProcess(world, { backend });
    config = new ConfigMap(join(world.directory, "config"), ORIGINAL);
    program.put([service(WEB), ...slices("web", ["a1", "a2", "b1"])]);
    await program.start(["--config", config.file]);
    await pollUntil(health, (code) => code === 200);
  });
  afterAll(() => world.close());

  const health = async () => (await program.get("/healthz", 10256)).status;

  async function configz(): Promise<{ [field: string]: unknown }> {
    const { body } = await program.get("/configz");
    return JSON.parse(body)["kubeproxy.config.k8s.io"];
  }

  /** Calls `act` and waits until the log contains `text` once more than before. */
  async function said(text: string, act: () => void): Promise<void> {
    const times = () => program.log().split(text).length;
    const before = times();
    act();
    await pollUntil(
      async () => times(),
      (now) => now > before,
    );
    if (times() === before) throw new Error(`"${text}" was not said:\n${program.log()}`);
  }

  /** Connects to every target repeatedly while `act` runs. Returns the failures. */
  async function whileConnecting(act: () => Promise<void>): Promise<string[]> {
    let running = true;
    const failed: string[] = [];
    const all = TARGETS.map(async (target) => {
      while (running) {
        const reply = await connect(world, target);
        if (reply.outcome !== "answered") failed.push(`${target.to}: ${reply.outcome}`);
      }
    });
    await act();
    running = false;
    await Promise.all(all);
    return failed;
  }

  test("another mark bit changes the rules, but no element, and fails no connection", async () => {
    const before = comparable(await rulesInKernel(world, backend));
    const other = comparable(withOtherBit(before));
    expect(other).not.toBe(before);
    const { pid } = program;
    const failed = await whileConnecting(() =>
      said("Reloaded configuration", () =>
        config.replace({ ...ORIGINAL, [iptables ? "iptables" : "nftables"]: { masqueradeBit: 9 } }),
      ),
    );
    expect(failed).toEqual([]);
    const held = () => rulesInKernel(world, backend).then(comparable);
    expect(await pollUntil(held, (text) => text === other)).toBe(other);
    expect(program.pid).toBe(pid);
    config.replace(ORIGINAL);
    expect(await pollUntil(held, (text) => text === before)).toBe(before);
  });

  test("node port addresses and listen addresses follow the file", async () => {
    const target: Target = { from: "outside", to: "node port", number: 1, family: 4 };
    expect(await outcome(world, target)).not.toBe("timeout");
    await said("Reloaded configuration", () =>
      config.replace({
        ...ORIGINAL,
        nodePortAddresses: ["198.51.100.0/24"],
        metricsBindAddress: "127.0.0.1:10250",
        logging: { verbosity: 3 },
      }),
    );
    const silent = await pollUntil(
      () => outcome(world, target),
      (each) => each !== "a1" && each !== "a2" && each !== "b1",
    );
    expect(silent).not.toMatch(/^[ab]\d$/);
    const { status } = await pollUntil(
      () => program.getOnce("/metrics", 10250).catch(() => ({ status: 0 })),
      (each) => each.status === 200,
    );
    expect(status).toBe(200);
    await expect(program.getOnce("/metrics")).rejects.toThrow();
    await said("Reloaded configuration", () => config.replace(ORIGINAL));
    expect(
      await pollUntil(
        () => outcome(world, target),
        (each) => /^[ab]\d$/.test(each),
      ),
    ).toMatch(/^[ab]\d$/);
  });

  test.each([
    ["empty", ""],
    ["not YAML", "a: [b"],
    [
      "invalid in one value",
      `{"apiVersion":"kubeproxy.config.k8s.io/v1alpha1","kind":"KubeProxyConfiguration","oomScoreAdj":5000}`,
    ],
  ])(
    "a file that is %s changes nothing and is a problem until it is valid",
    async (_what, text) => {
      const before = await configz();
      config.write(text);
      const listed = await pollUntil(
        () => program.problems(),
        (list) => list.length > 0,
      );
      expect(listed.map(({ code }) => code)).toEqual(["CONFIG_INVALID"]);
      expect(listed[0]?.message).toEndWith(" (the last good configuration stays in effect)");
      expect(await configz()).toEqual(before);
      expect(await health()).toBe(200);
      config.replace(ORIGINAL);
      expect(
        await pollUntil(
          () => program.problems(),
          (list) => list.length === 0,
        ),
      ).toEqual([]);
    },
  );

  test("a setting that needs a restart ends the process with status 1; the rules keep serving", async () => {
    const before = await rulesInKernel(world, backend);
    config.replace({
      ...ORIGINAL,
      featureGates: { WatchListClient: true },
      sluice: { counters: false },
    });
    expect(await program.exited()).toBe(1);
    const last = program.log().trim().split("\n").at(-1);
    expect(last).toMatch(/^I.*] Exiting so that a new process applies the changed settings; /);
    expect(last).toEndWith(
      ' settings="featureGates.WatchListClient, sluice.counters" code="CONFIG_CHANGED"',
    );
    expect(program.log()).not.toContain("Fatal error");
    expect(await rulesInKernel(world, backend)).toEqual(before);
    for (const target of TARGETS) expect((await connect(world, target)).outcome).toBe("answered");
  });
});
