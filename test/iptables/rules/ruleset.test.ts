/** Tests the chains of each kind of Service. */
import { describe, expect, test } from "bun:test";
import { type NodeText, parseRange } from "../../../harness/plan/plan-text.ts";
import type { RulesetOptions } from "../../../src/iptables/rules/fixed-chains.ts";
import type { Family } from "../../../src/net/address.ts";
import { rulesetOf, rulesOf, type Served, snapshot } from "./planned.ts";

interface Case {
  readonly name: string;
  readonly served: Served;
  readonly node?: NodeText;
  readonly options?: Partial<RulesetOptions>;
  readonly family?: Family;
  /** Selects chains by these prefixes of their names. */
  readonly nat?: readonly string[];
  readonly filter?: readonly string[];
  readonly want: string;
}

/** The hash of ns1/svc1:p80. */
const SVC = "XPGD46QRK7WJZT7O";
const PORT = ["p80 tcp 80"];
const NODE_PORT = ["p80 tcp 80 30080"];
const SERVICE = { name: "ns1/svc1", ports: PORT } as const;
const TWO = { cluster: ["10.1.0.6:8080", "10.1.0.5:8080"] };
const BOTH = { cluster: ["10.1.0.5:8080", "10.9.0.5:8080"], local: ["10.1.0.5:8080"] };
const BALANCER = { ...SERVICE, type: "LoadBalancer", vips: ["192.0.2.7"] } as const;
const OUTSIDE_RULE = "! -s 10.0.0.0/8 -m mark ! --mark 0x4000/0x4000 -j KUBE-SVC-OUTSIDE";

const CASES: readonly Case[] = [
  {
    name: "a clusterIP: DNAT in the Service's chain, endpoints in the order of their addresses",
    served: { service: SERVICE, endpoints: TWO },
    nat: ["KUBE-SERVICES", "KUBE-SVC"],
    want: `
      -A KUBE-SERVICES ${OUTSIDE_RULE}
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SVC-OUTSIDE -j MARK --set-xmark 0x4000/0x4000
      -A KUBE-SVC-OUTSIDE -d 10.96.0.1/32 -p tcp -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SVC-OUTSIDE -j MARK --set-xmark 0x0/0x4000
      -A KUBE-SVC-${SVC} -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.1.0.5:8080
      -A KUBE-SVC-${SVC} -p tcp -j DNAT --to-destination 10.1.0.6:8080`,
  },
  {
    name: "masqueradeAll: from every source",
    served: { service: SERVICE, endpoints: { cluster: ["10.1.0.5:8080"] } },
    options: { masqueradeAll: true, comments: false, masqueradeBit: 31 },
    nat: ["KUBE-SERVICES", "KUBE-SVC-OUTSIDE"],
    want: `
      -A KUBE-SERVICES -m mark ! --mark 0x80000000/0x80000000 -j KUBE-SVC-OUTSIDE
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SVC-OUTSIDE -j MARK --set-xmark 0x80000000/0x80000000
      -A KUBE-SVC-OUTSIDE -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SVC-OUTSIDE -j MARK --set-xmark 0x0/0x80000000`,
  },
  ...(
    [
      ["a bridge", "cbr0", false, "! -i cbr0 "],
      ["interfaces of one prefix", "veth", true, "! -i veth+ "],
      ["a prefix as long as a name", "abcdefghijklmno", true, "! -i abcdefghijklmno "],
      ["interfaces of any name: nobody is from outside", "", true, undefined],
    ] as const
  ).map(
    ([name, text, prefix, match]): Case => ({
      name: `pods known by ${name}`,
      served: { service: SERVICE, endpoints: {} },
      options: { detector: { kind: "interface", name: text, prefix } },
      nat: ["KUBE-SERVICES"],
      want:
        match === undefined
          ? ""
          : `-A KUBE-SERVICES ${match}-m mark ! --mark 0x4000/0x4000 -j KUBE-SVC-OUTSIDE`,
    }),
  ),
  {
    name: "without a range of pods nobody is from outside",
    served: { service: SERVICE, endpoints: {} },
    options: { detector: { kind: "cidr" } },
    nat: ["KUBE-SERVICES", "KUBE-SVC-OUTSIDE"],
    want: "",
  },
  {
    name: "a range of everything makes everybody a pod, in words that the tools keep",
    served: { service: { ...BALANCER, eTP: "Local" }, endpoints: BOTH },
    options: { detector: { kind: "cidr", ipv4: parseRange("0.0.0.0/0") }, comments: false },
    nat: ["KUBE-SERVICES", "KUBE-EXT"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SERVICES -d 192.0.2.7/32 -p tcp -m tcp --dport 80 -j KUBE-EXT-${SVC}
      -A KUBE-EXT-${SVC} -j KUBE-SVC-${SVC}
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-SVC-${SVC}
      -A KUBE-EXT-${SVC} -j KUBE-SVL-${SVC}`,
  },
  {
    name: "internalTrafficPolicy Local: the clusterIP has the chain of the node's endpoints",
    served: { service: { ...SERVICE, iTP: "Local" }, endpoints: BOTH },
    options: { comments: false, detector: { kind: "cidr" } },
    nat: ["KUBE-SERVICES", "KUBE-SV"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVL-${SVC}
      -A KUBE-SVL-${SVC} -p tcp -j DNAT --to-destination 10.1.0.5:8080`,
  },
  {
    name: "a node port is masqueraded",
    served: { service: { ...SERVICE, type: "NodePort", ports: NODE_PORT }, endpoints: BOTH },
    node: { nodePortRanges: ["192.168.0.0/16", "172.17.0.1/32"] },
    options: { detector: { kind: "cidr" } },
    nat: ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXT"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SERVICES -d 172.17.0.1/32 -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      -A KUBE-SERVICES -d 192.168.0.0/16 -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      -A KUBE-NODEPORTS -p tcp -m comment --comment "ns1/svc1:p80" -m tcp --dport 30080 -j KUBE-EXT-${SVC}
      -A KUBE-EXT-${SVC} -j KUBE-MARK-MASQ
      -A KUBE-EXT-${SVC} -j KUBE-SVC-${SVC}`,
  },
  {
    name: "localhostNodePorts: on loopback addresses too, from which nothing else may be reached",
    served: { service: { ...SERVICE, type: "NodePort", ports: NODE_PORT }, endpoints: BOTH },
    node: { nodePortRanges: ["192.168.0.2/32"] },
    options: { detector: { kind: "cidr" }, localhostNodePorts: true, comments: false },
    nat: ["KUBE-SERVICES"],
    filter: ["KUBE-FIREWALL"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SERVICES -d 192.168.0.2/32 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      -A KUBE-SERVICES -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`,
  },
  {
    name: "externalTrafficPolicy Local: pods and the node go anywhere, all others stay here with their address",
    served: { service: { ...BALANCER, eTP: "Local" }, endpoints: BOTH },
    nat: ["KUBE-EXT", "KUBE-SVL", `KUBE-SVC-${SVC}`],
    want: `
      -A KUBE-SVC-${SVC} -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.1.0.5:8080
      -A KUBE-SVC-${SVC} -p tcp -j DNAT --to-destination 10.9.0.5:8080
      -A KUBE-SVL-${SVC} -p tcp -j DNAT --to-destination 10.1.0.5:8080
      -A KUBE-EXT-${SVC} -j MARK --set-xmark 0x0/0x4000
      -A KUBE-EXT-${SVC} -s 10.0.0.0/8 -j KUBE-SVC-${SVC}
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-SVC-${SVC}
      -A KUBE-EXT-${SVC} -j KUBE-SVL-${SVC}`,
  },
  {
    name: "externalTrafficPolicy Local without an endpoint here: all others pass untranslated, and are dropped",
    served: { service: { ...BALANCER, eTP: "Local" }, endpoints: { cluster: ["10.9.0.5:8080"] } },
    nat: ["KUBE-EXT"],
    filter: ["KUBE-EXTERNAL-SERVICES"],
    want: `
      -A KUBE-EXT-${SVC} -j MARK --set-xmark 0x0/0x4000
      -A KUBE-EXT-${SVC} -s 10.0.0.0/8 -j KUBE-SVC-${SVC}
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j KUBE-SVC-${SVC}
      -A KUBE-EXTERNAL-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "ns1/svc1:p80 has no local endpoints" -m addrtype ! --src-type LOCAL -m tcp --dport 80 -j DROP`,
  },
  {
    name: "endpoints here and none for pods and the node: nothing leads to a chain that is not there",
    served: { service: { ...BALANCER, eTP: "Local" }, endpoints: { local: ["10.1.0.5:8080"] } },
    nat: ["KUBE-EXT", "KUBE-SVL"],
    want: `
      -A KUBE-SVL-${SVC} -p tcp -j DNAT --to-destination 10.1.0.5:8080
      -A KUBE-EXT-${SVC} -j MARK --set-xmark 0x0/0x4000
      -A KUBE-EXT-${SVC} -s 10.0.0.0/8 -j RETURN
      -A KUBE-EXT-${SVC} -m addrtype --src-type LOCAL -j RETURN
      -A KUBE-EXT-${SVC} -j KUBE-SVL-${SVC}`,
  },
  {
    name: "source ranges: a chain that lets them in, and a rule that drops all others",
    served: {
      service: { ...BALANCER, sourceRanges: ["203.0.113.0/24", "198.51.100.7/32"] },
      endpoints: BOTH,
    },
    options: { detector: { kind: "cidr" } },
    nat: ["KUBE-SERVICES", "KUBE-FW"],
    filter: ["KUBE-PROXY-FIREWALL"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "ns1/svc1:p80 loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-${SVC}
      -A KUBE-FW-${SVC} -s 198.51.100.7/32 -m comment --comment "ns1/svc1:p80 loadbalancer IP" -j KUBE-EXT-${SVC}
      -A KUBE-FW-${SVC} -s 203.0.113.0/24 -m comment --comment "ns1/svc1:p80 loadbalancer IP" -j KUBE-EXT-${SVC}
      -A KUBE-PROXY-FIREWALL -d 192.0.2.7/32 -p tcp -m comment --comment "ns1/svc1:p80 traffic not accepted by KUBE-FW-${SVC}" -m tcp --dport 80 -j DROP`,
  },
  {
    name: "affinity: a chain for each endpoint, in which clients are remembered",
    served: { service: { ...SERVICE, affinity: 10_800 }, endpoints: TWO },
    nat: ["KUBE-SEP-X", "KUBE-SEP-A", `KUBE-SVC-${SVC}`],
    want: `
      -A KUBE-SEP-X4PHUX3MFOMFADKV -p tcp -m recent --set --name KUBE-SEP-X4PHUX3MFOMFADKV --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.1.0.5:8080
      -A KUBE-SEP-AQ5K4ZVSRQWYWVQF -p tcp -m recent --set --name KUBE-SEP-AQ5K4ZVSRQWYWVQF --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.1.0.6:8080
      -A KUBE-SVC-${SVC} -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-X4PHUX3MFOMFADKV --mask 255.255.255.255 --rsource -j KUBE-SEP-X4PHUX3MFOMFADKV
      -A KUBE-SVC-${SVC} -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-AQ5K4ZVSRQWYWVQF --mask 255.255.255.255 --rsource -j KUBE-SEP-AQ5K4ZVSRQWYWVQF
      -A KUBE-SVC-${SVC} -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-X4PHUX3MFOMFADKV
      -A KUBE-SVC-${SVC} -j KUBE-SEP-AQ5K4ZVSRQWYWVQF`,
  },
  {
    name: "nobody serves it: refused where the packet passes by, a clusterIP in one chain, all else in another",
    served: {
      service: {
        ...BALANCER,
        ports: ["p80 tcp 80 30080", "dns udp 53"],
        externalIPs: ["198.51.100.9"],
      },
      endpoints: {},
    },
    filter: ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"],
    want: `
      -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-SERVICES -d 10.96.0.1/32 -p udp -m comment --comment "ns1/svc1:dns has no endpoints" -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-SERVICES -j KUBE-EXTERNAL-SERVICES
      -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "ns1/svc1:p80 has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-EXTERNAL-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-EXTERNAL-SERVICES -d 192.0.2.7/32 -p udp -m comment --comment "ns1/svc1:dns has no endpoints" -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-EXTERNAL-SERVICES -d 198.51.100.9/32 -p tcp -m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      -A KUBE-EXTERNAL-SERVICES -d 198.51.100.9/32 -p udp -m comment --comment "ns1/svc1:dns has no endpoints" -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable`,
  },
  {
    name: "a healthCheckNodePort is accepted",
    served: {
      service: { ...BALANCER, eTP: "Local", healthCheckNodePort: 32_000 },
      endpoints: BOTH,
    },
    node: { opensHealthCheckPorts: true },
    filter: ["KUBE-NODEPORTS"],
    want: "-A KUBE-NODEPORTS -p tcp -m tcp --dport 32000 -j ACCEPT",
  },
  {
    name: "IPv6: its own prefixes, brackets and answers",
    served: {
      service: {
        ...SERVICE,
        type: "NodePort",
        clusterIPs: ["fd00:96::1"],
        ports: ["p80 tcp 80", "old tcp 81"],
        affinity: 5,
      },
      endpoints: [{ cluster: ["[fd00:1::5]:8080"] }, {}],
    },
    node: { nodePortRanges: ["fd00:9::2/128"] },
    options: { localhostNodePorts: true, comments: false },
    family: 6,
    nat: ["KUBE-SERVICES", "KUBE-SEP-6", `KUBE-SVC-${SVC}`],
    filter: ["KUBE-SERVICES", "KUBE-FIREWALL"],
    want: `
      -A KUBE-SERVICES ! -s fd00:1::/32 -m mark ! --mark 0x4000/0x4000 -j KUBE-SVC-OUTSIDE
      -A KUBE-SERVICES -d fd00:96::1/128 -p tcp -m tcp --dport 80 -j KUBE-SVC-${SVC}
      -A KUBE-SERVICES -d fd00:9::2/128 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      -A KUBE-SEP-6A33JQ2DDHO2NRNL -p tcp -m recent --set --name KUBE-SEP-6A33JQ2DDHO2NRNL --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -j DNAT --to-destination [fd00:1::5]:8080
      -A KUBE-SVC-${SVC} -m recent --rcheck --seconds 5 --reap --name KUBE-SEP-6A33JQ2DDHO2NRNL --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -j KUBE-SEP-6A33JQ2DDHO2NRNL
      -A KUBE-SVC-${SVC} -j KUBE-SEP-6A33JQ2DDHO2NRNL
      -A KUBE-SERVICES -d fd00:96::1/128 -p tcp -m tcp --dport 81 -j REJECT --reject-with icmp6-port-unreachable
      -A KUBE-SERVICES -j KUBE-EXTERNAL-SERVICES`,
  },
];

/** The result depends on the order of rules within a chain, but not on the order of chains. */
const byChain = (rules: readonly string[]) =>
  Object.fromEntries([...Map.groupBy(rules, (rule) => rule.split(" ")[1] ?? "")].sort());

test.each(CASES.map((one) => [one.name, one] as const))("%s", (_, one) => {
  const { served, node, options, family, nat = [], filter = [] } = one;
  const { chains } = rulesetOf([served], node, options, family);
  const rules = [...rulesOf(chains, "nat", ...nat), ...rulesOf(chains, "filter", ...filter)];
  const want = one.want
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  expect(byChain(rules)).toEqual(byChain(want));
});

describe("without Services", () => {
  test("upstream's chains exist, and one that marks ours", () => {
    const { chains } = rulesetOf([], {}, { dropInvalid: true });
    expect(snapshot(chains)).toEqual({
      nat: {
        "KUBE-MARK-MASQ": "-j MARK --set-xmark 0x4000/0x4000",
        "KUBE-NODEPORTS": "",
        "KUBE-POSTROUTING": [
          "! -o lo -m mark ! --mark 0x4000/0x4000 -m conntrack --ctstate DNAT -j KUBE-SEP-HAIRPIN",
          "-m mark ! --mark 0x4000/0x4000 -j RETURN",
          "-j MARK --set-xmark 0x0/0x4000",
          '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
        ].join("\n"),
        "KUBE-SEP-HAIRPIN": expect.stringMatching(/ -j RETURN\n-j MASQUERADE --random-fully$/),
        "KUBE-SERVICES": OUTSIDE_RULE,
        "KUBE-SVC-OUTSIDE": "-j MARK --set-xmark 0x4000/0x4000\n-j MARK --set-xmark 0x0/0x4000",
      },
      filter: {
        "KUBE-EXTERNAL-SERVICES": "",
        "KUBE-FORWARD": [
          "-m conntrack --ctstate INVALID -j DROP",
          '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
          '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        ].join("\n"),
        "KUBE-NODEPORTS": "",
        "KUBE-PROXY-FIREWALL": "",
        "KUBE-SERVICES": "-j KUBE-EXTERNAL-SERVICES",
      },
    });
  });

  test("jumps are the same as upstream's, and the kubelet's if loopback addresses are served", () => {
    const rules = (options: Partial<RulesetOptions>, family: Family = 4) =>
      rulesetOf([], {}, options, family).jumps.map(
        ({ table, from, rule }) => `${table} ${from} ${rule}`,
      );
    const usual = rules({});
    expect(usual).toHaveLength(12);
    expect(usual).toContain(
      'filter FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    );
    expect(usual).toContain(
      'nat PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    );
    expect(rules({ comments: false })).toContain("nat PREROUTING -j KUBE-SERVICES");
    const local = rules({ localhostNodePorts: true });
    expect(local.slice(usual.length)).toEqual([
      "filter INPUT -j KUBE-FIREWALL",
      "filter OUTPUT -j KUBE-FIREWALL",
    ]);
    expect(rules({ localhostNodePorts: true }, 6)).toEqual(usual);
  });
});
