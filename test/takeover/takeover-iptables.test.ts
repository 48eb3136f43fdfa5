/** The program in iptables mode takes over from a stopped kube-proxy in any mode. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { FAMILIES } from "../../harness/netns/addresses.ts";
import { answers, connect, finishHeld, useLongTimeout } from "../../harness/netns/connections.ts";
import { keepConnecting } from "../../harness/netns/keep-connecting.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { PODS, putRules, TARGETS, toolOf } from "./stopped-kube-proxy.ts";

useLongTimeout();

const HINT = "KUBE-IPTABLES-HINT";
const IPTABLES = [...DEFAULT_FLAGS, "--proxy-mode=iptables"];

let world: World;
let program: SluiceProcess;

beforeAll(async () => {
  world = await World.build({ prefix: "sl-takeover2" });
  program = new SluiceProcess(world);
  program.put([service({ name: "web", number: 1, type: "NodePort" }), ...slices("web", PODS)]);
});
afterAll(() => world?.close());

const toolsOf = (variant: string) =>
  FAMILIES.map((family) => toolOf(`iptables-${variant}`, family));

/** Remains of kube-proxy: its tables, and the chains of a variant that do not belong to Sluice. */
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

  test("no connection fails, open connections continue, and nothing of kube-proxy is left", async () => {
    await hint("-N");
    await putRules(world, mode);
    const open = await Promise.all(TARGETS.map((call) => connect(world, call, { hold: true })));
    const traffic = keepConnecting(world, TARGETS);
    try {
      await traffic.waitForMore();
      await program.start(IPTABLES);
      expect(
        await pollUntil(
          () => left(variant),
          (text) => text === "",
        ),
      ).toBe("");
      await traffic.waitForMore();
    } finally {
      expect(await traffic.stop()).toEqual([]);
    }
    expect(await finishHeld(world, open)).toEqual(open.map(() => "answered"));
    for (const call of TARGETS) expect(await answers(world, call)).toEqual([...PODS]);
    await program.stop();
    await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
    expect(await left("neither")).toBe("");
    await hint("-X");
  });
});

test("rules of a kube-proxy that must stay do so, except the chains that now belong to Sluice", async () => {
  await Promise.all(
    toolsOf("nft").map((tool) => world.run("node1", [tool, "-t", "mangle", "-N", HINT])),
  );
  for (const mode of ["nftables", "iptables-nft", "iptables-legacy"]) await putRules(world, mode);
  await program.start([...IPTABLES, "--remove-kube-proxy-rules=false"]);
  await pollUntil(
    async () => program.log(),
    (text) => text.includes("Sluice keeps them, because removeKubeProxyRules is false"),
  );
  const text = await left("nft");
  expect(text).toContain("table ip6 kube-proxy");
  expect(text).toContain("KUBE-SEP-WEB0");
  const own = await world.run("node1", ["iptables-nft-save"]);
  expect(own).not.toContain("KUBE-SEP-WEB0");
  await program.stop();
  await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
});
