/** Clients reach pods through every kind of address, over both families. */
import { addressOf, FAMILIES, type Family, type Location } from "../../harness/netns/addresses.ts";
import { SOON, type Stage, WEB } from "../stage.ts";
import { count } from "../stream.ts";
import { bars, check, duration, heading, say } from "../terminal.ts";

const CONNECTIONS = 150;
const PODS = ["a1", "a2", "b1"];

interface Route {
  readonly from: Location;
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export async function reach(stage: Stage): Promise<void> {
  heading("Clients reach the Service shop/web at each of its addresses");
  say(
    `${CONNECTIONS} connections to each; a pod answers with its name and the source address it sees.`,
  );
  const seen = new Map<string, Set<string>>();
  let spread = true;
  for (const route of FAMILIES.flatMap(routes)) {
    const { from, name, address, port } = route;
    const replies = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => stage.world.connect(from, address, port)),
    );
    const counts = count(replies);
    const where = address.includes(":") ? `[${address}]` : address;
    bars(`${from} to ${name} ${where}:${port}`, counts);
    seen.set(route.name, new Set([...(seen.get(name) ?? []), ...replies.map((each) => each.saw)]));
    // Each gets about a third. Less than a tenth of all connections practically cannot occur.
    spread &&= [...counts.keys()].join() === PODS.join();
    spread &&= [...counts.values()].every((each) => each > CONNECTIONS / 10);
  }
  check(spread, "every connection was answered, and each of the three pods got its share");

  const inside = FAMILIES.map((family) => addressOf("a3", family));
  check(
    [...(seen.get("clusterIP") ?? [])].every((each) => inside.includes(each)),
    `pods behind a clusterIP see the client's address: ${inside.join(" and ")}`,
    [...(seen.get("clusterIP") ?? [])].join(),
  );

  for (const family of FAMILIES) {
    const reply = await stage.world.connect("a3", SOON[family], 80);
    check(
      reply.outcome === "refused",
      `shop/soon has no pods yet: ${SOON[family]} refuses after ${duration(reply.took)}, so no client hangs`,
      reply.outcome,
    );
  }
}

function routes(family: Family): Route[] {
  return [
    { from: "a3", name: "clusterIP", address: WEB.clusterIP[family], port: 80 },
    { from: "outside", name: "node port", address: WEB.node[family], port: WEB.nodePort },
    { from: "outside", name: "load balancer", address: WEB.loadBalancer[family], port: 80 },
  ];
}
