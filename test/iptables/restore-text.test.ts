import { describe, expect, test } from "bun:test";
import { printRestore, type Step } from "../../src/iptables/restore-text.ts";

const STEPS: readonly Step[] = [
  { kind: "jump", table: "filter", from: "INPUT", rule: '-m comment --comment "a b" -j KUBE-A' },
  {
    kind: "replace",
    table: "nat",
    chain: "KUBE-SVC-A",
    text: "-s 10.0.0.1/32 -j KUBE-SEP-A\n-j ACCEPT",
  },
  { kind: "replace", table: "nat", chain: "KUBE-SVC-B", text: "-j RETURN" },
  { kind: "replace", table: "nat", chain: "KUBE-SEP-A", text: "-j ACCEPT" },
  { kind: "remove", table: "nat", chain: "KUBE-SVC-OLD" },
  { kind: "replace", table: "nat", chain: "KUBE-SERVICES", text: "-j KUBE-SVC-A" },
  { kind: "unjump", table: "nat", from: "OUTPUT", rule: "-j KUBE-SVC-OLD" },
  { kind: "append", table: "filter", chain: "KUBE-FIREWALL", make: true, rules: ["-j DROP"] },
];

describe("the input of iptables-restore", () => {
  const printed = printRestore(STEPS);

  test("has nat first, chains before rules that lead to them, and deletions after the last rule is gone", () => {
    expect(printed.text).toBe(
      `*nat
:KUBE-SVC-OLD - [0:0]
:KUBE-SVC-B - [0:0]
-A KUBE-SVC-B -j RETURN
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
-A KUBE-SVC-A -s 10.0.0.1/32 -j KUBE-SEP-A
-A KUBE-SVC-A -j ACCEPT
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -j KUBE-SVC-A
-A KUBE-SEP-A -j ACCEPT
-D OUTPUT -j KUBE-SVC-OLD
-X KUBE-SVC-OLD
COMMIT
*filter
-N KUBE-FIREWALL
-A KUBE-FIREWALL -j DROP
-I INPUT -m comment --comment "a b" -j KUBE-A
COMMIT
`,
    );
  });

  test.each([
    [0, undefined, undefined],
    [1, undefined, undefined],
    [2, "remove", undefined],
    [5, "replace", undefined],
    [7, "replace", 0],
    [8, "replace", 1],
    [12, "unjump", undefined],
    [13, "remove", undefined],
    [14, undefined, undefined],
    [17, "append", 0],
    [18, "jump", undefined],
    [19, undefined, undefined],
    [20, undefined, undefined],
  ] as const)("attributes line %d to step %s, rule %s", (line, kind, rule) => {
    const place = printed.place(line);
    expect(place?.step.kind).toBe(kind);
    expect(place?.rule).toBe(rule);
  });

  test("returns the words of a line", () => {
    expect(printed.words(8)).toBe("-A KUBE-SVC-A -j ACCEPT");
    expect(printed.words(99)).toBe("");
  });

  test("is empty if there is nothing to do", () => {
    expect(printRestore([]).text).toBe("\n");
  });
});
