import { expect, test } from "bun:test";
import { parseSaved, printRemoval } from "../../../src/iptables/syntax/iptables-save.ts";

test.each([
  { rule: "-j KUBE-SERVICES", target: "KUBE-SERVICES", comment: undefined },
  { rule: "-s 10.0.0.0/8 -g THERE", target: "THERE", comment: undefined },
  { rule: "-p tcp -m tcp --dport 22", target: undefined, comment: undefined },
  { rule: '-m comment --comment "a b" -j X', target: "X", comment: "a b" },
  { rule: "-m comment --comment word -j X", target: "X", comment: "word" },
  { rule: '-m comment --comment "-j NOT" -j X', target: "X", comment: "-j NOT" },
  { rule: "-m comment --comment -j -j X", target: "X", comment: "-j" },
  {
    rule: '-m comment --comment "it \\"says\\" \\\\ so" -j X',
    target: "X",
    comment: 'it "says" \\ so',
  },
])("a saved rule $rule leads to $target", ({ rule, target, comment }) => {
  const { rules } = parseSaved(`*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING ${rule}\nCOMMIT\n`);
  expect(rules.get("PREROUTING")).toMatchObject([{ id: rule, target, comment }]);
});

test("the output of iptables -S for a chain is parsed the same way, and so is the mark of a rule", () => {
  const rule = "-m mark --mark 0x4000/0x4000 -j ACCEPT";
  expect(parseSaved(`-P FORWARD DROP\n-A FORWARD ${rule}\n-N MINE\n`)).toEqual({
    chains: [
      { name: "FORWARD", base: true, drops: true },
      { name: "MINE", base: false, drops: false },
    ],
    rules: new Map([
      ["FORWARD", [{ id: rule, target: "ACCEPT", comment: undefined, mark: 0x4000, text: rule }]],
    ]),
  });
});

test("user-defined chains have no policy, and an empty rule is a rule", () => {
  const { chains, rules } = parseSaved(
    "# made by hand\n*filter\n:FORWARD DROP [1:60]\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\n-A MINE\nCOMMIT\n",
  );
  expect(chains).toEqual([
    { name: "FORWARD", base: true, drops: true },
    { name: "INPUT", base: true, drops: false },
    { name: "MINE", base: false, drops: false },
  ]);
  expect(rules.get("MINE")).toEqual([
    { id: "", target: undefined, comment: undefined, mark: undefined, text: "" },
  ]);
});

test("removed chains are flushed, then dereferenced, then deleted, in one transaction", () => {
  const leftovers = {
    jumps: [{ chain: "OUTPUT", id: '-m comment --comment "kubernetes x" -j A' }],
    chains: ["A", "B"],
    kept: ["C"],
    removedRequired: [],
  };
  expect(printRemoval("nat", leftovers)).toBe(
    '*nat\n:A - [0:0]\n:B - [0:0]\n-D OUTPUT -m comment --comment "kubernetes x" -j A\n-X A\n-X B\nCOMMIT\n',
  );
});
