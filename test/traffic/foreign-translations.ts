/** Rules of other programs on node1 that take over a destination. */
import { addressOf, FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { addRules, type Variant } from "../../harness/netns/backends.ts";
import type { World } from "../../harness/netns/world.ts";

/** The destination of a connection. */
export interface Destination {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
}

/** One way in which another program takes over connections. */
export interface Translation {
  readonly name: string;
  /** When it makes its rules: before Sluice's chains exist, or after that. */
  readonly when: "before" | "after";
  /** The server that then answers. */
  readonly answers: "b2" | "proxy";
  readonly add: (world: World, destinations: readonly Destination[]) => Promise<void>;
}

const TARGET_PORT = 9090;
const PROXY_PORT = 7777;
/** A proxy on the node that rules of type nat lead to. */
const LOCAL_PROXY_PORT = 7778;
/** The mark of packets that TPROXY diverts. */
const DIVERTED = "0x100";

const protocolOf = (family: Family): string => (family === 4 ? "ip" : "ip6");

/** Address and port of the server that answers, as a rule names them. */
export function targetOf(family: Family, answers: Translation["answers"] = "b2"): string {
  const address = addressOf(answers === "b2" ? "b2" : "node1", family);
  const port = answers === "b2" ? TARGET_PORT : LOCAL_PROXY_PORT;
  return `${family === 4 ? address : `[${address}]`}:${port}`;
}

/** Starts the proxy that translations with the answer "proxy" lead to. */
export async function startLocalProxy(world: World): Promise<void> {
  for (const family of FAMILIES) {
    for (const transport of ["tcp", "udp"] as const) {
      await world.switchboard.command({
        do: "listen",
        namespace: world.namespace("node1"),
        name: "proxy",
        address: addressOf("node1", family),
        port: LOCAL_PROXY_PORT,
        transport,
      });
    }
  }
}

/** Two chains of type nat, for forwarded packets and for packets of the node itself. */
export async function addNft(
  world: World,
  name: string,
  priority: number,
  destinations: readonly Destination[],
  target = targetOf,
): Promise<void> {
  const rules = destinations.map(({ family, address, port }) => {
    const ip = protocolOf(family);
    return `${ip} daddr ${address} meta l4proto { tcp, udp } th dport ${port} dnat ${ip} to ${target(family)}`;
  });
  const chain = (hook: string) =>
    `chain ${hook} {\ntype nat hook ${hook} priority ${priority};\n${rules.join("\n")}\n}\n`;
  await load(world, `table inet ${name} {\n${chain("prerouting")}${chain("output")}}\n`);
}

/** Loads nft text. */
async function load(world: World, text: string): Promise<void> {
  await world.run("node1", ["nft", text]);
}

function nft(
  when: Translation["when"],
  priority: number,
  answers: Translation["answers"] = "b2",
): Translation {
  const name = `nft at priority ${priority}, registered ${when} Sluice`;
  const table = `foreign-${when}${priority}-${answers}`;
  const add = (world: World, destinations: readonly Destination[]) =>
    addNft(world, table, priority, destinations, (family) => targetOf(family, answers));
  return { name: name + suffixOf(answers), when, answers, add };
}

const suffixOf = (answers: Translation["answers"]) =>
  answers === "b2" ? "" : ", to a proxy on the node";

/** Rules at the end of PREROUTING and OUTPUT, or at their top. */
function iptablesDnat(
  variant: Variant,
  when: Translation["when"],
  answers: Translation["answers"] = "b2",
): Translation {
  const name = `iptables-${variant}, ${when === "before" ? "an older" : "the first"} rule`;
  const verb = when === "before" ? "-A" : "-I";
  const add = async (world: World, destinations: readonly Destination[]) => {
    for (const family of FAMILIES) {
      const matches = destinations
        .filter((destination) => destination.family === family)
        .flatMap(({ address, port }) =>
          ["tcp", "udp"].map((protocol) => `-d ${address} -p ${protocol} --dport ${port}`),
        );
      const verdict = `-j DNAT --to-destination ${targetOf(family, answers)}`;
      const rules = ["PREROUTING", "OUTPUT"].flatMap((chain) =>
        matches.map((match) => `${verb} ${chain} ${match} ${verdict}`),
      );
      await addRules(world, variant, family, "nat", rules);
    }
  };
  return { name: name + suffixOf(answers), when, answers, add };
}

/** A transparent proxy on the node. Only packets that arrive from elsewhere reach it. */
export async function addTproxy(world: World, destinations: readonly Destination[]): Promise<void> {
  for (const family of FAMILIES) {
    const any = family === 4 ? "0.0.0.0" : "::";
    const namespace = world.namespace("node1");
    const server = { namespace, name: "proxy", address: any, port: PROXY_PORT } as const;
    const how = { transport: "tcp", transparent: true } as const;
    await world.switchboard.command({ do: "listen", ...server, ...how });
    const ip = (...words: string[]) => world.run("node1", ["ip", `-${family}`, ...words]);
    await ip("rule", "add", "fwmark", `${DIVERTED}/${DIVERTED}`, "lookup", "100");
    await ip("route", "add", "local", "default", "dev", "lo", "table", "100");
  }
  const rules = destinations.map(({ family, address, port }) => {
    const ip = protocolOf(family);
    return `${ip} daddr ${address} tcp dport ${port} tproxy ${ip} to :${PROXY_PORT} meta mark set ${DIVERTED} accept`;
  });
  const hook = "type filter hook prerouting priority mangle;";
  await load(
    world,
    `table inet foreign-tproxy {\nchain prerouting {\n${hook}\n${rules.join("\n")}\n}\n}\n`,
  );
}

export const TPROXY: Translation = {
  name: "TPROXY",
  when: "before",
  answers: "proxy",
  add: addTproxy,
};

/** All that change the destination of the packets themselves. */
export const TRANSLATIONS: readonly Translation[] = [
  nft("before", -100),
  nft("after", -100),
  nft("after", -90),
  nft("after", -150),
  iptablesDnat("nft", "before"),
  iptablesDnat("nft", "after"),
  iptablesDnat("legacy", "before"),
  iptablesDnat("legacy", "after"),
  nft("before", -100, "proxy"),
  iptablesDnat("legacy", "after", "proxy"),
];
