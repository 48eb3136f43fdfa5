/** Prints commands to try in the world of the demo while it runs. */
import type { Location } from "../harness/netns/addresses.ts";
import type { Stage } from "./stage.ts";
import { heading, quote, say } from "./terminal.ts";

/** Prints command lines to paste. Each of them terminates. */
export function printThingsToTry(stage: Stage): void {
  const inside = (place: Location) => `ip netns exec ${stage.world.namespace(place)}`;
  heading("The demo keeps running for you to try commands; end it with Ctrl-C");
  const { SLUICE_DEMO_USERNS } = process.env;
  if (SLUICE_DEMO_USERNS !== undefined) {
    say("First enter its user namespace:");
    quote(`nsenter --preserve-credentials -U -m -n -t ${process.pid} bash`);
  }
  // A pod sends its name immediately and then holds the connection, so read one line.
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
