/**
 * Runs in a user namespace, where SO_SNDBUFFORCE is refused. Replaces a table of another layout by
 * one with more elements than one transaction can hold, and prints the results.
 */
import { pipe } from "../../../harness/commands.ts";
import {
  add,
  element,
  named,
  operationList,
  rememberingCore,
} from "../../../harness/core/made-operations.ts";
import { createNftablesBackend } from "../../../src/nftables/nftables-backend.ts";

pipe('table inet sluice { comment "sluice: layout 1, sets 01234567"; }', "nft", "-f", "-");
const backend = createNftablesBackend({
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: false,
  detector: { kind: "cidr" },
});
const max = backend.capabilities.maxOperations;
backend.start(rememberingCore().core);
const owners = named(`namespace/${"x".repeat(117)}`);
const action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: 1 } as const;
const address = (i: number) => `fd00::${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}`;
const frontends = (first: number, count: number) =>
  operationList(
    Array.from({ length: count }, (_, i) =>
      add(1, element("frontends", 6, [address(first + i), "TCP", 80], action)),
    ).flat(),
  );
const whole = backend.apply(frontends(1, 2 * max), owners);
const then = [0, 1].map((round) => backend.apply(frontends(1 + round * max, max), owners).ok);
const { core, adopted } = rememberingCore();
backend.start(core);
console.log(
  JSON.stringify({
    first: { ok: whole.ok, transient: !whole.ok && whole.transient },
    error: whole.ok ? "" : whole.error.message,
    then,
    adopted: adopted().length,
    elements: 2 * max,
  }),
);
