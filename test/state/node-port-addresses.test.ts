import { describe, expect, test } from "bun:test";
import { parseIp, parseRange } from "../../harness/plan/plan-text.ts";
import { printAddress } from "../../src/net/address.ts";
import { nodePortAddresses } from "../../src/state/node-port-addresses.ts";

const INTERFACES = [
  "127.0.0.1",
  "::1",
  "192.168.0.10",
  "10.0.3.1",
  "fe80::1",
  "fd00:9::1",
  "192.168.0.10",
  "127.8.9.1",
];

interface Case {
  readonly name: string;
  readonly option: "primary" | readonly string[];
  readonly primary?: readonly string[];
  readonly want: string;
}

const ALL4 = "10.0.3.1 192.168.0.10";
const ALL6 = "fd00:9::1 fe80::1";
const CASES: readonly Case[] = [
  { name: "an empty list serves every address but loopback", option: [], want: `${ALL4} ${ALL6}` },
  {
    name: "0.0.0.0/0 and ::/0 do the same",
    option: ["0.0.0.0/0", "::/0"],
    want: `${ALL4} ${ALL6}`,
  },
  {
    name: "a family without a range is served on all its addresses",
    option: ["192.168.0.0/24"],
    want: `192.168.0.10 ${ALL6}`,
  },
  {
    name: "each family by its ranges",
    option: ["10.0.0.0/8", "192.168.0.10/32", "fd00::/8"],
    want: "10.0.3.1 192.168.0.10 fd00:9::1",
  },
  {
    name: "loopback is never served, even when asked for",
    option: ["127.0.0.0/8", "::1/128"],
    want: "",
  },
  {
    name: "a range with no address of ours serves none",
    option: ["198.51.100.0/24", "fd00::/8"],
    want: "fd00:9::1",
  },
  {
    name: "primary is the node's own address of each family",
    option: "primary",
    primary: ["192.168.0.10", "fd00:9::1"],
    want: "192.168.0.10 fd00:9::1",
  },
  {
    name: "primary of a node with addresses of one family serves none of the other",
    option: "primary",
    primary: ["192.168.0.10"],
    want: "192.168.0.10",
  },
  {
    name: "primary of an unknown node serves everything",
    option: "primary",
    want: `${ALL4} ${ALL6}`,
  },
  {
    name: "a primary address on loopback counts as unknown",
    option: "primary",
    primary: ["127.0.0.1", "fd00:9::1"],
    want: "fd00:9::1",
  },
  {
    name: "loopback as the only primary address is an unknown node",
    option: "primary",
    primary: ["127.0.0.1"],
    want: `${ALL4} ${ALL6}`,
  },
  {
    name: "a primary address that no interface has serves nothing",
    option: "primary",
    primary: ["203.0.113.7", "fd00:9::1"],
    want: "fd00:9::1",
  },
];

describe("addresses that serve node ports", () => {
  test.each(CASES.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const option =
      one.option === "primary"
        ? { primary: true, cidrs: [] }
        : { primary: false, cidrs: one.option.map(parseRange) };
    const primary = Object.fromEntries(
      (one.primary ?? []).map(parseIp).map((own) => [own.family, own]),
    );
    const served = nodePortAddresses(option, primary, INTERFACES.map(parseIp));
    expect(served.map(({ bytes }) => printAddress(bytes)).join(" ")).toBe(one.want);
  });
});
