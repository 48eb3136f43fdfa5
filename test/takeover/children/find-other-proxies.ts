/** Prints what a search for other proxies finds in nf_tables, as JSON. */
import { systemClock } from "../../../src/base/clock.ts";
import { findOtherProxies } from "../../../src/takeover/find-rules.ts";

console.log(JSON.stringify(await findOtherProxies({ clock: systemClock, legacy: [] })));
