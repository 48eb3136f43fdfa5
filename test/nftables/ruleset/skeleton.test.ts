import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pipe, run } from "../../../harness/commands.ts";
import {
  add,
  element,
  named,
  operationList,
  rememberingCore,
} from "../../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import type { LocalDetector, SkeletonOptions } from "../../../src/backend/skeleton-options.ts";
import { type Action, encodeAction } from "../../../src/model/actions.ts";
import { type Cidr, type Family, parseCidr } from "../../../src/net/address.ts";
import { NETLINK_NETFILTER } from "../../../src/netlink/constants.ts";
import { NetlinkSocket } from "../../../src/netlink/socket.ts";
import { createNftablesBackend } from "../../../src/nftables/nftables-backend.ts";
import { readRules } from "../../../src/nftables/read/read-objects.ts";
import { actionChains } from "../../../src/nftables/ruleset/pick-chains.ts";
import { skeleton } from "../../../src/nftables/ruleset/skeleton.ts";
import type { NftRule } from "../../../src/nftables/wire/chains.ts";
import { expressionsOf, printed, withoutFamily, withoutRegisters } from "../expressions-of.ts";

useFreshNetns();

const cidr = (text: string) => parseCidr(text) as Cidr;
const options = (detector: LocalDetector, more: Partial<SkeletonOptions> = {}) => ({
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector,
  ...more,
});
const CIDRS: LocalDetector = {
  kind: "cidr",
  ipv4: cidr("10.244.0.0/16"),
  ipv6: cidr("fd00:10:244::/56"),
};

const VARIANTS: readonly (readonly [string, SkeletonOptions])[] = [
  ["pods by ranges of whole bytes", options(CIDRS)],
  [
    "pods by ranges with a mask",
    options({ kind: "cidr", ipv4: cidr("10.244.0.0/14"), ipv6: cidr("fd00:10:244::/45") }),
  ],
  ["pods of one family only", options({ kind: "cidr", ipv4: cidr("10.244.0.0/16") })],
  ["no detector", options({ kind: "cidr" })],
  ["pods by their bridge", options({ kind: "interface", name: "cni0", prefix: false })],
  ["pods by a prefix of interfaces", options({ kind: "interface", name: "veth", prefix: true })],
  ["everything masqueraded, by bit 0", options(CIDRS, { masqueradeAll: true, masqueradeBit: 0 })],
  ["invalid packets dropped", options(CIDRS, { dropInvalid: true })],
  // nft prints a test of bit 31 as a range, so bit 30 is the last with a plain text.
  ["mark bit 30, without counters", options(CIDRS, { masqueradeBit: 30, counters: false })],
];

/** Rules of a chain as nft prints them. */
function listed(chain: string): string[] {
  return run("nft", "list", "chain", "inet", "sluice", chain)
    .split("\n")
    .filter((text) => text.startsWith("\t\t") && !text.startsWith("\t\ttype "))
    .map((text) => text.trim().replace(/ comment "sluice: rules [0-9a-f]{8}"$/, ""));
}

/** nft requires this before it accepts a port. Our keys contain the protocol. */
function protocolFor(text: string): string {
  if (text.includes("dnat ip")) return "meta l4proto { tcp, udp, sctp } ";
  return text.includes("ct original proto-dst") ? "meta l4proto tcp " : "";
}
/** These look up the frontend before they test the source or the destination. */
const isReordered = (text: string) =>
  /fib (saddr type !=|daddr type) local meta priority set /.test(text);

/**
 * Returns the kernel's form of a rule's text. nft loads it together with our own maps and sets as
 * nft lists them. It cannot use those in the kernel: nft 1.0.6 does not read a map declared by
 * typeof back.
 */
function loadText(socket: NetlinkSocket, { text }: NftRule) {
  const protocol = protocolFor(text);
  const used = [...text.matchAll(/@([a-z0-9-]+)/g)].map(([, name]) => name as string);
  const declared = [...new Set(used)].map((name) => declarations.get(name) ?? "");
  const target = /(?:goto|jump) (\S+)$/.exec(text)?.[1];
  const chains = [target, "unserved4", "unserved6", "reject-connection"].filter(Boolean);
  pipe(
    `flush ruleset
    table inet sluice {
      ${[...new Set(chains)].map((name) => `chain ${name} { }`).join("\n")}
      ${declared.join("\n")}
      chain from-text { ${protocol}${text}; }
    }`,
    ...["nft", "-f", "-"],
  );
  const rule = readRules(socket).find(({ chain }) => chain === "from-text");
  // nft 1.0.6 swaps a single byte, the protocol, before a lookup in intervals. Linux 6.12 refuses
  // that.
  const expressions = withoutFamily(expressionsOf(rule?.expressions ?? new Uint8Array())).filter(
    (expression) => expression.name !== "byteorder",
  );
  // The protocol's test is two expressions.
  return protocol === "" ? expressions : expressions.slice(2);
}

/** All our maps and sets without elements, as nft lists them. */
let declarations = new Map<string, string>();

function listDeclarations(): Map<string, string> {
  const text = run("nft", "-t", "list", "table", "inet", "sluice");
  const found = text.matchAll(/\t(?:map|set) (\S+) \{\n(?:\t\t.*\n)*\t\}/g);
  return new Map([...found].map(([declaration, name]) => [name as string, declaration]));
}

let socket: NetlinkSocket;
beforeEach(() => {
  socket = new NetlinkSocket(NETLINK_NETFILTER);
});
afterEach(() => {
  socket.close();
  run("nft", "flush", "ruleset");
});

describe.each(VARIANTS)("the skeleton with %s", (_name, variant) => {
  beforeEach(() => {
    createNftablesBackend(variant, socket).start(rememberingCore().core);
    declarations = listDeclarations();
  });

  test("is listed by nft as its texts say", () => {
    for (const { name, rules } of skeleton(variant)) {
      expect([name, ...listed(name)]).toEqual([name, ...rules.map(({ text }) => text)]);
    }
  });

  test("is the same as from nft with these texts", () => {
    const kept = readRules(socket);
    for (const { name, rules } of skeleton(variant)) {
      const own = kept.filter(({ chain }) => chain === name);
      for (const [index, rule] of rules.entries()) {
        const ours = withoutFamily(expressionsOf(own[index]?.expressions ?? new Uint8Array()));
        const theirs = loadText(socket, rule);
        const print = isReordered(rule.text) ? withoutRegisters : printed;
        const order = (lines: string[]) => (isReordered(rule.text) ? lines.sort() : lines);
        expect([rule.text, ...order(ours.map(print))]).toEqual([
          rule.text,
          ...order(theirs.map(print)),
        ]);
      }
    }
  });
});

const ACTIONS: readonly Action[] = [
  ...(
    ["endpoints", "local-endpoints", "nodeport-endpoints", "nodeport-local-endpoints"] as const
  ).flatMap((slotTable) =>
    (["plain", "masquerade", "short-circuit"] as const).map(
      (snat): Action => ({ verb: "recall", slotTable, snat, count: 3 }),
    ),
  ),
  ...[1, 59, 60, 61, 3600, 10800, 86_400].map(
    (seconds): Action => ({ verb: "learn", nodePort: false, map: 17, seconds }),
  ),
  { verb: "learn", nodePort: true, map: 17, seconds: 90_061 },
];

describe.each([4, 6] as const)("chains created on demand for IPv%i", (family: Family) => {
  beforeEach(() => {
    const backend = createNftablesBackend(options(CIDRS), socket);
    backend.start(rememberingCore().core);
    const operations = ACTIONS.map((action, index) => {
      const address = family === 4 ? "10.96.0.1" : "fd00:96::1";
      const table = action.verb === "learn" ? "learn" : "frontends";
      return add(1, element(table, family, [address, "TCP", index + 1], action));
    });
    const receipt = backend.apply(operationList(operations.flat()), named("default/web"));
    expect(receipt).toMatchObject({ ok: true });
    declarations = listDeclarations();
  });

  const chains = new Map(
    ACTIONS.flatMap((action) => actionChains(encodeAction(action), family, 14)).map((chain) => [
      chain.name,
      chain,
    ]),
  );

  test.each([...chains.values()])("$name is listed by nft as its texts say", ({ name, rules }) => {
    expect(listed(name)).toEqual(rules.map(({ text }) => text));
  });

  test.each([...chains.values()])(
    "$name is the same as from nft with these texts",
    ({ name, rules }) => {
      const own = readRules(socket).filter(({ chain }) => chain === name);
      for (const [index, rule] of rules.entries()) {
        const ours = withoutFamily(expressionsOf(own[index]?.expressions ?? new Uint8Array()));
        const theirs = loadText(socket, rule);
        expect([rule.text, ...ours.map(printed)]).toEqual([rule.text, ...theirs.map(printed)]);
      }
    },
  );
});
