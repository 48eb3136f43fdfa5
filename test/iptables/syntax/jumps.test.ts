import { describe, expect, test } from "bun:test";
import { jumpsOf } from "../../../src/iptables/rules/fixed-chains.ts";
import { parseSaved } from "../../../src/iptables/syntax/iptables-save.ts";
import { isJump, isOwnJump } from "../../../src/iptables/syntax/jumps.ts";
import { OPTIONS } from "../iptables-world.ts";

const ALL = { ...OPTIONS, randomFully: true, recent: true, sctp: true };

describe.each([true, false])("with comments: %p", (comments) => {
  test.each(jumpsOf({ ...ALL, comments }, 4))("the jump $rule of $from is ours", (jump) => {
    expect(isOwnJump(jump.table, jump.from, jump.rule)).toBe(true);
    const saved = parseSaved(
      `*${jump.table}\n:${jump.from} ACCEPT [0:0]\n-A ${jump.from} ${jump.rule}\n`,
    );
    const [rule] = saved.rules.get(jump.from) ?? [];
    expect(rule !== undefined && isJump(jump.table, jump.from, rule)).toBe(true);
  });
});

test.each([
  ["nat", "OUTPUT", "-s 192.0.2.9/32 -j KUBE-SERVICES"],
  ["nat", "OUTPUT", "-g KUBE-SERVICES"],
  ["nat", "POSTROUTING", "-j KUBE-SERVICES"],
  ["filter", "FORWARD", "-j KUBE-SERVICES"],
  ["filter", "FORWARD", "-m conntrack ! --ctstate NEW -j KUBE-SERVICES"],
  ["filter", "INPUT", "-j KUBE-FIREWALL"],
  ["filter", "INPUT", '-m comment --comment "kubernetes firewall for dropping" -j KUBE-FIREWALL'],
] as const)("in table %s a foreign rule of %s: %s", (table, from, rule) => {
  expect(isOwnJump(table, from, rule)).toBe(false);
});
