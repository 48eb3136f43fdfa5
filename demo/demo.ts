/**
 * The demo: the compiled program on a node made of network namespaces, serving the Services in
 * demo/manifests. Every sentence marked ok was checked; if one is not so, the exit status is 1.
 */
import { relative } from "node:path";
import { addressOf, type Place } from "../test/netns/addresses.ts";
import { bold, claim, dim, duration, failed, heading, print, quote, say } from "./page.ts";
import { admin } from "./scenes/admin.ts";
import { affinity } from "./scenes/affinity.ts";
import { follow } from "./scenes/follow.ts";
import { outlive } from "./scenes/outlive.ts";
import { reach } from "./scenes/reach.ts";
import { now, Stage } from "./stage.ts";

const SIGNAL_EXIT = 128;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

async function main(keep: boolean): Promise<void> {
  print(`${bold("Sluice")}: a kube-proxy, shown on one machine without a cluster.`);
  heading("A small world of network namespaces");
  const began = now();
  const stage = await Stage.build();
  let asked: (() => void) | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (asked !== undefined) return asked();
      void stage.world.close().then(() => process.exit(SIGNAL_EXIT + SIGNALS[signal]));
    });
  }
  try {
    showWorld();
    say(dim(`built in ${duration(now() - began)}; each pod, node and client has its own network`));

    heading("The program starts on node1");
    say("It reads Services and EndpointSlices from a directory instead of an API server:");
    quote(stage.command().map(shorten).join(" "));
    const { servesAfter } = await stage.start();
    say(`${duration(servesAfter)} from its start its Services answer, IPv4 and IPv6.`);
    say(`It takes ${stage.memory().toFixed(0)} MB of memory.`);

    for (const scene of [reach, follow, affinity, outlive, admin]) await scene(stage);

    if (keep) {
      invite(stage);
      await new Promise<void>((resolve) => {
        asked = resolve;
      });
    }
  } finally {
    await stage.world.close();
  }
  print("");
  claim(failed() === 0, "everything above is so; the namespaces and all in them are gone again");
  process.exit(failed() === 0 ? 0 : 1);
}

function showWorld(): void {
  const at = (place: Place) => `${place} ${dim(addressOf(place, 4))}`;
  quote(`pods  ${at("a1")}   ${at("a2")}   ${at("a3")}`);
  quote(`        └─ ${at("node1")} ─ ${at("node2")} ─ pods  ${at("b1")}   ${at("b2")}`);
  quote(`             └─ ${at("outside")}   a client that is in no cluster`);
}

function invite(stage: Stage): void {
  const inside = (place: Place) => `ip netns exec ${stage.world.namespace(place)}`;
  heading("It runs on; play with it, and end it with Ctrl-C");
  const { SLUICE_DEMO_USERNS } = process.env;
  if (SLUICE_DEMO_USERNS !== undefined) {
    say("First enter the user namespace it is in:");
    quote(`nsenter --preserve-credentials -U -m -n -t ${process.pid} bash`);
  }
  quote(
    [
      `${inside("outside")} bash -c 'cat </dev/tcp/203.0.113.10/80'`,
      `${inside("a3")} bash -c 'cat </dev/tcp/10.96.0.10/80'`,
      `${inside("node1")} nft list table inet sluice`,
      `${inside("node1")} curl -s http://127.0.0.1:10249/sluice/v1/state`,
      `\${EDITOR:-vi} ${stage.manifests}/web.yaml`,
    ].join("\n"),
  );
}

function shorten(word: string): string {
  return word.startsWith("/") ? relative(process.cwd(), word).replace(/^(\.\.\/)+/, "/") : word;
}

await main(process.argv.includes("--keep"));
