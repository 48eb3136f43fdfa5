/** Start, restart, kill and cleanup of the program, under traffic. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { FAMILIES } from "../../harness/netns/addresses.ts";
import { iptables, rulesInKernel, variantOf } from "../../harness/netns/backends.ts";
import { answers, connect, type Target, useLongTimeout } from "../../harness/netns/connections.ts";
import { SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { monitor } from "./nft-monitor.ts";
import { describeBackends } from "./traffic-fixture.ts";

useLongTimeout();

const WEB = { name: "web", number: 1, type: "LoadBalancer" } as const;
const TARGETS: readonly Target[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: 1, family },
  { from: "outside", to: "vip", number: 1, family },
  { from: "outside", to: "node port", number: 1, family },
]);

describeBackends((backend) => {
  let world: World;
  let program: SluiceProcess;

  beforeAll(async () => {
    world = await World.build();
    program = new SluiceProcess(world, { backend });
    program.fakeTools?.recordCalls();
    program.put([
      service(WEB),
      ...slices("web", ["a1", "a2", "b1"]),
      service({ name: "none", number: 2, type: "NodePort" }),
      service({ name: "near", number: 3, type: "LoadBalancer", externalPolicy: "Local" }),
      ...slices("near", ["a1", "b1"]),
      service({
        name: "restricted",
        number: 4,
        type: "LoadBalancer",
        sourceRanges: ["10.9.0.0/16"],
      }),
      ...slices("restricted", ["a1"]),
      service({ name: "sticky", number: 5, affinitySeconds: 600 }),
      ...slices("sticky", ["a1", "b1"]),
    ]);
    await program.start();
  });
  afterAll(() => world.close());

  /** Connects to every target repeatedly until `stop`, which returns the failures. */
  function keepConnecting(): { stop(): Promise<{ done: number; failed: string[] }> } {
    let running = true;
    let done = 0;
    const failed: string[] = [];
    const all = TARGETS.map(async (target) => {
      while (running) {
        const reply = await connect(world, target);
        done += 1;
        if (reply.outcome !== "answered") failed.push(`${target.to}: ${reply.outcome}`);
      }
    });
    return {
      async stop() {
        running = false;
        await Promise.all(all);
        return { done, failed };
      },
    };
  }

  async function expectAllServed(): Promise<void> {
    for (const target of TARGETS) expect(await answers(world, target)).toEqual(["a1", "a2", "b1"]);
  }

  describe("a program that a signal ends", () => {
    test.each(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
      "%s leaves the rules, and the next start changes nothing and drops nothing",
      async (signal) => {
        const changes = await observe();
        const traffic = keepConnecting();
        const before = await rulesInKernel(world, backend);
        const code = await program.stop(signal);
        if (signal !== "SIGKILL") expect(code).toBe(0);
        await expectAllServed();
        expect(await rulesInKernel(world, backend)).toEqual(before);
        program.spawn();
        await pollUntil(status, (each) => each === 200);
        expect(await status()).toBe(200);
        await expectAllServed();
        const { done, failed } = await traffic.stop();
        expect(done).toBeGreaterThan(0);
        expect(failed).toEqual([]);
        expect(await changes()).toEqual([]);
      },
    );

    test("the next start applies the changes made meanwhile, and nothing else", async () => {
      await program.stop("SIGKILL");
      program.put(slices("web", ["a2", "b1"]));
      program.remove([service({ name: "near", number: 3 })]);
      await program.start();
      for (const target of TARGETS) expect(await answers(world, target)).toEqual(["a2", "b1"]);
      const gone: Target = { from: "outside", to: "node port", number: 3, family: 4 };
      const refused = () => answers(world, gone, { times: 1 });
      expect(await pollUntil(refused, (names) => names[0] === "refused")).toEqual(["refused"]);
      program.put(slices("web", ["a1", "a2", "b1"]));
      await program.untilSettled();
      await expectAllServed();
    });
  });

  describe("a second program on the same node", () => {
    test("exits with an error and changes nothing", async () => {
      const changes = await observe();
      const child = Bun.spawn(program.command(), {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, problem, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      expect(code).not.toBe(0);
      expect(out + problem).toMatch(/already|another/i);
      expect(await changes()).toEqual([]);
      expect(await status()).toBe(200);
      await expectAllServed();
    });
  });

  describe("--cleanup", () => {
    test("removes only rules of Sluice, and needs no configuration", async () => {
      const variant = variantOf(backend);
      if (variant === undefined)
        await world.run("node1", ["nft", "add", "table", "inet", "somebody"]);
      else await iptables(world, variant, 4, "-t", "nat", "-N", "SOMEBODY");
      await program.stop();
      const ours = variant === undefined ? "sluice" : "KUBE-";
      expect(await rulesInKernel(world, backend)).toContain(ours);
      await runAsync(program.commandOnNode(["env", "-i", BINARY, "--cleanup"]));
      const left = await rulesInKernel(world, backend);
      expect(left).not.toContain(ours);
      expect(left).toContain(variant === undefined ? "table inet somebody" : ":SOMEBODY");
      await runAsync(program.commandOnNode([BINARY, "--cleanup"]));
      await program.start();
      await expectAllServed();
    });
  });

  /**
   * Returns a function that lists changes of the rules since, from nft monitor or iptables-restore.
   */
  async function observe(): Promise<() => Promise<string[]>> {
    if (backend === "nftables") {
      const changes = await monitor(world);
      return async () => changesOfRules(await changes.stop());
    }
    const before = changesOfTables(program).length;
    return async () => changesOfTables(program).slice(before);
  }

  async function status(): Promise<number> {
    try {
      return (await program.getOnce("/healthz", 10256)).status;
    } catch {
      return 0;
    }
  }
});

/** Leaves out the scratch table in which the program probes the kernel at start. */
function changesOfRules(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.includes("sluice-probe"));
}

/**
 * Leaves out the scratch chains in which the program probes the kernel at start, and the canary.
 */
function changesOfTables({ fakeTools }: SluiceProcess): string[] {
  return (fakeTools?.recordedCalls() ?? []).filter(
    (text) => !/PROBE|^\n*\*mangle\n:KUBE-PROXY-CANARY/.test(text),
  );
}
