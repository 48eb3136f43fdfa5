/**
 * Something other than a translation serves clusterIPs: a process of the node that has the address,
 * or a route to another machine. As with kube-proxy, no rule applies to untracked packets.
 */
import { describe, expect, test } from "bun:test";
import { addressOf, FAMILIES, type Location } from "../../harness/netns/addresses.ts";
import { nameOf } from "../../harness/netns/connections.ts";
import { frontend } from "../../harness/netns/frontends.ts";
import { commonObjects } from "../../harness/netns/world-objects.ts";
import { EXCEPTIONS, type Exception, excepted } from "./exceptions.ts";
import { describeBackends, type Endpoints, Fixture, type Own } from "./traffic-fixture.ts";

const EVERYBODY: readonly Location[] = ["a3", "outside", "node1"];

interface Row {
  readonly name: string;
  readonly own: Own;
  readonly endpoints: Endpoints;
  readonly port: number;
}

const OTHER_PROXY = { labels: { "service.kubernetes.io/service-proxy-name": "other" } };
const ROWS: readonly Row[] = [
  { name: "a clusterIP with endpoints", own: {}, endpoints: ["b1"], port: 80 },
  { name: "a clusterIP without endpoints", own: {}, endpoints: [], port: 80 },
  { name: "a port that a clusterIP does not have", own: {}, endpoints: ["b1"], port: 8443 },
  { name: "the clusterIP of another proxy's Service", own: OTHER_PROXY, endpoints: [], port: 80 },
];

describeBackends((backend) => {
  const fixture = new Fixture({ backend });
  const because = (exception: Exception) =>
    excepted(backend, exception) ? `: ${EXCEPTIONS[exception].why}` : "";

  async function serve(place: "node1" | "node2", name: string, address: string, port: number) {
    const { world } = fixture;
    await world.changeAddress("add", place, address, "lo");
    for (const transport of ["tcp", "udp"] as const) {
      const namespace = world.namespace(place);
      const server = { namespace, name, address, port, transport } as const;
      await world.switchboard.command({ do: "listen", ...server });
    }
  }

  async function outcomes(
    from: readonly Location[],
    { address, port }: { readonly address: string; readonly port: number },
    expected: string,
  ): Promise<void> {
    const timeoutMs = expected === "timeout" ? 250 : 3000;
    const found: string[] = [];
    for (const client of from) {
      // A refused datagram of the node itself looks like a lost one: `send` fails.
      const transports = expected === "refused" ? (["tcp"] as const) : (["tcp", "udp"] as const);
      for (const transport of transports) {
        const reply = await fixture.world.connect(client, address, port, { transport, timeoutMs });
        found.push(`${client} ${transport}: ${nameOf(reply)}`);
      }
    }
    expect(found).toEqual(found.map((line) => line.replace(/: .*/, `: ${expected}`)));
  }

  describe.each([...FAMILIES])("IPv%i", (family) => {
    const ip = family === 4 ? "ip" : "ip6";

    test.each(ROWS.map((row) => [row.name, row] as const))(
      "a process of the node that has %s gets connections without conntrack, as NodeLocal DNSCache",
      async (_, { own, endpoints, port }) => {
        const made = await fixture.given(own, endpoints);
        const asked = frontend("clusterIP", made.number, family, port);
        await serve("node1", "cache", asked.address, port);
        const there = `${ip} daddr ${asked.address} th dport ${port} notrack`;
        const back = `${ip} saddr ${asked.address} th sport ${port} notrack`;
        const chain = (hook: string) =>
          `chain ${hook} {\ntype filter hook ${hook} priority raw;\n${there}\n${back}\n}\n`;
        const table = `inet cache-${family}-${made.number}`;
        await fixture.world.run("node1", [
          "nft",
          `table ${table} {\n${chain("prerouting")}${chain("output")}}\n`,
        ]);
        await outcomes(EVERYBODY, asked, "cache");
      },
    );

    test("a process of the node that has a clusterIP gets ports that the Service does not have", async () => {
      const made = await fixture.given({}, ["b1"]);
      const asked = frontend("clusterIP", made.number, family, 8443);
      await serve("node1", "cache", asked.address, asked.port);
      await outcomes(EVERYBODY, asked, "cache");
    });

    async function routed(own: Own, endpoints: Endpoints, port: number) {
      const made = await fixture.given(own, endpoints);
      const asked = frontend("clusterIP", made.number, family, port);
      await serve("node2", "elsewhere", asked.address, port);
      const route = ["route", "add", asked.address, "via", addressOf("node2", family)];
      await fixture.world.run("node1", ["ip", `-${family}`, ...route]);
      return asked;
    }

    test(`a route to the clusterIP of another proxy's Service is used only if no ServiceCIDR has it${because("unused clusterIPs")}`, async () => {
      const asked = await routed(OTHER_PROXY, [], 80);
      const known = excepted(backend, "unused clusterIPs") ? "elsewhere" : "timeout";
      await outcomes(EVERYBODY, asked, known);
      const ranges = commonObjects().filter((each) => each.kind === "ServiceCIDR");
      await fixture.remove(...ranges);
      await outcomes(EVERYBODY, asked, "elsewhere");
      await fixture.put(...ranges);
      await outcomes(EVERYBODY, asked, known);
    });

    test(`a route to a clusterIP does not serve ports that the Service does not have${because("unlisted ports")}`, async () => {
      const asked = await routed({}, ["b1"], 8443);
      const expected = excepted(backend, "unlisted ports") ? "elsewhere" : "refused";
      await outcomes(EVERYBODY, asked, expected);
    });
  });
});
