import { expect, test } from "bun:test";
import { type DropPolicy, describeDropPolicy } from "../../src/takeover/firewall-policy.ts";
import { ACCEPT_CHAINS } from "../../src/takeover/removable-chains.ts";

const [FORWARD, INPUT] = ACCEPT_CHAINS;

function dropPolicy(change: Partial<DropPolicy>): DropPolicy {
  const state = { policyDrops: true, exists: true, hasEffect: true, mark: 0x4000 };
  const where = { family: 4, legacy: false, where: "table ip filter" } as const;
  if (FORWARD === undefined) throw new Error("there is no acceptor");
  return { ...FORWARD, ...state, ...where, ...change };
}

const RULES =
  "iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT";

test.each([
  [
    "of FORWARD names what stays and the rules to add",
    {},
    `policy DROP of chain FORWARD in table ip filter: KUBE-FORWARD, left by an iptables mode, still accepts forwarded packets of Services, but a reboot removes it; add rules that accept them: ${RULES}`,
  ],
  [
    "of FORWARD without kube-proxy's chain names what accepts in its place",
    { exists: false, hasEffect: false, mark: undefined },
    `policy DROP of chain FORWARD in table ip filter: forwarded packets of Services pass only if other rules accept them, for example: ${RULES}`,
  ],
  [
    "of INPUT is reported with the ports that kube-proxy accepted",
    { ...INPUT, mark: undefined },
    "policy DROP of chain INPUT in table ip filter: KUBE-NODEPORTS, left by an iptables mode, still accepts connections to healthCheckNodePorts, but a reboot removes it; add rules that accept them: iptables -A INPUT -p tcp --dport PORT -j ACCEPT",
  ],
  ["of INPUT without them is not reported", { ...INPUT, hasEffect: false }, undefined],
  ["that accepts is not reported", { policyDrops: false }, undefined],
])("a policy %s", (_name, change, text) => {
  expect(describeDropPolicy(dropPolicy(change), 14)).toBe(text);
});

test("rules are for the tool of the family and variant", () => {
  const text = describeDropPolicy(dropPolicy({ family: 6, legacy: true }), 14);
  expect(text).toContain("ip6tables-legacy -A FORWARD -m mark");
});

test.each([
  { name: "with kube-proxy's mark is accepted", bit: 14, mark: 0x4000, said: undefined },
  {
    name: "with another mark is not accepted",
    bit: 15,
    mark: 0x4000,
    said: "KUBE-FORWARD accepts mark 0x4000 and Sluice masquerades with mark 0x8000",
  },
  {
    name: "is not accepted by a chain without a mark",
    bit: 31,
    mark: undefined,
    said: "KUBE-FORWARD accepts no mark and Sluice masquerades with mark 0x80000000",
  },
])("a new connection $name", ({ bit, mark, said }) => {
  const text = describeDropPolicy(dropPolicy({ mark }), bit);
  if (said === undefined) expect(text).not.toContain("until then");
  else
    expect(text).toContain(
      `until then only packets of established connections pass, because ${said}`,
    );
});
