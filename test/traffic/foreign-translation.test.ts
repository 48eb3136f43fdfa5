/**
 * Other programs translate connections to addresses that no endpoint serves, or TPROXY diverts
 * them. Sluice refuses a connection only if it is still unserved after that, as kube-proxy does.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FAMILIES, type Family, type Location } from "../../harness/netns/addresses.ts";
import { nameOf, useLongTimeout } from "../../harness/netns/connections.ts";
import { type Frontend, frontend } from "../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { externalIps, service, slices } from "../../harness/netns/world-objects.ts";
import { EXCEPTIONS, type Exception, excepted } from "./exceptions.ts";
import {
  type Destination,
  startLocalProxy,
  TPROXY,
  TRANSLATIONS,
  type Translation,
} from "./foreign-translations.ts";
import { describeBackends, type Endpoints, type Own } from "./traffic-fixture.ts";

/** An address that no endpoint serves, at least to these clients. */
interface Unserved {
  readonly name: string;
  /** Its Service; without one, the address is unallocated. */
  readonly own?: Own;
  readonly externalIPs?: boolean;
  readonly endpoints?: Endpoints;
  readonly to: Frontend;
  readonly port?: number;
  readonly from: readonly Location[];
  /** The outcome without a foreign translation. */
  readonly otherwise: "refused" | "timeout";
  readonly exception?: Exception;
  /** The outcome for clients that TPROXY diverts, if it is not the proxy's answer. */
  readonly diverted?: "refused" | "timeout";
  readonly divertedBut?: readonly [Exception, Readonly<Record<Family, string>>];
}

const EVERYBODY: readonly Location[] = ["a3", "outside", "node1"];
const OTHER_PROXY = { labels: { "service.kubernetes.io/service-proxy-name": "other" } };
/** The kernel sends no ICMP error from an IPv4 address that is not its own. */
const REFUSED = ["diverted connections", { 4: "timeout", 6: "refused" }] as const;
const DROPPED = ["diverted connections", { 4: "timeout", 6: "timeout" }] as const;

const UNSERVED: readonly Unserved[] = [
  {
    name: "the clusterIP of another proxy's Service",
    own: OTHER_PROXY,
    to: "clusterIP",
    from: EVERYBODY,
    otherwise: "timeout",
  },
  {
    name: "a port that a clusterIP does not have",
    own: {},
    endpoints: ["a1"],
    to: "clusterIP",
    port: 8443,
    from: EVERYBODY,
    otherwise: "refused",
    exception: "unlisted ports",
  },
  {
    name: "an unallocated clusterIP",
    to: "clusterIP",
    from: EVERYBODY,
    otherwise: "timeout",
  },
  {
    name: "a clusterIP without endpoints",
    own: {},
    to: "clusterIP",
    from: EVERYBODY,
    otherwise: "refused",
  },
  {
    name: "a clusterIP with internalTrafficPolicy Local and no local endpoint",
    own: { internalPolicy: "Local" },
    endpoints: ["b1"],
    to: "clusterIP",
    from: EVERYBODY,
    otherwise: "timeout",
  },
  {
    name: "a load balancer IP without endpoints",
    own: { type: "LoadBalancer" },
    to: "vip",
    from: EVERYBODY,
    otherwise: "refused",
    divertedBut: REFUSED,
  },
  {
    name: "an externalIP without endpoints",
    own: {},
    externalIPs: true,
    to: "externalIP",
    from: EVERYBODY,
    otherwise: "refused",
    divertedBut: REFUSED,
  },
  {
    name: "a node port without endpoints",
    own: { type: "NodePort" },
    to: "node port",
    from: EVERYBODY,
    otherwise: "refused",
    diverted: "refused",
  },
  {
    name: "a load balancer IP with externalTrafficPolicy Local and no local endpoint",
    own: { type: "LoadBalancer", externalPolicy: "Local" },
    endpoints: ["b1"],
    to: "vip",
    from: ["outside"],
    otherwise: "timeout",
    divertedBut: DROPPED,
  },
  {
    name: "a node port with externalTrafficPolicy Local and no local endpoint",
    own: { type: "NodePort", externalPolicy: "Local" },
    endpoints: ["b1"],
    to: "node port",
    from: ["outside"],
    otherwise: "timeout",
    diverted: "timeout",
  },
];

/** Nobody translates the last group of destinations. */
const GROUPS: readonly (Translation | undefined)[] = [...TRANSLATIONS, TPROXY, undefined];

/** Each group has its own destinations, so that all rules can exist together. */
function numberOf(group: number, index: number): number {
  return 1 + group * UNSERVED.length + index;
}

function destinationsOf(group: number): Destination[] {
  return UNSERVED.flatMap(({ to, port }, index) =>
    FAMILIES.map((family) => ({ family, ...frontend(to, numberOf(group, index), family, port) })),
  );
}

useLongTimeout();

describeBackends((backend) => {
  let world: World;

  beforeAll(async () => {
    world = await World.build();
    await startLocalProxy(world);
    const program = new SluiceProcess(world, { backend });
    for (const group of GROUPS.keys()) {
      for (const [index, { own, endpoints = [], externalIPs }] of UNSERVED.entries()) {
        if (own === undefined) continue;
        const number = numberOf(group, index);
        const name = `s${number}`;
        const ips = externalIPs ? { externalIPs: externalIps(number) } : {};
        program.put([service({ ...own, ...ips, name, number }), ...slices(name, endpoints)]);
      }
    }
    const add = async (when: Translation["when"]) => {
      for (const [group, translation] of GROUPS.entries()) {
        if (translation?.when === when) await translation.add(world, destinationsOf(group));
      }
    };
    await add("before");
    await program.start(DEFAULT_FLAGS);
    await add("after");
  });
  afterAll(() => world.close());

  const excludes = (exception: Exception | undefined) =>
    exception !== undefined && excepted(backend, exception);

  function expectedOf(
    translation: Translation | undefined,
    unserved: Unserved,
    family: Family,
  ): string {
    const { otherwise, exception, diverted, divertedBut } = unserved;
    if (translation === undefined) return excludes(exception) ? "timeout" : otherwise;
    if (translation !== TPROXY) return translation.answers;
    if (divertedBut !== undefined && excludes(divertedBut[0])) return divertedBut[1][family];
    return diverted ?? translation.answers;
  }

  describe.each(
    [...GROUPS.entries()].map(([group, one]) => [one?.name ?? "nobody", group] as const),
  )("%s translates", (_, group) => {
    const translation = GROUPS[group];
    const rows = UNSERVED.flatMap((unserved, index) =>
      FAMILIES.map((family): [string, Unserved, number, Family] => [
        `${unserved.name}${because(unserved)} (IPv${family})`,
        unserved,
        numberOf(group, index),
        family,
      ]),
    );
    function because({ exception, divertedBut }: Unserved): string {
      const used = translation === undefined ? exception : divertedBut?.[0];
      const applies = translation === undefined || translation === TPROXY;
      return used !== undefined && applies && excepted(backend, used)
        ? `: ${EXCEPTIONS[used].why}`
        : "";
    }

    test.each(rows)("%s", async (_name, unserved, number, family) => {
      const expected = expectedOf(translation, unserved, family);
      const { address, port } = frontend(unserved.to, number, family, unserved.port);
      // TPROXY does not see the node's own connections.
      const from = unserved.from.filter((one) => translation !== TPROXY || one !== "node1");
      const found: string[] = [];
      for (const client of from) {
        for (const transport of translation === TPROXY
          ? (["tcp"] as const)
          : (["tcp", "udp"] as const)) {
          if (transport === "udp" && translation === undefined) continue;
          const timeoutMs = expected === "timeout" ? 250 : 3000;
          const reply = await world.connect(client, address, port, { transport, timeoutMs });
          found.push(`${client} ${transport}: ${nameOf(reply)}`);
        }
      }
      expect(found).toEqual(found.map((line) => line.replace(/: .*/, `: ${expected}`)));
    });
  });
});
