/** What to try in the world of the demo while it runs on. */
import type { Location } from "../harness/netns/addresses.ts";
import type { Stage } from "./stage.ts";
import { heading, quote, say } from "./terminal.ts";

/** Prints command lines that can be pasted; each ends by itself. */
export function printThingsToTry(stage: Stage): void {
  const inside = (place: Location) => `ip netns exec ${stage.world.namespace(place)}`;
  heading("It runs on; play with it, and end it with Ctrl-C");
  const { SLUICE_DEMO_USERNS } = process.env;
  if (SLUICE_DEMO_USERNS !== undefined) {
    say("First enter the user namespace it is in:");
    quote(`nsenter --preserve-credentials -U -m -n -t ${process.pid} bash`);
  }
  // A pod says its name at once and then holds the connection, so read one line.
  const lines = [
    `${inside("outside")} bash -c 'head -n1 </dev/tcp/203.0.113.10/80'`,
    `${inside("a3")} bash -c 'head -n1 </dev/tcp/10.96.0.10/80'`,
  ];
  if (Bun.which("nft") !== null) lines.push(`${inside("node1")} nft list table inet sluice`);
  if (Bun.which("curl") !== null) {
    lines.push(`${inside("node1")} curl -s http://127.0.0.1:10249/sluice/v1/state`);
  }
  quote([...lines, `\${EDITOR:-vi} ${stage.manifests}/web.yaml`].join("\n"));
}
