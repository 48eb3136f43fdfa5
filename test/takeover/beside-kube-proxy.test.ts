/** Runs the program together with a real kube-proxy: its rules stay until it has exited. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY } from "../../harness/binary.ts";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { createNode } from "../../harness/cluster/many-objects.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";
import { until } from "../../harness/waiting.ts";
import { inside, type Mode, PATIENT, startUpstream, untilProgrammed } from "./real-kube-proxy.ts";

const PORTS = ["--healthz-bind-address=127.0.0.1:20256", "--metrics-bind-address=127.0.0.1:20249"];

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: next to the real kube-proxy: ${reason}`);

describe.skipIf(reason !== undefined)("together with a running kube-proxy v1.36.3", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
    await createNode(plane.api, "node", plane.netns.address);
  }, 180_000);
  afterAll(() => plane?.stop());

  const rules = async (mode: Mode) => {
    const command = mode === "nftables" ? ["nft", "list", "tables"] : [`${mode}-save`];
    return (await inside(plane, command)).match(/.*(ip6? kube-proxy$|KUBE-SERVICES).*/gm) ?? [];
  };
  const startKubeProxy = async (mode: Mode): Promise<Daemon> => {
    const daemon = await startUpstream(plane, mode);
    onTestFinished(() => daemon.stop("SIGKILL"));
    // It writes table by table.
    const last =
      mode === "nftables" ? "table ip6 kube-proxy" : "default/kubernetes:https cluster IP";
    await untilProgrammed(plane, daemon, async () => (await rules(mode)).join().includes(last));
    return daemon;
  };
  const startSluice = (name: string): { daemon: Daemon; says: (word: string) => Promise<void> } => {
    const own = ["--hostname-override=node", `--kubeconfig=${plane.kubeconfigs.proxy}`, ...PORTS];
    const log = join(plane.workdir, `sluice-${name}.log`);
    const flags = ["--conntrack-max-per-core=0", "--cluster-cidr=10.244.0.0/16"];
    const daemon = startDaemon(plane.netns.name, [BINARY, ...own, ...flags], log);
    onTestFinished(() => daemon.stop("SIGKILL"));
    const says = (word: string) =>
      until(`${word} in the log`, async () => readFileSync(log, "utf8").includes(word), PATIENT);
    return { daemon, says };
  };
  /** Removes everything of the last test that a kill left behind. */
  const clean = () => inside(plane, [BINARY, "--cleanup"]);

  test.each(["nftables", "iptables-nft", "iptables-legacy"] as const)(
    "in mode %s: --cleanup leaves its rules, and reports that by exit status and its pid",
    async (mode) => {
      const { pid, stop } = await startKubeProxy(mode);
      const before = await rules(mode);
      const child = Bun.spawn([...inNamespace(plane.netns.name), BINARY, "--cleanup"], {
        stdout: "pipe",
        stderr: "pipe",
      });
      const said = await new Response(child.stderr).text();
      expect(said).toBe(
        `sluice: remove kube-proxy's rules: kube-proxy (pid ${pid}) is running (stop it first, or keep its rules with --remove-kube-proxy-rules=false) (code OTHER_PROXY)\n`,
      );
      expect(await child.exited).toBe(1);
      expect(await rules(mode)).toEqual(before);
      await stop("SIGKILL");
      expect(await clean()).toContain("Removed");
      expect(await rules(mode)).toEqual([]);
    },
    60_000,
  );

  test.each(["nftables", "iptables-nft", "iptables-legacy"] as const)(
    "in mode %s: the program names its pid; its rules stay, and are removed soon after its exit without a restart",
    async (mode) => {
      const { pid, stop } = await startKubeProxy(mode);
      const before = await rules(mode);
      const { daemon, says } = startSluice(mode);
      await says("Serving");
      await says(`kube-proxy (pid ${pid}) is running on this node`);
      await says("Sluice removes them after the running kube-proxy exits");
      expect(await rules(mode)).toEqual(before);
      await stop("SIGKILL");
      await until("an end of its rules", async () => (await rules(mode)).length === 0, PATIENT);
      await says("Problem resolved");
      await daemon.stop();
      await clean();
    },
    60_000,
  );

  test("one that starts while the program serves also keeps its rules", async () => {
    const mode = "nftables";
    const first = await startKubeProxy(mode);
    const { daemon, says } = startSluice("second");
    await says(`kube-proxy (pid ${first.pid}) is running on this node`);
    await first.stop("SIGKILL");
    const { pid, stop } = await startKubeProxy(mode);
    const before = await rules(mode);
    await says(`kube-proxy (pid ${pid}) is running on this node`);
    expect(await rules(mode)).toEqual(before);
    await stop("SIGKILL");
    await until("an end of its rules", async () => (await rules(mode)).length === 0, PATIENT);
    await daemon.stop();
    await clean();
  }, 60_000);
});
