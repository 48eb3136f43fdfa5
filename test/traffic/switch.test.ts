/**
 * The program is restarted in another mode, under traffic. A chain of the kubelet's tells it which
 * variant of iptables to use, as on a node.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { addressOf, CLUSTER_CIDR, FAMILIES, type Pod } from "../../harness/netns/addresses.ts";
import { BACKENDS, type Backend, variantOf } from "../../harness/netns/backends.ts";
import { answers, connect, finishHeld, useLongTimeout } from "../../harness/netns/connections.ts";
import { type ConnectTarget, keepConnecting } from "../../harness/netns/keep-connecting.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";

useLongTimeout();

const PODS: readonly Pod[] = ["a1", "a2", "b1"];
const WEB = 1;
/** Its only endpoint calls itself. */
const SELF = 2;
const LOCAL = 3;
const GUARDED = 4;
const STICKY = 5;
const DNS = 6;
/** It has no endpoints. */
const NONE = 7;
const HINT = "KUBE-IPTABLES-HINT";

const CALLS: readonly ConnectTarget[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: WEB, family },
  { from: "node1", to: "clusterIP", number: WEB, family },
  { from: "outside", to: "clusterIP", number: WEB, family },
  { from: "outside", to: "vip", number: WEB, family },
  { from: "outside", to: "node port", number: WEB, family },
  { from: "node1", to: "node port", number: WEB, family },
  { from: "a1", to: "clusterIP", number: SELF, family },
  { from: "outside", to: "vip", number: LOCAL, family },
  { from: "outside", to: "vip", number: GUARDED, family },
  { from: "a3", to: "clusterIP", number: STICKY, family },
  { from: "a3", to: "clusterIP", number: DNS, family, port: 53, transport: "udp" },
]);

let world: World;
let program: SluiceProcess;

beforeAll(async () => {
  world = await World.build({ prefix: "sl-switch" });
  program = new SluiceProcess(world);
  const dns = [{ port: 53, target: 8080, protocol: "UDP" }] as const;
  program.put([
    service({ name: "web", number: WEB, type: "LoadBalancer" }),
    ...slices("web", PODS),
    service({ name: "self", number: SELF }),
    ...slices("self", ["a1"]),
    service({ name: "local", number: LOCAL, type: "LoadBalancer", externalPolicy: "Local" }),
    ...slices("local", ["a1", "b1"]),
    service({
      name: "restricted",
      number: GUARDED,
      type: "LoadBalancer",
      sourceRanges: ["198.51.100.0/24", "2001:db8:2::/64"],
    }),
    ...slices("restricted", ["a2"]),
    service({ name: "sticky", number: STICKY, affinitySeconds: 600 }),
    ...slices("sticky", PODS),
    service({ name: "dns", number: DNS, ports: dns }),
    ...slices("dns", PODS, { ports: dns }),
    service({ name: "none", number: NONE }),
  ]);
});
afterAll(() => world?.close());
afterEach(async () => {
  await program.stop();
  await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
});

/** Selects a variant: only its tables have the kubelet's chain. */
async function prefer(backend: Backend): Promise<void> {
  const wanted = variantOf(backend);
  if (wanted === undefined) return;
  for (const variant of ["nft", "legacy"] as const) {
    for (const tool of ["iptables", "ip6tables"]) {
      const mangle = [`${tool}-${variant}`, "-w", "30", "-t", "mangle"];
      const there = (await world.run("node1", [`${tool}-${variant}-save`])).includes(`:${HINT} `);
      if (there !== (variant === wanted)) {
        await world.run("node1", [...mangle, there ? "-X" : "-N", HINT]);
      }
    }
  }
}

async function startIn(backend: Backend, policy: readonly string[] = []): Promise<void> {
  await prefer(backend);
  const mode = backend === "nftables" ? "nftables" : "iptables";
  await program.start([...DEFAULT_FLAGS, `--proxy-mode=${mode}`, ...policy]);
}

/** The backends that have rules in the kernel. */
async function present(): Promise<Backend[]> {
  const tables = await world.run("node1", ["nft", "list", "tables"]);
  const found: Backend[] = /table inet sluice$/m.test(tables) ? ["nftables"] : [];
  for (const variant of ["nft", "legacy"] as const) {
    const texts = await Promise.all(
      ["iptables", "ip6tables"].map((tool) => world.run("node1", [`${tool}-${variant}-save`])),
    );
    if (/^:KUBE-(?!IPTABLES-HINT)/m.test(texts.join(""))) found.push(`iptables-${variant}`);
  }
  return found;
}

const SWITCHES = BACKENDS.flatMap((from) =>
  BACKENDS.filter((to) => to !== from).map((to) => [from, to] as const),
);

describe.each(SWITCHES)("from %s to %s", (from, to) => {
  test("no connection fails, open ones continue, and no old rules stay", async () => {
    await startIn(from);
    expect(await present()).toEqual([from]);
    const held = CALLS.filter(({ transport }) => transport !== "udp");
    const open = await Promise.all(held.map((call) => connect(world, call, { hold: true })));
    expect(open.map(({ outcome }) => outcome)).toEqual(held.map(() => "answered"));
    const traffic = keepConnecting(world, CALLS);
    try {
      await traffic.waitForMore();
      await program.stop();
      await traffic.waitForMore();
      await startIn(to);
      expect(await pollUntil(present, (ways) => ways.length === 1)).toEqual([to]);
      await traffic.waitForMore();
    } finally {
      expect(await traffic.stop()).toEqual([]);
    }
    expect(await finishHeld(world, open)).toEqual(open.map(() => "answered"));
    for (const family of FAMILIES) {
      const web = { from: "outside", to: "vip", number: WEB, family } as const;
      expect(await answers(world, web)).toEqual([...PODS]);
      const { saw: seen } = await connect(world, web);
      expect(seen).not.toBe(addressOf("outside", family));
      const refused = { from: "a3", to: "clusterIP", number: NONE, family } as const;
      expect(await answers(world, refused, { times: 2 })).toEqual(["refused"]);
    }
    const { body } = await program.get("/sluice/v1/problems");
    expect(body).not.toContain("OTHER_PROXY");
    expect(program.log()).toContain("Removed leftover rules");
  });

  test("old rules are removed even if kube-proxy's rules must stay", async () => {
    await startIn(from);
    await program.stop();
    await startIn(to, ["--remove-kube-proxy-rules=false"]);
    expect(await pollUntil(present, (ways) => ways.length === 1)).toEqual([to]);
  });
});

describe.each(["iptables-nft", "iptables-legacy"] as const)(
  "if the policy of FORWARD in %s is DROP",
  (from) => {
    const policy = async (verdict: "DROP" | "ACCEPT") => {
      for (const family of FAMILIES) {
        const tool = from.replace("ip", family === 4 ? "ip" : "ip6");
        await world.run("node1", [tool, "-w", "30", "-P", "FORWARD", verdict]);
        const change = verdict === "DROP" ? "-A" : "-D";
        const pods = ["-s", CLUSTER_CIDR[family], "-j", "ACCEPT"];
        await world.run("node1", [tool, "-w", "30", change, "FORWARD", ...pods]);
      }
    };

    test("nftables mode keeps the chain of iptables mode that accepts packets, and connections continue", async () => {
      await startIn(from);
      await policy("DROP");
      const forwarded = CALLS.filter(
        ({ number, ...call }) => number === WEB && call.from === "outside",
      );
      const traffic = keepConnecting(world, forwarded);
      try {
        await traffic.waitForMore();
        await program.stop();
        await startIn("nftables");
        await pollUntil(
          async () => program.log(),
          (text) => text.includes("left by an iptables mode, still accepts forwarded packets"),
        );
        await traffic.waitForMore();
      } finally {
        expect(await traffic.stop()).toEqual([]);
        await policy("ACCEPT");
      }
      expect(program.log()).toContain("left by an iptables mode, still accepts forwarded packets");
      expect(await present()).toEqual(["nftables", from]);
    });
  },
);
