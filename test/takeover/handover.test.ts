/**
 * Hands over from the real kube-proxy in iptables mode to the program in the same mode and back,
 * under traffic.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY } from "../../harness/binary.ts";
import {
  type ControlPlane,
  missingControlPlane,
  programs,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { createNode } from "../../harness/cluster/many-objects.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { until } from "../../harness/waiting.ts";
import {
  inside,
  type Mode,
  PATIENT,
  startUpstream,
  toolsOf,
  untilProgrammed,
} from "./real-kube-proxy.ts";

const CALLER = join(import.meta.dir, "children/keep-calling.ts");
const CLUSTER_IP = "10.96.0.77";
const PORT = 8080;
const SOME = 500;

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: handing over to and from kube-proxy: ${reason}`);

const MODES = ["iptables-nft", "iptables-legacy"] as const;

describe.skipIf(reason !== undefined)("between kube-proxy v1.36.3 and the program", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
    await createNode(plane.api, "node", plane.netns.address);
    await plane.api.request("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "web" },
      spec: { clusterIP: CLUSTER_IP, ports: [{ port: 80 }] },
    });
    await plane.api.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
      metadata: { name: "web", labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "", port: PORT, protocol: "TCP" }],
      endpoints: [{ addresses: [plane.netns.address] }],
    });
  }, 180_000);
  afterAll(() => plane?.stop());

  /** Remains of a failed test. */
  beforeEach(async () => {
    await inside(plane, ["nft", "flush", "ruleset"]);
    for (const tool of ["iptables-legacy", "ip6tables-legacy"]) {
      for (const table of ["nat", "filter", "mangle"]) {
        for (const how of ["-F", "-X"]) await inside(plane, [tool, "-w", "30", "-t", table, how]);
      }
    }
  });

  const saved = (mode: Mode) => inside(plane, [`${mode}-save`]);
  const isSluices = async (mode: Mode) => (await saved(mode)).includes(":KUBE-SEP-HAIRPIN ");
  const startKubeProxy = async (mode: Mode): Promise<Daemon> => {
    const daemon = await startUpstream(plane, mode);
    onTestFinished(() => daemon.stop("SIGKILL"));
    await untilProgrammed(plane, daemon, async () => {
      const text = await saved(mode);
      return text.includes("default/web cluster IP") && !text.includes(":KUBE-SEP-HAIRPIN ");
    });
    return daemon;
  };
  let starts = 0;
  const startSluice = (mode = "iptables") => {
    const own = ["--hostname-override=node", `--kubeconfig=${plane.kubeconfigs.proxy}`];
    const ports = [
      "--healthz-bind-address=127.0.0.1:20256",
      "--metrics-bind-address=127.0.0.1:20249",
    ];
    const flags = ["--conntrack-max-per-core=0", "--cluster-cidr=10.244.0.0/16"];
    const log = join(plane.workdir, `sluice-handover-${++starts}.log`);
    const command = [BINARY, `--proxy-mode=${mode}`, ...own, ...ports, ...flags];
    const daemon = startDaemon(plane.netns.name, command, log);
    onTestFinished(() => daemon.stop("SIGKILL"));
    const says = (word: string) =>
      until(`"${word}" in ${log}`, async () => readFileSync(log, "utf8").includes(word), PATIENT);
    return { daemon, says };
  };
  /** Calls the Service continuously. */
  const startCalls = async () => {
    const to = [plane.netns.address, String(PORT), CLUSTER_IP, "80"];
    const command = [...inNamespace(plane.netns.name), process.execPath, CALLER, ...to];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const ask = async (): Promise<{ answered: number; failed: string[] }> => {
      child.kill("SIGUSR1");
      return JSON.parse((await lines.read()).value ?? "");
    };
    await lines.read();
    /** Waits for SOME more calls. Returns the failures so far. */
    return async () => {
      const before = await ask();
      await until(
        "more calls",
        async () => (await ask()).answered > before.answered + SOME,
        PATIENT,
      );
      return (await ask()).failed;
    };
  };
  /** This chain of a kubelet makes the program choose the variant. */
  const hint = (mode: Mode) =>
    inside(plane, [mode, "-w", "30", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"]);

  test.each(MODES)(
    "in mode %s no call fails in either direction, and each takes over the other's rules",
    async (mode) => {
      await hint(mode);
      const first = await startKubeProxy(mode);
      const calls = await startCalls();
      const before = (await calls()).length;
      await first.stop("SIGKILL");
      const { daemon, says } = startSluice();
      await says("Serving");
      expect(await isSluices(mode)).toBe(true);
      expect(await saved(mode)).not.toContain("nfacct");
      await calls();
      await daemon.stop();
      const second = await startKubeProxy(mode);
      const failed = await calls();
      expect(failed.slice(before)).toEqual([]);
      await second.stop("SIGKILL");
      await inside(plane, [BINARY, "--cleanup"]);
      // kube-proxy has set route_localnet.
      expect(await saved(mode)).not.toMatch(/KUBE-(?!FIREWALL|IPTABLES-HINT)/);
    },
    90_000,
  );

  test.each(MODES)(
    "in mode %s the program waits for a running one to exit, writes nothing until then, and starts automatically",
    async (mode) => {
      await hint(mode);
      const kubeProxy = await startKubeProxy(mode);
      const { daemon, says } = startSluice();
      await says(`Waiting for kube-proxy (pid ${kubeProxy.pid}) to exit`);
      // Its problem appears with the health server, which does not wait.
      await says("writes the same chains: Sluice waits until it exits");
      const health = await inside(plane, [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://127.0.0.1:20256/healthz",
      ]);
      expect(health).toBe("503");
      expect(await isSluices(mode)).toBe(false);
      await kubeProxy.stop("SIGKILL");
      await says("Serving");
      expect(await isSluices(mode)).toBe(true);
      await says("Problem resolved");
      await daemon.stop();
    },
    90_000,
  );

  test.each(MODES)(
    "in mode %s a later one is a problem with its pid, and the Service is served all the time",
    async (mode) => {
      await hint(mode);
      const { daemon, says } = startSluice();
      await says("Serving");
      const calls = await startCalls();
      const before = (await calls()).length;
      const kubeProxy = await startUpstream(plane, mode);
      onTestFinished(() => kubeProxy.stop("SIGKILL"));
      await says(
        `kube-proxy (pid ${kubeProxy.pid}) writes the same chains: it and Sluice undo each other's changes`,
      );
      await kubeProxy.stop("SIGKILL");
      await says("Problem resolved");
      await until("our chains", () => isSluices(mode), PATIENT);
      expect((await calls()).slice(before)).toEqual([]);
      await daemon.stop();
    },
    120_000,
  );

  test.each([
    ["iptables", "iptables-nft", "Sluice's chains in table ip nat"],
    ["iptables", "iptables-legacy", "Sluice's chains in iptables-legacy table nat"],
    ["nftables", "iptables-nft", "table inet sluice"],
  ] as const)(
    "a cleanup keeps rules of mode %s while one in mode %s has no API server, and removes them after its first sync",
    async (own, mode, what) => {
      await hint(mode);
      const { daemon, says } = startSluice(own);
      await says("Serving");
      await daemon.stop();
      const calls = await startCalls();
      const before = (await calls()).length;
      const nowhere = join(plane.workdir, "nowhere.conf");
      const text = readFileSync(plane.kubeconfigs.proxy, "utf8");
      writeFileSync(nowhere, text.replace(/https:\/\/[^"\s]+/, "https://127.0.0.1:1"));
      const deaf = await startUpstream(plane, mode, nowhere);
      onTestFinished(() => deaf.stop("SIGKILL"));
      await until(
        "kube-proxy",
        async () => readFileSync(`/proc/${deaf.pid}/comm`, "utf8") === "kube-proxy\n",
        PATIENT,
      );
      const cleanUp = async () => {
        const words = [BINARY, "--cleanup", "--remove-kube-proxy-rules=false"];
        const child = Bun.spawn([...inNamespace(plane.netns.name), ...words], { stderr: "pipe" });
        const output = await new Response(child.stderr).text();
        return { output, status: await child.exited };
      };
      const early = await cleanUp();
      expect(early.output).toContain(`sluice: remove ${what}: kube-proxy (pid ${deaf.pid})`);
      expect(early.status).toBe(1);
      await deaf.stop("SIGKILL");
      await startKubeProxy(mode);
      // Its families sync separately, IPv6 perhaps later.
      await until(
        "a cleanup that is not refused",
        async () => (await cleanUp()).status === 0,
        PATIENT,
      );
      expect((await calls()).slice(before)).toEqual([]);
      expect(await inside(plane, ["nft", "list", "tables"])).not.toContain("inet sluice");
    },
    90_000,
  );
});

describe.skipIf(reason !== undefined)("kube-proxy --cleanup", () => {
  test.each(MODES)(
    "removes all rules that the program left through %s, including trees of prefixes, in both families",
    async (mode) => {
      const world = await World.build({ prefix: "sl-handover" });
      onTestFinished(() => world.close());
      const tools = [mode, mode.replace("ip", "ip6")];
      for (const tool of tools) {
        await world.run("node1", [tool, "-w", "30", "-t", "mangle", "-N", "KUBE-KUBELET-CANARY"]);
      }
      const program = new SluiceProcess(world);
      for (let number = 1; number <= 40; number++) {
        const name = `s${number}`;
        program.put([service({ name, number, type: "NodePort" }), ...slices(name, ["a1", "b1"])]);
      }
      await program.start([...DEFAULT_FLAGS, "--proxy-mode=iptables"]);
      await program.stop();
      const saved = async () => {
        const texts = await Promise.all(tools.map((tool) => world.run("node1", [`${tool}-save`])));
        return texts.join("");
      };
      expect(await saved()).toContain(":KUBE-SVC-10.96.0.0/24 ");
      await runAsync(
        world.inside("node1", [
          "env",
          `PATH=${toolsOf(world.directory, mode.slice("iptables-".length))}:${process.env["PATH"]}`,
          join(await programs(), "kube-proxy"),
          "--cleanup",
        ]),
      );
      expect((await saved()).match(/KUBE-(?!KUBELET-CANARY)\S*/g) ?? []).toEqual([]);
    },
    90_000,
  );
});
