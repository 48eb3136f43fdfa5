/** Tests packets that reach no endpoint, source ranges, and hairpins. */
import { describe, expect, test } from "bun:test";
import {
  buildService,
  type ChoiceText,
  planText,
  type ServiceText,
} from "../../harness/plan/plan-text.ts";
import { trace } from "../../harness/plan/tracer.ts";

const NODE = {
  nodeAddresses: ["192.168.0.2", "172.17.0.1", "fd00:9::2"],
  pods: "10.0.0.0/8",
  masqueradeAll: false,
};
const POD = "10.0.0.2";
const OUTSIDE = "203.0.113.2";
const SELF = "192.168.0.2";

const BALANCER = {
  type: "LoadBalancer",
  clusterIPs: ["172.30.0.1"],
  vips: ["1.2.3.4"],
  externalIPs: ["198.51.100.9"],
  ports: ["p tcp 80 3001"],
} as const;
const REMOTE: ChoiceText = { cluster: ["10.180.1.1:80"] };
const BOTH: ChoiceText = { cluster: ["10.180.0.1:80", "10.180.1.1:80"], local: ["10.180.0.1:80"] };
/** `from to port` of every frontend of BALANCER. */
const CLUSTER_IP = "172.30.0.1 tcp 80";
const VIP = "1.2.3.4 tcp 80";
const EXTERNAL_IP = "198.51.100.9 tcp 80";
const NODE_PORT = "192.168.0.2 tcp 3001";

interface Case {
  readonly name: string;
  readonly service: ServiceText;
  readonly endpoints: ChoiceText;
  /** `source frontend`, and the packet's end: endpoints separated by spaces, or a word. */
  readonly outcomes: readonly (readonly [string, string, string])[];
}

const CASES: readonly Case[] = [
  {
    name: "no endpoint anywhere: everybody is refused at once, on every frontend",
    service: { ...BALANCER, eTP: "Local", iTP: "Local" },
    endpoints: {},
    outcomes: [POD, OUTSIDE, SELF].flatMap((from) =>
      [CLUSTER_IP, VIP, EXTERNAL_IP, NODE_PORT].map((to) => [from, to, "reject"] as const),
    ),
  },
  {
    name: "externalTrafficPolicy Local, none here: outside is dropped, pods and the node go elsewhere",
    service: { ...BALANCER, eTP: "Local" },
    endpoints: REMOTE,
    outcomes: [VIP, EXTERNAL_IP, NODE_PORT].flatMap((to) => [
      [OUTSIDE, to, "drop"] as const,
      [POD, to, "10.180.1.1:80"] as const,
      [SELF, to, "10.180.1.1:80*"] as const,
    ]),
  },
  {
    name: "externalTrafficPolicy Local, the endpoint has the VIP itself: only outside is dropped",
    service: { ...BALANCER, eTP: "Local" },
    endpoints: { cluster: ["1.2.3.4:80"] },
    outcomes: [
      [OUTSIDE, VIP, "drop"],
      [POD, VIP, "1.2.3.4:80"],
      [SELF, VIP, "1.2.3.4:80*"],
      [OUTSIDE, EXTERNAL_IP, "drop"],
      [POD, EXTERNAL_IP, "1.2.3.4:80"],
      [OUTSIDE, NODE_PORT, "drop"],
      [POD, CLUSTER_IP, "1.2.3.4:80"],
      [OUTSIDE, CLUSTER_IP, "1.2.3.4:80 drop"],
    ],
  },
  {
    name: "an endpoint that is itself a clusterIP or unallocated: refused after translation",
    service: BALANCER,
    endpoints: { cluster: ["172.30.0.1:81", "172.30.0.99:80", "192.168.0.2:3001"] },
    outcomes: [
      [POD, CLUSTER_IP, "172.30.0.1:81 reject 172.30.0.99:80 drop 192.168.0.2:3001"],
      [OUTSIDE, VIP, "172.30.0.1:81 reject 172.30.0.99:80 drop 192.168.0.2:3001*"],
    ],
  },
  {
    name: "internalTrafficPolicy Local, none here: the clusterIP is dropped, external frontends are not",
    service: { ...BALANCER, iTP: "Local" },
    endpoints: REMOTE,
    outcomes: [
      [POD, CLUSTER_IP, "drop"],
      [SELF, CLUSTER_IP, "drop"],
      [OUTSIDE, CLUSTER_IP, "drop"],
      [POD, VIP, "10.180.1.1:80*"],
      [OUTSIDE, NODE_PORT, "10.180.1.1:80*"],
    ],
  },
  {
    name: "a port of a clusterIP that nobody serves is rejected, an unallocated clusterIP dropped",
    service: BALANCER,
    endpoints: BOTH,
    outcomes: [
      [POD, "172.30.0.1 tcp 81", "reject"],
      [SELF, "172.30.0.1 udp 80", "reject"],
      [POD, "172.30.0.99 tcp 80", "drop"],
      [POD, "8.8.8.8 tcp 80", "untranslated"],
      [OUTSIDE, "1.2.3.4 tcp 81", "untranslated"],
    ],
  },
  {
    name: "node ports are served on the chosen addresses of the node only",
    service: BALANCER,
    endpoints: BOTH,
    outcomes: [
      [OUTSIDE, NODE_PORT, "10.180.0.1:80* 10.180.1.1:80*"],
      [OUTSIDE, "172.17.0.1 tcp 3001", "untranslated"],
      [OUTSIDE, "192.168.0.2 udp 3001", "untranslated"],
      [OUTSIDE, "192.168.0.2 tcp 22", "untranslated"],
    ],
  },
  {
    name: "a pod that is sent to itself is masqueraded, and only then",
    service: BALANCER,
    endpoints: BOTH,
    outcomes: [
      ["10.180.0.1", CLUSTER_IP, "10.180.0.1:80* 10.180.1.1:80"],
      ["10.180.1.1", CLUSTER_IP, "10.180.0.1:80 10.180.1.1:80*"],
      ["10.180.0.2", CLUSTER_IP, "10.180.0.1:80 10.180.1.1:80"],
    ],
  },
  {
    name: "source ranges drop strangers at the VIP, before any choice, and nowhere else",
    service: { ...BALANCER, sourceRanges: ["203.0.113.0/24"] },
    endpoints: BOTH,
    outcomes: [
      [OUTSIDE, VIP, "10.180.0.1:80* 10.180.1.1:80*"],
      [POD, VIP, "drop"],
      [SELF, VIP, "drop"],
      ["203.0.114.1", VIP, "drop"],
      ["203.0.114.1", NODE_PORT, "10.180.0.1:80* 10.180.1.1:80*"],
      ["203.0.114.1", EXTERNAL_IP, "10.180.0.1:80* 10.180.1.1:80*"],
      [POD, CLUSTER_IP, "10.180.0.1:80 10.180.1.1:80"],
    ],
  },
  {
    name: "source ranges with the node in them let the VIP itself in",
    service: { ...BALANCER, sourceRanges: ["192.168.0.0/16"] },
    endpoints: BOTH,
    outcomes: [
      [SELF, VIP, "10.180.0.1:80* 10.180.1.1:80*"],
      ["1.2.3.4", VIP, "10.180.0.1:80* 10.180.1.1:80*"],
      [OUTSIDE, VIP, "drop"],
    ],
  },
  {
    name: "source ranges drop strangers although there are no endpoints",
    service: { ...BALANCER, sourceRanges: ["203.0.113.0/24"] },
    endpoints: {},
    outcomes: [
      [OUTSIDE, VIP, "reject"],
      [POD, VIP, "drop"],
    ],
  },
  {
    name: "an IPv6 Service behaves the same",
    service: {
      type: "NodePort",
      clusterIPs: ["fd00:30::1"],
      externalIPs: ["2001:db8::9"],
      ports: ["p tcp 80 3001"],
      eTP: "Local",
    },
    endpoints: { cluster: ["[fd00:1::1]:80", "[fd00:2::1]:80"], local: ["[fd00:1::1]:80"] },
    outcomes: [
      ["2001:db8::5", "2001:db8::9 tcp 80", "[fd00:1::1]:80"],
      ["2001:db8::5", "fd00:9::2 tcp 3001", "[fd00:1::1]:80"],
      ["2001:db8::5", "fd00:30::99 tcp 80", "drop"],
      ["fd00:1::1", "fd00:30::1 tcp 80", "[fd00:1::1]:80* [fd00:2::1]:80*"],
    ],
  },
];

describe("packets", () => {
  test.each(CASES.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const plan = planText([{ service: buildService(one.service), endpoints: one.endpoints }], {
      primary: [SELF],
      nodePortRanges: ["192.168.0.0/16", "fd00:9::/64"],
      serviceCidrs: ["172.30.0.0/16", "fd00:30::/112"],
    });
    for (const [from, frontend, want] of one.outcomes) {
      const [to = "", protocol, port] = frontend.split(" ");
      const outcome = trace(plan, NODE, { from, to, port: `${protocol} ${port}` });
      const text = typeof outcome === "string" ? outcome : outcome.join(" ");
      expect(`${from} to ${frontend}: ${text}`).toBe(`${from} to ${frontend}: ${want}`);
    }
  });
});
