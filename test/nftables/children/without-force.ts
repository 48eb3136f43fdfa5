/**
 * Runs in a user namespace, where SO_SNDBUFFORCE is refused. Fills a table with transactions up to
 * the backend's limit, tries a longer one, and prints the results.
 */

import {
  add,
  element,
  named,
  operationList,
  rememberingCore,
} from "../../../harness/core/made-operations.ts";
import { createNftablesBackend } from "../../../src/nftables/nftables-backend.ts";

const backend = createNftablesBackend({
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: false,
  localhostNodePorts: false,
  detector: { kind: "cidr" },
});
backend.probe();
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
const max = backend.capabilities.maxOperations;
const within = [0, 1].map((round) => backend.apply(frontends(1 + round * max, max), owners).ok);
const beyond = backend.apply(frontends(1, 2 * max), owners);
const { core, adopted } = rememberingCore();
backend.start(core);
console.log(
  JSON.stringify({
    max,
    within,
    adopted: adopted().length,
    beyond: beyond.ok || beyond.error.message,
  }),
);
