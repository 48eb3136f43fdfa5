/** Looks for kube-proxy's rules in the network namespace it is started in, removes them if told, and prints what it found. */
import { findOtherProxies } from "../../../src/apply/kube-proxy/find.ts";
import { removeKubeProxyRules } from "../../../src/apply/kube-proxy/remove.ts";
import { systemClock as clock } from "../../../src/clock.ts";

const found = await findOtherProxies({ clock });
const removal =
  process.argv[2] === "remove"
    ? await removeKubeProxyRules({ clock, keepNeeded: true })
    : undefined;
const left = await findOtherProxies({ clock });
process.stdout.write(`${JSON.stringify({ found, removal, left })}\n`);
