/** The program in iptables mode takes over from a kube-proxy that was stopped, in whichever mode that one was. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { addressOf, CLUSTER_CIDR, clusterIp, FAMILIES, type Pod } from "../../netns/addresses.ts";
import { nodePort, service, slices } from "../../netns/objects.ts";
import { BINARY, DEFAULT_FLAGS, Program } from "../../netns/program.ts";
import { execute, World } from "../../netns/world.ts";
import { type Call, keepConnecting } from "../../traffic/keep-connecting.ts";
import { answers, connect, eventually, takeTime } from "../../traffic/steps.ts";
import { savedRules, savedTable } from "./saved.ts";

takeTime();

const PODS: readonly Pod[] = ["a1", "a2", "b1"];
const CALLS: readonly Call[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: 1, family },
  { from: "outside", to: "clusterIP", number: 1, family },
  { from: "outside", to: "node port", number: 1, family },
]);
const HINT = "KUBE-IPTABLES-HINT";
const IPTABLES = [...DEFAULT_FLAGS, "--proxy-mode=iptables"];

let world: World;
let program: Program;

beforeAll(async () => {
  world = await World.build({ prefix: "sl-takeover2" });
  program = new Program(world);
  program.put([service({ name: "web", number: 1, type: "NodePort" }), ...slices("web", PODS)]);
});
afterAll(() => world?.close());

const toolsOf = (variant: string) =>
  FAMILIES.map((family) => `${family === 4 ? "iptables" : "ip6tables"}-${variant}`);

/** Puts kube-proxy's rules into node1. */
async function putRules(mode: string): Promise<void> {
  for (const family of FAMILIES) {
    const endpoints = PODS.map((pod) => {
      const address = addressOf(pod, family);
      return family === 4 ? `${address}:8080` : `[${address}]:8080`;
    });
    const web = { clusterIp: clusterIp(1, family), nodePort: nodePort(1), endpoints };
    const known = { name: "web", ...web };
    const cidr = CLUSTER_CIDR[family];
    const tool = toolsOf(mode.slice("iptables-".length))[FAMILIES.indexOf(family)];
    const [command, text] =
      mode === "nftables"
        ? [["nft", "-f", "-"], savedTable(known, family, cidr)]
        : [[`${tool}-restore`, "--noflush"], savedRules([known], cidr)];
    await execute(world.inside("node1", command), text);
  }
}

/** What is there of kube-proxy's: its tables, and chains of a variant that are not those of Sluice. */
async function left(own: string): Promise<string> {
  const texts = [await world.run("node1", ["nft", "list", "tables"])];
  for (const variant of ["nft", "legacy"]) {
    for (const tool of toolsOf(variant)) {
      const text = await world.run("node1", [`${tool}-save`]);
      texts.push(variant === own ? text.replaceAll(/^.*KUBE-(?!.*-WEB).*$/gm, "") : text);
    }
  }
  return texts
    .flatMap((text) => text.match(/.*(ip6? kube-proxy|KUBE-(?!IPTABLES-HINT)).*/g) ?? [])
    .join("\n");
}

const WAYS = ["nft", "legacy"].flatMap((variant) =>
  ["nftables", "iptables-nft", "iptables-legacy"].map((mode) => [mode, variant] as const),
);

describe.each(WAYS)("from kube-proxy in mode %s to iptables-%s", (mode, variant) => {
  const hint = (verb: "-N" | "-X") =>
    Promise.all(
      toolsOf(variant).map((tool) =>
        world.run("node1", [tool, "-w", "30", "-t", "mangle", verb, HINT]),
      ),
    );

  test("no connection fails, those that are open go on, and nothing of kube-proxy's is left", async () => {
    await hint("-N");
    await putRules(mode);
    const open = await Promise.all(CALLS.map((call) => connect(world, call, { hold: true })));
    const traffic = keepConnecting(world, CALLS);
    try {
      await traffic.more();
      await program.start(IPTABLES);
      expect(
        await eventually(
          () => left(variant),
          (text) => text === "",
        ),
      ).toBe("");
      await traffic.more();
    } finally {
      expect(await traffic.stop()).toEqual([]);
    }
    for (const { handle } of open) {
      expect((await world.board.ask(handle)).outcome).toBe("answered");
      await world.board.hangup(handle);
    }
    for (const call of CALLS) expect(await answers(world, call)).toEqual([...PODS]);
    await program.stop();
    await execute(world.inside("node1", [BINARY, "--cleanup"]));
    expect(await left("neither")).toBe("");
    await hint("-X");
  });
});

test("rules of a kube-proxy that are to stay do so, but for the chains that are Sluice's own now", async () => {
  await Promise.all(
    toolsOf("nft").map((tool) => world.run("node1", [tool, "-t", "mangle", "-N", HINT])),
  );
  for (const mode of ["nftables", "iptables-nft", "iptables-legacy"]) await putRules(mode);
  await program.start([...IPTABLES, "--remove-kube-proxy-rules=false"]);
  await eventually(
    async () => program.log(),
    (text) => text.includes("they stay, as configured"),
  );
  const text = await left("nft");
  expect(text).toContain("table ip6 kube-proxy");
  expect(text).toContain("KUBE-SEP-WEB0");
  const own = await world.run("node1", ["iptables-nft-save"]);
  expect(own).not.toContain("KUBE-SEP-WEB0");
  await program.stop();
  await execute(world.inside("node1", [BINARY, "--cleanup"]));
});
