/** Looks for kube-proxy's rules in the network namespace it is started in, removes them if told, and prints what it found. */

import { systemClock as clock } from "../../../src/base/clock.ts";
import { findOtherProxies } from "../../../src/takeover/find-rules.ts";
import { removeKubeProxyRules } from "../../../src/takeover/remove-rules.ts";

const found = await findOtherProxies({ clock });
const removal =
  process.argv[2] === "remove"
    ? await removeKubeProxyRules({ clock, keepRequired: true })
    : undefined;
const left = await findOtherProxies({ clock });
process.stdout.write(`${JSON.stringify({ found, removal, left })}\n`);
