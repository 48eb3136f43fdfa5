import { describe, expect, test } from "bun:test";
import {
  buildService,
  type ChoiceText,
  lines,
  type NodeText,
  planText,
  type ServiceText,
} from "../../harness/plan/plan-text.ts";

interface Case {
  readonly name: string;
  readonly services: readonly ServiceText[];
  /** One for each Service; a list inside: one for each port. */
  readonly endpoints: readonly (ChoiceText | readonly ChoiceText[])[];
  readonly node?: NodeText;
  readonly want: string;
}

const BOTH: ChoiceText = { cluster: ["10.1.0.5:8080", "10.1.1.5:8080"], local: ["10.1.0.5:8080"] };
const REMOTE: ChoiceText = { cluster: ["10.1.1.5:8080"] };
const NONE: ChoiceText = {};
const LB = { type: "LoadBalancer", vips: ["1.2.3.4"] } as const;
const NODE_PORT = { type: "NodePort", ports: ["http tcp 80 30080"] } as const;
const DUAL: ChoiceText = {
  cluster: ["10.1.0.5:8080", "[fd00:1::5]:8080", "[fd00:1::6]:8080"],
  local: ["10.1.0.5:8080", "[fd00:1::6]:8080"],
};
const WITHOUT_ENDPOINTS = `
  cluster-ips4 10.96.0.1 (default/web)
  no-endpoints4 10.96.0.1 tcp 80 -> reject (default/web)`;
const CLUSTER_IP = `
  cluster-ips4 10.96.0.1 (default/web)
  endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
  endpoints4 10.96.0.1 tcp 80 slot 1 -> 10.1.1.5:8080
  frontends4 10.96.0.1 tcp 80 -> pick endpoints 2 (default/web)`;

const FRONTENDS: readonly Case[] = [
  {
    name: "a clusterIP is one action and a slot for each endpoint",
    services: [{}],
    endpoints: [BOTH],
    want: CLUSTER_IP,
  },
  {
    name: "a Service without ports has no frontends, and its clusterIP is not served",
    services: [{ ports: [] }],
    endpoints: [BOTH],
    want: "",
  },
  {
    name: "the same number may serve TCP, UDP and SCTP, each with its own endpoints",
    services: [{ ports: ["a tcp 53", "b udp 53", "c sctp 53"] }],
    endpoints: [
      [
        { cluster: ["10.1.0.5:5353"] },
        { cluster: ["10.1.0.5:5354"] },
        { cluster: ["10.1.0.5:5355", "10.1.0.6:5355"] },
      ],
    ],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 sctp 53 slot 0 -> 10.1.0.5:5355
      endpoints4 10.96.0.1 sctp 53 slot 1 -> 10.1.0.6:5355
      endpoints4 10.96.0.1 tcp 53 slot 0 -> 10.1.0.5:5353
      endpoints4 10.96.0.1 udp 53 slot 0 -> 10.1.0.5:5354
      frontends4 10.96.0.1 sctp 53 -> pick endpoints 2 (default/web)
      frontends4 10.96.0.1 tcp 53 -> pick endpoints 1 (default/web)
      frontends4 10.96.0.1 udp 53 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "a dual-stack Service has a clusterIP and endpoints of each family",
    services: [{ clusterIPs: ["10.96.0.1", "fd00::1"] }],
    endpoints: [DUAL],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      cluster-ips6 fd00::1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints6 fd00::1 tcp 80 slot 0 -> [fd00:1::5]:8080
      endpoints6 fd00::1 tcp 80 slot 1 -> [fd00:1::6]:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      frontends6 fd00::1 tcp 80 -> pick endpoints 2 (default/web)`,
  },
  {
    name: "a family without a clusterIP is not served: its externalIPs and VIPs are ignored",
    services: [{ ...LB, externalIPs: ["fd00::99"], vips: ["fd00::98"], ports: ["- tcp 80 30080"] }],
    endpoints: [BOTH],
    want: `${CLUSTER_IP}
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 1 -> 10.1.1.5:8080
      nodeports4 tcp 30080 -> pick nodeport-endpoints 2 masquerade (default/web)`,
  },
  {
    name: "one family without endpoints is rejected while the other is served",
    services: [{ clusterIPs: ["fd00::1", "10.96.0.1"] }],
    endpoints: [{ cluster: ["10.1.0.5:8080", "10.1.1.5:8080"] }],
    want: `${CLUSTER_IP}
      cluster-ips6 fd00::1 (default/web)
      no-endpoints6 fd00::1 tcp 80 -> reject (default/web)`,
  },
  {
    name: "externalIPs are served for any type, masqueraded for everybody",
    services: [{ externalIPs: ["203.0.113.250"] }],
    endpoints: [BOTH],
    want: `${CLUSTER_IP}
      endpoints4 203.0.113.250 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 203.0.113.250 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 203.0.113.250 tcp 80 -> pick endpoints 2 masquerade (default/web)`,
  },
  {
    name: "an externalIP in upper case is the same address",
    services: [{ clusterIPs: ["fd00::1"], externalIPs: ["2001:DB8::cb00:71fa"] }],
    endpoints: [{ cluster: ["[fd00:1::5]:8080"] }],
    want: `
      cluster-ips6 fd00::1 (default/web)
      endpoints6 2001:db8::cb00:71fa tcp 80 slot 0 -> [fd00:1::5]:8080
      endpoints6 fd00::1 tcp 80 slot 0 -> [fd00:1::5]:8080
      frontends6 2001:db8::cb00:71fa tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends6 fd00::1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "a node port has its own tables, without an address",
    services: [NODE_PORT],
    endpoints: [BOTH],
    want: `${CLUSTER_IP}
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 1 -> 10.1.1.5:8080
      nodeports4 tcp 30080 -> pick nodeport-endpoints 2 masquerade (default/web)`,
  },
  {
    name: "one node port number may serve two protocols",
    services: [{ type: "NodePort", ports: ["a tcp 80 30080", "b udp 80 30080"] }],
    endpoints: [[{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }]],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.1 udp 80 slot 0 -> 10.1.0.5:2
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      frontends4 10.96.0.1 udp 80 -> pick endpoints 1 (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:1
      nodeport-endpoints4 udp 30080 slot 0 -> 10.1.0.5:2
      nodeports4 tcp 30080 -> pick nodeport-endpoints 1 masquerade (default/web)
      nodeports4 udp 30080 -> pick nodeport-endpoints 1 masquerade (default/web)`,
  },
  {
    name: "a node port left over in a ClusterIP Service is not served",
    services: [{ ports: ["http tcp 80 30080"] }],
    endpoints: [BOTH],
    want: CLUSTER_IP,
  },
  {
    name: "a load balancer may have several VIPs",
    services: [{ ...LB, vips: ["1.2.3.4", "1.2.3.5"] }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 1.2.3.5 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends4 1.2.3.5 tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "a load balancer without node ports (allocateLoadBalancerNodePorts: false) is its VIPs alone",
    services: [LB],
    endpoints: [BOTH],
    want: `${CLUSTER_IP}
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 1.2.3.4 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 2 masquerade (default/web)`,
  },
  {
    name: "an address that is externalIP and VIP is one frontend",
    services: [{ ...LB, externalIPs: ["1.2.3.4", "1.2.3.4"] }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "of two ports with the same frontend the later one wins",
    services: [{ ports: ["a tcp 80", "b tcp 80"] }],
    endpoints: [[{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }]],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:2
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "of two ports with the same name and protocol only the later one is served",
    services: [{ ports: ["a tcp 80", "a tcp 81", "a udp 80"] }],
    endpoints: [
      [{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }, { cluster: ["10.1.0.5:3"] }],
    ],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 81 slot 0 -> 10.1.0.5:2
      endpoints4 10.96.0.1 udp 80 slot 0 -> 10.1.0.5:3
      frontends4 10.96.0.1 tcp 81 -> pick endpoints 1 (default/web)
      frontends4 10.96.0.1 udp 80 -> pick endpoints 1 (default/web)`,
  },
];

const POLICIES: readonly Case[] = [
  {
    name: "no usable endpoint anywhere: every frontend is rejected, whatever the policies",
    services: [
      {
        ...LB,
        ports: ["http tcp 80 30080"],
        externalIPs: ["203.0.113.1"],
        eTP: "Local",
        iTP: "Local",
      },
    ],
    endpoints: [NONE],
    want: `${WITHOUT_ENDPOINTS}
      no-endpoints4 1.2.3.4 tcp 80 -> reject (default/web)
      no-endpoints4 203.0.113.1 tcp 80 -> reject (default/web)
      nodeports-no-endpoints4 tcp 30080 -> reject (default/web)`,
  },
  {
    name: "no usable endpoint anywhere, externalTrafficPolicy Cluster",
    services: [{ ...LB, ports: ["http tcp 80 30080"], externalIPs: ["203.0.113.1"] }],
    endpoints: [NONE],
    want: `${WITHOUT_ENDPOINTS}
      no-endpoints4 1.2.3.4 tcp 80 -> reject (default/web)
      no-endpoints4 203.0.113.1 tcp 80 -> reject (default/web)
      nodeports-no-endpoints4 tcp 30080 -> reject (default/web)`,
  },
  {
    name: "internalTrafficPolicy Local: the clusterIP chooses among local endpoints",
    services: [{ iTP: "Local" }],
    endpoints: [BOTH],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "internalTrafficPolicy Local, endpoints elsewhere only: the clusterIP is dropped",
    services: [{ iTP: "Local" }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      no-endpoints4 10.96.0.1 tcp 80 -> drop (default/web)`,
  },
  {
    name: "internalTrafficPolicy Local does not touch external frontends",
    services: [{ ...LB, ports: ["http tcp 80 30080"], externalIPs: ["203.0.113.1"], iTP: "Local" }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends4 203.0.113.1 tcp 80 -> pick endpoints 1 masquerade (default/web)
      no-endpoints4 10.96.0.1 tcp 80 -> drop (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.1.5:8080
      nodeports4 tcp 30080 -> pick nodeport-endpoints 1 masquerade (default/web)`,
  },
  {
    name: "externalTrafficPolicy Local: outside sources stay on this node, pods and the node do not",
    services: [{ ...LB, ports: ["http tcp 80 30080"], externalIPs: ["203.0.113.1"], eTP: "Local" }],
    endpoints: [BOTH],
    want: `${CLUSTER_IP}
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 1.2.3.4 tcp 80 slot 1 -> 10.1.1.5:8080
      endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 203.0.113.1 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 2 short-circuit (default/web)
      frontends4 203.0.113.1 tcp 80 -> pick endpoints 2 short-circuit (default/web)
      local-endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
      local-endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 1 -> 10.1.1.5:8080
      nodeport-local-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeports-outside4 tcp 30080 -> pick nodeport-local-endpoints 1 (default/web)
      nodeports4 tcp 30080 -> pick nodeport-endpoints 2 short-circuit (default/web)
      outside4 1.2.3.4 tcp 80 -> pick local-endpoints 1 (default/web)
      outside4 203.0.113.1 tcp 80 -> pick local-endpoints 1 (default/web)`,
  },
  {
    name: "externalTrafficPolicy Local, endpoints elsewhere only: outside passes untranslated to a drop",
    services: [{ ...LB, ports: ["http tcp 80 30080"], eTP: "Local" }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 short-circuit (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      no-endpoints4 1.2.3.4 tcp 80 -> drop-outside (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.1.5:8080
      nodeports-no-endpoints4 tcp 30080 -> drop-outside (default/web)
      nodeports-outside4 tcp 30080 -> accept (default/web)
      nodeports4 tcp 30080 -> pick nodeport-endpoints 1 short-circuit (default/web)
      outside4 1.2.3.4 tcp 80 -> accept (default/web)`,
  },
  {
    name: "externalTrafficPolicy Local and internalTrafficPolicy Local, each for its own frontends",
    services: [{ ...LB, eTP: "Local", iTP: "Local" }],
    endpoints: [BOTH],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 1.2.3.4 tcp 80 slot 1 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 2 short-circuit (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      local-endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
      outside4 1.2.3.4 tcp 80 -> pick local-endpoints 1 (default/web)`,
  },
  {
    name: "externalTrafficPolicy Local counts for a ClusterIP Service with externalIPs",
    services: [{ externalIPs: ["203.0.113.1"], eTP: "Local" }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      frontends4 203.0.113.1 tcp 80 -> pick endpoints 1 short-circuit (default/web)
      no-endpoints4 203.0.113.1 tcp 80 -> drop-outside (default/web)
      outside4 203.0.113.1 tcp 80 -> accept (default/web)`,
  },
  {
    name: "externalTrafficPolicy Local left over in a ClusterIP Service with a VIP means nothing",
    services: [{ vips: ["1.2.3.4"], eTP: "Local" }],
    endpoints: [REMOTE],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)`,
  },
  {
    name: "hints narrow the cluster's choice, not the local one",
    services: [{ ...NODE_PORT, eTP: "Local" }],
    endpoints: [{ cluster: ["10.1.1.5:8080"], local: ["10.1.0.5:8080", "10.1.0.6:8080"] }],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.1.5:8080
      nodeport-local-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-local-endpoints4 tcp 30080 slot 1 -> 10.1.0.6:8080
      nodeports-outside4 tcp 30080 -> pick nodeport-local-endpoints 2 (default/web)
      nodeports4 tcp 30080 -> pick nodeport-endpoints 1 short-circuit (default/web)`,
  },
  {
    name: "a local terminating endpoint serves outside while ready ones elsewhere serve the cluster",
    services: [{ ...LB, eTP: "Local" }],
    endpoints: [{ cluster: ["10.1.1.5:8080"], local: ["10.1.0.9:8080"] }],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 short-circuit (default/web)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      local-endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.9:8080
      outside4 1.2.3.4 tcp 80 -> pick local-endpoints 1 (default/web)`,
  },
  {
    name: "endpoints of a weighted choice may repeat: each is a slot",
    services: [{}],
    endpoints: [{ cluster: ["10.1.0.5:8080", "10.1.1.5:8080", "10.1.0.5:8080"] }],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 1 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 2 -> 10.1.0.5:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 3 (default/web)`,
  },
];

const VIP = `${CLUSTER_IP}
  endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:8080
  endpoints4 1.2.3.4 tcp 80 slot 1 -> 10.1.1.5:8080
  frontends4 1.2.3.4 tcp 80 -> pick endpoints 2 masquerade (default/web)`;

const SOURCE_RANGES: readonly Case[] = [
  {
    name: "source ranges guard the VIPs, and neither node port, externalIP nor clusterIP",
    services: [
      {
        ...LB,
        ports: ["http tcp 80 30080"],
        externalIPs: ["203.0.113.1"],
        sourceRanges: ["198.51.100.0/24", "192.0.2.7/32"],
      },
    ],
    endpoints: [BOTH],
    want: `${VIP}
      allowed-sources4 1.2.3.4 tcp 80 from 192.0.2.7/32 (default/web)
      allowed-sources4 1.2.3.4 tcp 80 from 198.51.100.0/24 (default/web)
      endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 203.0.113.1 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 203.0.113.1 tcp 80 -> pick endpoints 2 masquerade (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 1 -> 10.1.1.5:8080
      nodeports4 tcp 30080 -> pick nodeport-endpoints 2 masquerade (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)`,
  },
  {
    name: "a range of everything lifts the restriction",
    services: [{ ...LB, sourceRanges: ["198.51.100.0/24", "0.0.0.0/0"] }],
    endpoints: [BOTH],
    want: VIP,
  },
  {
    name: "two halves of everything are two ranges",
    services: [{ ...LB, sourceRanges: ["0.0.0.0/1", "128.0.0.0/1"] }],
    endpoints: [BOTH],
    want: `${VIP}
      allowed-sources4 1.2.3.4 tcp 80 from 0.0.0.0/1 (default/web)
      allowed-sources4 1.2.3.4 tcp 80 from 128.0.0.0/1 (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)`,
  },
  {
    name: "ranges of the other family only do not restrict",
    services: [{ ...LB, sourceRanges: ["2001:db8::/32", "::/0"] }],
    endpoints: [BOTH],
    want: VIP,
  },
  {
    name: "each family has its own ranges; one of everything in IPv6 leaves IPv4 restricted",
    services: [
      {
        ...LB,
        clusterIPs: ["10.96.0.1", "fd00::1"],
        vips: ["1.2.3.4", "2001:db8::4"],
        sourceRanges: ["198.51.100.0/24", "::/0"],
      },
    ],
    endpoints: [{ cluster: ["10.1.0.5:8080", "10.1.1.5:8080"] }],
    want: `${VIP}
      allowed-sources4 1.2.3.4 tcp 80 from 198.51.100.0/24 (default/web)
      cluster-ips6 fd00::1 (default/web)
      no-endpoints6 2001:db8::4 tcp 80 -> reject (default/web)
      no-endpoints6 fd00::1 tcp 80 -> reject (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)`,
  },
  {
    name: "the node's own address in a range lets the node use the VIPs from themselves",
    services: [{ ...LB, vips: ["1.2.3.4", "1.2.3.5"], sourceRanges: ["192.168.0.0/24"] }],
    endpoints: [NONE],
    node: { primary: ["192.168.0.10", "fd00:9::1"] },
    want: `${WITHOUT_ENDPOINTS}
      allowed-sources4 1.2.3.4 tcp 80 from 1.2.3.4/32 (default/web)
      allowed-sources4 1.2.3.4 tcp 80 from 1.2.3.5/32 (default/web)
      allowed-sources4 1.2.3.4 tcp 80 from 192.168.0.0/24 (default/web)
      allowed-sources4 1.2.3.5 tcp 80 from 1.2.3.4/32 (default/web)
      allowed-sources4 1.2.3.5 tcp 80 from 1.2.3.5/32 (default/web)
      allowed-sources4 1.2.3.5 tcp 80 from 192.168.0.0/24 (default/web)
      no-endpoints4 1.2.3.4 tcp 80 -> reject (default/web)
      no-endpoints4 1.2.3.5 tcp 80 -> reject (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)
      restricted4 1.2.3.5 tcp 80 (default/web)`,
  },
  {
    name: "a node outside the ranges adds nothing",
    services: [{ ...LB, sourceRanges: ["198.51.100.0/24"] }],
    endpoints: [BOTH],
    node: { primary: ["192.168.0.10"] },
    want: `${VIP}
      allowed-sources4 1.2.3.4 tcp 80 from 198.51.100.0/24 (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)`,
  },
  {
    name: "ranges inside others are left out, since intervals may not overlap",
    services: [
      {
        ...LB,
        sourceRanges: ["10.1.0.0/16", "10.0.0.0/8", "10.1.2.3/32", "10.0.0.0/8", "1.0.0.0/8"],
      },
    ],
    endpoints: [BOTH],
    node: { primary: ["10.0.0.10"] },
    want: `${VIP}
      allowed-sources4 1.2.3.4 tcp 80 from 1.0.0.0/8 (default/web)
      allowed-sources4 1.2.3.4 tcp 80 from 10.0.0.0/8 (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)`,
  },
  {
    name: "every port of a VIP is restricted",
    services: [{ ...LB, ports: ["a tcp 80", "b udp 53"], sourceRanges: ["198.51.100.0/24"] }],
    endpoints: [NONE],
    want: `${WITHOUT_ENDPOINTS}
      allowed-sources4 1.2.3.4 tcp 80 from 198.51.100.0/24 (default/web)
      allowed-sources4 1.2.3.4 udp 53 from 198.51.100.0/24 (default/web)
      no-endpoints4 1.2.3.4 tcp 80 -> reject (default/web)
      no-endpoints4 1.2.3.4 udp 53 -> reject (default/web)
      no-endpoints4 10.96.0.1 udp 53 -> reject (default/web)
      restricted4 1.2.3.4 tcp 80 (default/web)
      restricted4 1.2.3.4 udp 53 (default/web)`,
  },
];

const AFFINITY: readonly Case[] = [
  {
    name: "a clusterIP with affinity recalls clients, and learns for the Service's own timeout",
    services: [{ affinity: 10800 }],
    endpoints: [BOTH],
    want: `

      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 10.96.0.1 tcp 80 -> recall endpoints 2 (default/web)
      learn4 10.96.0.1 tcp 80 -> learn 10800s (default/web)
      numbered-endpoints4 10.96.0.1 tcp 80 -> 10.1.0.5:8080
      numbered-endpoints4 10.96.0.1 tcp 80 -> 10.1.1.5:8080`,
  },
  {
    name: "every frontend of the Service learns, node ports too",
    services: [{ ...LB, ports: ["http udp 80 30080"], externalIPs: ["203.0.113.1"], affinity: 60 }],
    endpoints: [REMOTE],
    want: `

      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 1.2.3.4 udp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 10.96.0.1 udp 80 slot 0 -> 10.1.1.5:8080
      endpoints4 203.0.113.1 udp 80 slot 0 -> 10.1.1.5:8080
      frontends4 1.2.3.4 udp 80 -> recall endpoints 1 masquerade (default/web)
      frontends4 10.96.0.1 udp 80 -> recall endpoints 1 (default/web)
      frontends4 203.0.113.1 udp 80 -> recall endpoints 1 masquerade (default/web)
      learn4 1.2.3.4 udp 80 -> learn 60s (default/web)
      learn4 10.96.0.1 udp 80 -> learn 60s (default/web)
      learn4 203.0.113.1 udp 80 -> learn 60s (default/web)
      nodeport-endpoints4 udp 30080 slot 0 -> 10.1.1.5:8080
      nodeport-numbered-endpoints4 udp 30080 -> 10.1.1.5:8080
      nodeports-learn4 udp 30080 -> learn 60s (default/web)
      nodeports4 udp 30080 -> recall nodeport-endpoints 1 masquerade (default/web)
      numbered-endpoints4 1.2.3.4 udp 80 -> 10.1.1.5:8080
      numbered-endpoints4 10.96.0.1 udp 80 -> 10.1.1.5:8080
      numbered-endpoints4 203.0.113.1 udp 80 -> 10.1.1.5:8080`,
  },
  {
    name: "with externalTrafficPolicy Local all sources recall clients, and learn in one element",
    services: [{ ...NODE_PORT, eTP: "Local", affinity: 5 }],
    endpoints: [BOTH],
    want: `

      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      endpoints4 10.96.0.1 tcp 80 slot 1 -> 10.1.1.5:8080
      frontends4 10.96.0.1 tcp 80 -> recall endpoints 2 (default/web)
      learn4 10.96.0.1 tcp 80 -> learn 5s (default/web)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-endpoints4 tcp 30080 slot 1 -> 10.1.1.5:8080
      nodeport-local-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:8080
      nodeport-numbered-endpoints4 tcp 30080 -> 10.1.0.5:8080
      nodeport-numbered-endpoints4 tcp 30080 -> 10.1.1.5:8080
      nodeport-numbered-local-endpoints4 tcp 30080 -> 10.1.0.5:8080
      nodeports-learn4 tcp 30080 -> learn 5s (default/web)
      nodeports-outside4 tcp 30080 -> recall nodeport-local-endpoints 1 (default/web)
      nodeports4 tcp 30080 -> recall nodeport-endpoints 2 short-circuit (default/web)
      numbered-endpoints4 10.96.0.1 tcp 80 -> 10.1.0.5:8080
      numbered-endpoints4 10.96.0.1 tcp 80 -> 10.1.1.5:8080`,
  },
  {
    name: "a frontend without endpoints has nothing to learn",
    services: [{ affinity: 10800, iTP: "Local" }],
    endpoints: [REMOTE],
    want: `

      cluster-ips4 10.96.0.1 (default/web)
      no-endpoints4 10.96.0.1 tcp 80 -> drop (default/web)`,
  },
  {
    name: "a timeout beyond the API's day is a day",
    services: [{ affinity: 1_000_000 }],
    endpoints: [REMOTE],
    want: `

      cluster-ips4 10.96.0.1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.1.5:8080
      frontends4 10.96.0.1 tcp 80 -> recall endpoints 1 (default/web)
      learn4 10.96.0.1 tcp 80 -> learn 86400s (default/web)
      numbered-endpoints4 10.96.0.1 tcp 80 -> 10.1.1.5:8080`,
  },
];

const CONFLICTS: readonly Case[] = [
  {
    name: "the older of two Services gets the externalIP both claim; the other keeps its clusterIP",
    services: [
      { id: 1, name: "a/new", created: 2000, externalIPs: ["203.0.113.1"] },
      {
        id: 2,
        name: "b/old",
        created: 1000,
        clusterIPs: ["10.96.0.2"],
        externalIPs: ["203.0.113.1"],
      },
    ],
    endpoints: [{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }],
    want: `
      cluster-ips4 10.96.0.1 (a/new)
      cluster-ips4 10.96.0.2 (b/old)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.2 tcp 80 slot 0 -> 10.1.0.5:2
      endpoints4 203.0.113.1 tcp 80 slot 0 -> 10.1.0.5:2
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (a/new)
      frontends4 10.96.0.2 tcp 80 -> pick endpoints 1 (b/old)
      frontends4 203.0.113.1 tcp 80 -> pick endpoints 1 masquerade (b/old)`,
  },
  {
    name: "two load balancers may share a VIP on different ports, each with its own guard",
    services: [
      { id: 1, name: "a/one", ...LB, sourceRanges: ["198.51.100.0/24"] },
      { id: 2, name: "a/two", ...LB, clusterIPs: ["10.96.0.2"], ports: ["- tcp 81"] },
    ],
    endpoints: [{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }],
    want: `
      allowed-sources4 1.2.3.4 tcp 80 from 198.51.100.0/24 (a/one)
      cluster-ips4 10.96.0.1 (a/one)
      cluster-ips4 10.96.0.2 (a/two)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 1.2.3.4 tcp 81 slot 0 -> 10.1.0.5:2
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.2 tcp 81 slot 0 -> 10.1.0.5:2
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (a/one)
      frontends4 1.2.3.4 tcp 81 -> pick endpoints 1 masquerade (a/two)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (a/one)
      frontends4 10.96.0.2 tcp 81 -> pick endpoints 1 (a/two)
      restricted4 1.2.3.4 tcp 80 (a/one)`,
  },
  {
    name: "a node port and an address with the same number do not clash; two node ports do",
    services: [
      { id: 1, name: "a/one", type: "NodePort", ports: ["- tcp 30080 30080"] },
      {
        id: 2,
        name: "a/two",
        type: "NodePort",
        clusterIPs: ["10.96.0.2"],
        ports: ["- tcp 30080 30080"],
        sourceRanges: ["10.0.0.0/8"],
      },
    ],
    endpoints: [{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }],
    want: `
      cluster-ips4 10.96.0.1 (a/one)
      cluster-ips4 10.96.0.2 (a/two)
      endpoints4 10.96.0.1 tcp 30080 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.2 tcp 30080 slot 0 -> 10.1.0.5:2
      frontends4 10.96.0.1 tcp 30080 -> pick endpoints 1 (a/one)
      frontends4 10.96.0.2 tcp 30080 -> pick endpoints 1 (a/two)
      nodeport-endpoints4 tcp 30080 slot 0 -> 10.1.0.5:1
      nodeports4 tcp 30080 -> pick nodeport-endpoints 1 masquerade (a/one)`,
  },
  {
    name: "a taken VIP has neither guard nor refusal of the loser",
    services: [
      { id: 1, name: "a/one", ...LB },
      { id: 2, name: "a/two", ...LB, clusterIPs: ["10.96.0.2"], sourceRanges: ["10.0.0.0/8"] },
    ],
    endpoints: [{ cluster: ["10.1.0.5:1"] }, NONE],
    want: `
      cluster-ips4 10.96.0.1 (a/one)
      cluster-ips4 10.96.0.2 (a/two)
      endpoints4 1.2.3.4 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:1
      frontends4 1.2.3.4 tcp 80 -> pick endpoints 1 masquerade (a/one)
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (a/one)
      no-endpoints4 10.96.0.2 tcp 80 -> reject (a/two)`,
  },
  {
    name: "one clusterIP of two Services is one element, and ports that do not clash are both served",
    services: [
      { id: 1, name: "a/one", ports: ["- tcp 80"] },
      { id: 2, name: "a/two", ports: ["- tcp 80", "x tcp 81"] },
    ],
    endpoints: [{ cluster: ["10.1.0.5:1"] }, { cluster: ["10.1.0.5:2"] }],
    want: `
      cluster-ips4 10.96.0.1 (a/one)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:1
      endpoints4 10.96.0.1 tcp 81 slot 0 -> 10.1.0.5:2
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (a/one)
      frontends4 10.96.0.1 tcp 81 -> pick endpoints 1 (a/two)`,
  },
];

const NODE: readonly Case[] = [
  {
    name: "the node owns its node port addresses and the Service ranges",
    services: [],
    endpoints: [],
    node: {
      nodePortRanges: ["192.168.0.0/24", "fd00:9::1/128"],
      serviceCidrs: ["10.96.0.0/12", "fd00::/108"],
    },
    want: `
      node-port-ranges4 192.168.0.0/24 (node)
      node-port-ranges6 fd00:9::1/128 (node)
      service-cidrs4 10.96.0.0/12 (node)
      service-cidrs6 fd00::/108 (node)`,
  },
];

/** Only if a backend opens it in the firewall: Sluice itself answers there. */
const CHECKED = { type: "LoadBalancer", healthCheckNodePort: 32000 } as const;
const HEALTH_CHECKS: readonly Case[] = [
  {
    name: "a healthCheckNodePort is accepted, in every family of its Service, with endpoints or without",
    services: [{ ...CHECKED, eTP: "Local", clusterIPs: ["10.96.0.1", "fd00:96::1"] }],
    endpoints: [{ cluster: ["10.1.0.5:8080"] }],
    node: { opensHealthCheckPorts: true },
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      cluster-ips6 fd00:96::1 (default/web)
      endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080
      frontends4 10.96.0.1 tcp 80 -> pick endpoints 1 (default/web)
      health-check-ports4 32000 (default/web)
      health-check-ports6 32000 (default/web)
      no-endpoints6 fd00:96::1 tcp 80 -> reject (default/web)`,
  },
  {
    name: "a healthCheckNodePort left over from externalTrafficPolicy Local is not let in",
    services: [{ ...CHECKED, eTP: "Cluster" }],
    endpoints: [{}],
    node: { opensHealthCheckPorts: true },
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      no-endpoints4 10.96.0.1 tcp 80 -> reject (default/web)`,
  },
  {
    name: "a backend that does not open healthCheckNodePorts has no elements for them",
    services: [{ ...CHECKED, eTP: "Local" }],
    endpoints: [{}],
    want: `
      cluster-ips4 10.96.0.1 (default/web)
      no-endpoints4 10.96.0.1 tcp 80 -> reject (default/web)`,
  },
];

const GROUPS: readonly [string, readonly Case[]][] = [
  ["frontends", FRONTENDS],
  ["traffic policies", POLICIES],
  ["source ranges", SOURCE_RANGES],
  ["affinity", AFFINITY],
  ["conflicts", CONFLICTS],
  ["health checks", HEALTH_CHECKS],
  ["the node", NODE],
];

for (const [group, cases] of GROUPS) {
  describe(group, () => {
    test.each(cases.map((one) => [one.name, one] as const))("%s", (_, one) => {
      const services = one.services.map((text, i) => ({
        service: buildService(text),
        endpoints: one.endpoints[i] ?? {},
      }));
      expect(planText(services, one.node)).toEqual(lines(one.want));
    });
  });
}
