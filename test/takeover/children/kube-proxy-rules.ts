/**
 * Searches its network namespace for kube-proxy's rules, removes them if requested, and prints the
 * findings.
 */

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
