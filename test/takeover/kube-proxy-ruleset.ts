/**
 * The rules that kube-proxy v1.36.3 writes in iptables mode, as input of iptables-restore. Omits
 * its rules with nfacct, because these need counters that it creates by netlink.
 */

export interface SavedService {
  readonly name: string;
  readonly clusterIp: string;
  readonly nodePort?: number;
  /** `10.244.1.11:8080` */
  readonly endpoints: readonly string[];
}

/**
 * Foreign rules in the same tables. Their chains that begin with KUBE- belong to the kubelet and
 * kube-router.
 */
export const FOREIGN = `*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
:KUBE-POD-FW-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -s 198.51.100.0/24 -p tcp -m comment --comment "ssh for us -j KUBE-SERVICES" -m tcp --dport 22 -j ACCEPT
-A FORWARD -m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-POD-FW-AAAAAAAAAAAAAAAA -m comment --comment "run through default ingress network policy chain" -j KUBE-NWPLCY-DEFAULT
-A KUBE-ROUTER-FORWARD -d 10.244.1.11/32 -m comment --comment "rule to jump traffic" -j KUBE-POD-FW-AAAAAAAAAAAAAAAA
COMMIT
*nat
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
-A PREROUTING -m comment --comment "port \\"one\\" \\\\ two" -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
COMMIT
`;

/** CNI's portmap writes this with externalSetMarkChain: KUBE-MARK-MASQ. */
export const MARKING = `*nat
-A CNI-HOSTPORT-DNAT -s 10.244.1.0/24 -p tcp -m tcp --dport 8888 -j KUBE-MARK-MASQ
COMMIT
`;

/**
 * Additional contents of Sluice's chains. After `savedRules`, the chains are as in its iptables
 * mode.
 */
export const SLUICE = `*nat
:KUBE-SVC-OUTSIDE - [0:0]
:KUBE-SEP-HAIRPIN - [0:0]
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m mark ! --mark 0x4000/0x4000 -j KUBE-SVC-OUTSIDE
-A KUBE-POSTROUTING ! -o lo -m conntrack --ctstate DNAT -j KUBE-SEP-HAIRPIN
COMMIT
`;

/** The rule for node ports on loopback, as kube-proxy and the kubelet write it. */
export const LOCALHOST = `*filter
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
`;

export function savedRules(
  services: readonly SavedService[],
  clusterCidr = "10.244.0.0/16",
): string {
  const chains: string[] = [];
  const rules: string[] = [];
  for (const { name, clusterIp, nodePort, endpoints } of services) {
    const key = name.toUpperCase().padEnd(16, "A");
    const service = `KUBE-SVC-${key}`;
    chains.push(service);
    const own = `-d ${clusterIp} -p tcp -m comment --comment "default/${name} cluster IP" -m tcp --dport 80`;
    rules.push(`KUBE-SERVICES ${own} -j ${service}`);
    rules.push(`${service} ! -s ${clusterCidr} ${own} -j KUBE-MARK-MASQ`);
    if (nodePort !== undefined) {
      const external = `KUBE-EXT-${key}`;
      chains.push(external);
      const comment = `-m comment --comment "masquerade traffic for default/${name} external destinations"`;
      rules.push(
        `KUBE-NODEPORTS -p tcp -m comment --comment "default/${name}" -m tcp --dport ${nodePort} -j ${external}`,
      );
      rules.push(`${external} ${comment} -j KUBE-MARK-MASQ`, `${external} -j ${service}`);
    }
    for (const [index, endpoint] of endpoints.entries()) {
      const chain = `KUBE-SEP-${name.toUpperCase()}${index}`.padEnd(25, "A");
      chains.push(chain);
      const left = endpoints.length - index;
      const chance =
        left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : "";
      const address = endpoint.replace(/^\[?(.*?)\]?:\d+$/, "$1");
      rules.push(
        `${service} -m comment --comment "default/${name} -> ${endpoint}"${chance} -j ${chain}`,
        `${chain} -s ${address} -m comment --comment "default/${name}" -j KUBE-MARK-MASQ`,
        `${chain} -p tcp -m comment --comment "default/${name}" -m tcp -j DNAT --to-destination ${endpoint}`,
      );
    }
  }
  const jump = (chain: string, comment: string, target: string, fresh = false) =>
    `-I ${chain}${fresh ? " -m conntrack --ctstate NEW" : ""} -m comment --comment "kubernetes ${comment}" -j ${target}`;
  return [
    "*mangle",
    ":KUBE-PROXY-CANARY - [0:0]",
    "COMMIT",
    "*filter",
    ...[
      "KUBE-EXTERNAL-SERVICES",
      "KUBE-FORWARD",
      "KUBE-NODEPORTS",
      "KUBE-PROXY-CANARY",
      "KUBE-PROXY-FIREWALL",
      "KUBE-SERVICES",
    ].map((chain) => `:${chain} - [0:0]`),
    jump("INPUT", "externally-visible service portals", "KUBE-EXTERNAL-SERVICES", true),
    jump("INPUT", "health check service ports", "KUBE-NODEPORTS"),
    jump("INPUT", "load balancer firewall", "KUBE-PROXY-FIREWALL", true),
    jump("FORWARD", "externally-visible service portals", "KUBE-EXTERNAL-SERVICES", true),
    jump("FORWARD", "service portals", "KUBE-SERVICES", true),
    jump("FORWARD", "forwarding rules", "KUBE-FORWARD"),
    jump("FORWARD", "load balancer firewall", "KUBE-PROXY-FIREWALL", true),
    jump("OUTPUT", "service portals", "KUBE-SERVICES", true),
    jump("OUTPUT", "load balancer firewall", "KUBE-PROXY-FIREWALL", true),
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    "COMMIT",
    "*nat",
    ...[
      "KUBE-MARK-MASQ",
      "KUBE-NODEPORTS",
      "KUBE-POSTROUTING",
      "KUBE-PROXY-CANARY",
      "KUBE-SERVICES",
      ...chains,
    ].map((chain) => `:${chain} - [0:0]`),
    jump("PREROUTING", "service portals", "KUBE-SERVICES"),
    jump("OUTPUT", "service portals", "KUBE-SERVICES"),
    jump("POSTROUTING", "postrouting rules", "KUBE-POSTROUTING"),
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ...rules.map((rule) => `-A ${rule}`),
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    "COMMIT",
    "",
  ].join("\n");
}

/** The table of its nftables mode, with one Service. */
export function savedTable(
  { name, clusterIp, nodePort, endpoints }: SavedService,
  family: 4 | 6,
  clusterCidr: string,
): string {
  const ip = family === 4 ? "ip" : "ip6";
  const type = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const choices = endpoints.map((endpoint, index) => {
    const [, address, port] = /^\[?(.*?)\]?:(\d+)$/.exec(endpoint) ?? [];
    return `${index} : ${address} . ${port}`;
  });
  return `table ${ip} kube-proxy {
    comment "rules for kube-proxy"
    set cluster-ips { type ${type}; elements = { ${clusterIp} }; }
    map service-ips { type ${type} . inet_proto . inet_service : verdict; }
    map service-nodeports { type inet_proto . inet_service : verdict; }
    chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
    chain nat-output { type nat hook output priority -100; jump services; }
    chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
    chain services {
      ${ip} daddr @cluster-ips ${ip} saddr != ${clusterCidr} jump mark-for-masquerade
      ${ip} daddr . meta l4proto . th dport vmap @service-ips
      fib daddr type local meta l4proto . th dport vmap @service-nodeports
    }
    chain mark-for-masquerade { mark set mark or 0x4000; }
    chain masquerading { mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random; }
    chain external-${name} { jump mark-for-masquerade; goto service-${name}; }
    chain service-${name} {
      meta l4proto tcp dnat ${ip} addr . port to numgen random mod ${endpoints.length} map { ${choices.join(", ")} }
    }
  }
  add element ${ip} kube-proxy service-ips { ${clusterIp} . tcp . 80 : goto service-${name} }
  add element ${ip} kube-proxy service-nodeports { tcp . ${nodePort} : goto external-${name} }
`;
}
