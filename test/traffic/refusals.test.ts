/**
 * Connections that are unserved only after their translation, or only for some sources; and foreign
 * rules that must not let a connection escape a refusal.
 */
import { describe, expect, test } from "bun:test";
import { addressOf, FAMILIES, type Family, type Location } from "../../harness/netns/addresses.ts";
import { iptables } from "../../harness/netns/backends.ts";
import { nameOf } from "../../harness/netns/connections.ts";
import { type Frontend, frontend } from "../../harness/netns/frontends.ts";
import { type Manifest, slices } from "../../harness/netns/world-objects.ts";
import { EXCEPTIONS, type Exception, excepted } from "./exceptions.ts";
import { addNft, addTproxy, type Destination, targetOf } from "./foreign-translations.ts";
import { remembered } from "./remembered-clients.ts";
import { describeBackends, Fixture, type Own } from "./traffic-fixture.ts";

const EVERYBODY: readonly Location[] = ["a3", "outside", "node1"];
/** An address of nobody, which another program translates to the destination of a row. */
const FOREIGN = { 4: "203.0.113.200", 6: "2001:db8:99::200" } as const;

interface Row {
  readonly name: string;
  readonly own: Own;
  readonly endpoints?: readonly "b1"[];
  readonly to: Frontend;
  readonly port?: number;
  readonly outcome: string;
  readonly but?: readonly [Exception, string];
}

/** Destinations that a translation must not make reachable. */
const REFUSED: readonly Row[] = [
  { name: "a clusterIP without endpoints", own: {}, to: "clusterIP", outcome: "refused" },
  {
    name: "a port that a clusterIP does not have",
    own: {},
    endpoints: ["b1"],
    to: "clusterIP",
    port: 8443,
    outcome: "refused",
    but: ["unlisted ports", "timeout"],
  },
  {
    // The kernel translates a connection once, so nobody serves it.
    name: "a clusterIP with endpoints",
    own: {},
    endpoints: ["b1"],
    to: "clusterIP",
    outcome: "refused",
    but: ["unlisted ports", "timeout"],
  },
  {
    name: "a load balancer IP without endpoints",
    own: { type: "LoadBalancer" },
    to: "vip",
    outcome: "refused",
  },
  {
    name: "a node port without endpoints",
    own: { type: "NodePort" },
    to: "node port",
    outcome: "refused",
  },
];

/** A slice for one family, with an endpoint at any address. */
function sliceAt(name: string, family: Family, address: string, port: number): Manifest {
  const made = slices(name, ["a1"], { ports: [{ target: port }] })[family === 4 ? 0 : 1];
  return { ...(made as Manifest), endpoints: [{ addresses: [address] }] };
}

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  async function outcomes(
    from: readonly Location[],
    { address, port }: Pick<Destination, "address" | "port">,
    timeoutMs: number,
  ): Promise<string[]> {
    const found: string[] = [];
    for (const client of from) {
      found.push(
        `${client}: ${nameOf(await fixture.world.connect(client, address, port, { timeoutMs }))}`,
      );
    }
    return found;
  }
  const all = (from: readonly Location[], outcome: string) =>
    from.map((client) => `${client}: ${outcome}`);
  const patienceFor = (outcome: string) => (outcome === "timeout" ? 250 : 3000);
  const because = (exception: Exception | undefined) =>
    exception !== undefined && excepted(backend, exception) ? `: ${EXCEPTIONS[exception].why}` : "";
  const expectedOf = ({ outcome, but }: Row) =>
    but !== undefined && excepted(backend, but[0]) ? but[1] : outcome;

  describe.each([...FAMILIES])("IPv%i", (family) => {
    let tables = 0;
    const nftTable = () => `foreign${family}-${++tables}`;

    const rows = REFUSED.map((row) => [row.name + because(row.but?.[0]), row] as const);

    test.each(rows)("an endpoint that is %s", async (_, row) => {
      const { own, endpoints = [], to, port } = row;
      const inner = await fixture.given(own, endpoints);
      const destination = frontend(to, inner.number, family, port);
      const outer = await fixture.given({}, []);
      await fixture.put(sliceAt(outer.name, family, destination.address, destination.port));
      const asked = frontend("clusterIP", outer.number, family);
      const outcome = expectedOf(row);
      expect(await outcomes(EVERYBODY, asked, patienceFor(outcome))).toEqual(
        all(EVERYBODY, outcome),
      );
    });

    test.each(rows)("a foreign translation to %s", async (_, row) => {
      const { own, endpoints = [], to, port } = row;
      const inner = await fixture.given(own, endpoints);
      const destination = frontend(to, inner.number, family, port);
      const target = () =>
        family === 4
          ? `${destination.address}:${destination.port}`
          : `[${destination.address}]:${destination.port}`;
      const asked = { family, address: FOREIGN[family], port: 1000 + inner.number };
      await addNft(fixture.world, nftTable(), -100, [asked], target);
      const outcome = expectedOf(row);
      expect(await outcomes(EVERYBODY, asked, patienceFor(outcome))).toEqual(
        all(EVERYBODY, outcome),
      );
    });

    const OTHERS = "external address of another node";
    test(`with externalTrafficPolicy Local, an endpoint may have the load balancer IP itself${because(OTHERS)}`, async () => {
      // ServiceLB of k3s and others give the node's addresses as load balancer IPs.
      const node2 = { 4: addressOf("node2", 4), 6: addressOf("node2", 6) };
      const own: Own = {
        type: "LoadBalancer",
        externalPolicy: "Local",
        vips: [node2[4], node2[6]],
        ports: [{ port: 8080 }],
      };
      const made = await fixture.given(own, ["node2"]);
      const asked = { address: node2[family], port: 8080 };
      const inside = excepted(backend, OTHERS) ? "timeout" : "node2";
      expect(await outcomes(["a3"], asked, patienceFor(inside))).toEqual(all(["a3"], inside));
      expect(await outcomes(["node1"], asked, 3000)).toEqual(all(["node1"], "node2"));
      expect(await outcomes(["outside"], asked, 250)).toEqual(all(["outside"], "timeout"));
      await made.remove();
    });

    test("a foreign change of the source in INPUT does not prevent a refusal", async () => {
      const made = await fixture.given({ type: "NodePort", externalPolicy: "Local" }, ["b1"]);
      const asked = frontend("node port", made.number, family);
      const ip = family === 4 ? "ip" : "ip6";
      const rule = `th dport ${asked.port} meta l4proto { tcp, udp } snat ${ip} to ${addressOf("node2", family)}`;
      const table = nftTable();
      await fixture.world.run("node1", [
        "nft",
        `table inet ${table} {\nchain input {\ntype nat hook input priority 50;\n${rule}\n}\n}\n`,
      ]);
      expect(await outcomes(["outside"], asked, 250)).toEqual(all(["outside"], "timeout"));
      await fixture.world.run("node1", ["nft", "delete", "table", "inet", table]);
    });

    test("a refused connection is not remembered for session affinity", async () => {
      const inner = await fixture.given({}, []);
      const { address } = frontend("clusterIP", inner.number, family);
      const outer = await fixture.given({ affinitySeconds: 600 }, []);
      await fixture.put(sliceAt(outer.name, family, address, 80));
      const asked = frontend("clusterIP", outer.number, family);
      expect(await outcomes(["a2"], asked, 3000)).toEqual(all(["a2"], "refused"));
      const target = outer.reach(family, "clusterIP", "a2");
      // As in kube-proxy's iptables mode, xt_recent remembers before the filter table refuses.
      if (backend === "nftables") {
        expect(await remembered(fixture.world, backend, target)).toBeUndefined();
      }
    });

    describe.each([
      ["nft at dstnat", -100],
      ["nft before dstnat", -150],
    ])("source ranges, and a foreign translation by %s", (_, priority) => {
      test(`refuse other sources${because("foreign translation of source ranges")}`, async () => {
        const sourceRanges = [`${addressOf("outside", family)}/${family === 4 ? 32 : 128}`];
        const made = await fixture.given({ type: "LoadBalancer", sourceRanges }, ["a1"]);
        const asked = frontend("vip", made.number, family);
        await addNft(fixture.world, nftTable(), priority, [{ family, ...asked }]);
        expect(await outcomes(["outside"], asked, 3000)).toEqual(all(["outside"], "b2"));
        const refused = excepted(backend, "foreign translation of source ranges")
          ? "b2"
          : "timeout";
        expect(await outcomes(["a3", "node1"], asked, patienceFor(refused))).toEqual(
          all(["a3", "node1"], refused),
        );
      });
    });

    test("source ranges refuse other sources before an iptables rule translates", async () => {
      const sourceRanges = [`${addressOf("outside", family)}/${family === 4 ? 32 : 128}`];
      const made = await fixture.given({ type: "LoadBalancer", sourceRanges }, ["a1"]);
      const { address } = frontend("vip", made.number, family);
      const match = ["-d", address, "-p", "tcp", "--dport", "80"];
      const verdict = ["-j", "DNAT", "--to-destination", targetOf(family)];
      const rule = ["-t", "nat", "-I", "PREROUTING", ...match, ...verdict];
      await iptables(fixture.world, "legacy", family, ...rule);
      const refused = excepted(backend, "foreign translation of source ranges") ? "b2" : "timeout";
      const asked = { address, port: 80 };
      expect(await outcomes(["outside"], asked, 3000)).toEqual(all(["outside"], "b2"));
      expect(await outcomes(["a3"], asked, patienceFor(refused))).toEqual(all(["a3"], refused));
    });
  });

  test("source ranges refuse other sources, although TPROXY would divert them", async () => {
    const asked: Destination[] = [];
    for (const family of FAMILIES) {
      const sourceRanges = [`${addressOf("outside", family)}/${family === 4 ? 32 : 128}`];
      const made = await fixture.given({ type: "LoadBalancer", sourceRanges }, []);
      asked.push({ family, ...frontend("vip", made.number, family) });
    }
    await addTproxy(fixture.world, asked);
    for (const destination of asked) {
      const refused = excepted(backend, "diverted connections");
      const timeoutMs = 250;
      const expected = refused ? (destination.family === 4 ? "timeout" : "refused") : "timeout";
      expect(await outcomes(["a3"], destination, timeoutMs)).toEqual(all(["a3"], expected));
      const answered = refused ? expected : "proxy";
      expect(await outcomes(["outside"], destination, timeoutMs)).toEqual(
        all(["outside"], answered),
      );
    }
  });
});
