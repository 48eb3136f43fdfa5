/** The matches and targets that the rules are made of, each in a rule of its own. Pure. */
import type { Family } from "../../net/address.ts";
import type { RuleTable } from "../syntax/types.ts";

/** What can be done without. */
export interface Features {
  /** `MASQUERADE --random-fully` */
  readonly randomFully: boolean;
  /** Without: rules have no comments. */
  readonly comments: boolean;
  /** Without: affinity cannot be served. */
  readonly recent: boolean;
  /** Without: there is no rule for SCTP. */
  readonly sctp: boolean;
}

const LACKS: { readonly [feature in keyof Features]: string } = {
  randomFully: "masquerading goes without --random-fully, which tools or kernel do not know",
  comments: "rules go without comments, for want of xt_comment",
  recent: "session affinity is not kept, for want of xt_recent",
  sctp: "SCTP is not served, for want of xt_sctp",
};

const FEATURES: readonly (keyof Features)[] = ["randomFully", "comments", "recent", "sctp"];
/** Those without which Services do less than they say. */
export const SERVICE_FEATURES: readonly (keyof Features)[] = ["recent", "sctp"];

/** What becomes of those of `features` that are not there, in words. */
export function lacksOf(there: Features, features = FEATURES): string[] {
  return features.flatMap((feature) => (there[feature] ? [] : [LACKS[feature]]));
}

/** `kube-proxy --cleanup` removes a chain of such a name, should we be killed before we do. */
export const SCRATCH = "KUBE-SVC-SLUICE-PROBE";

export interface Trial {
  /** The module, and what the kernel must be configured with. */
  readonly needs: string;
  readonly table: RuleTable;
  /** Without `-A CHAIN `; undefined: the chain alone. */
  readonly rule: string | undefined;
  readonly feature?: keyof Features;
}

const IP = { 4: "IP", 6: "IP6" } as const;
const NETFILTER = "CONFIG_NETFILTER_XT";

export function trials(family: Family): readonly Trial[] {
  const address = family === 4 ? "192.0.2.1" : "[2001:db8::1]";
  const module = family === 4 ? "ip" : "ip6";
  const xt = (name: string, kind: "MATCH" | "TARGET", table: RuleTable, rule: string): Trial => {
    return { needs: `xt_${name} (${NETFILTER}_${kind}_${name.toUpperCase()})`, table, rule };
  };
  const ports = (protocol: string, needs: string): Trial => {
    return { needs, table: "nat", rule: `-p ${protocol} -m ${protocol} --dport 80` };
  };
  return [
    { needs: `the table nat (CONFIG_${IP[family]}_NF_NAT)`, table: "nat", rule: undefined },
    {
      needs: `the table filter (CONFIG_${IP[family]}_NF_FILTER)`,
      table: "filter",
      rule: undefined,
    },
    { ...xt("comment", "MATCH", "nat", "-m comment --comment probe"), feature: "comments" },
    xt("conntrack", "MATCH", "nat", "-m conntrack --ctstate DNAT"),
    xt("conntrack", "MATCH", "filter", "-m conntrack --ctstate NEW"),
    xt("mark", "MATCH", "nat", "-m mark ! --mark 0x4000/0x4000"),
    xt("mark", "TARGET", "nat", "-j MARK --set-xmark 0x4000/0x0"),
    xt("statistic", "MATCH", "nat", "-m statistic --mode random --probability 0.5"),
    xt("addrtype", "MATCH", "nat", "-m addrtype --src-type LOCAL"),
    {
      ...xt("recent", "MATCH", "nat", `-m recent --rcheck --seconds 10 --reap --name ${SCRATCH}`),
      feature: "recent",
    },
    ports("tcp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)"),
    ports("udp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)"),
    { ...ports("sctp", `xt_sctp (${NETFILTER}_MATCH_SCTP)`), feature: "sctp" },
    {
      needs: `xt_nat (${NETFILTER}_NAT)`,
      table: "nat",
      rule: `-p tcp -j DNAT --to-destination ${address}:80`,
    },
    xt("MASQUERADE", "TARGET", "nat", "-j MASQUERADE"),
    {
      ...xt("MASQUERADE", "TARGET", "nat", "-j MASQUERADE --random-fully"),
      feature: "randomFully",
    },
    {
      needs: `${module}t_REJECT (CONFIG_${IP[family]}_NF_TARGET_REJECT)`,
      table: "filter",
      rule: "-j REJECT",
    },
  ];
}
