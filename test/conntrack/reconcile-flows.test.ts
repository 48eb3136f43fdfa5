import { beforeEach, describe, expect, test } from "bun:test";
import { service, slice } from "../../harness/sync/sync-world.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { FlowsFixture, NODE_PORT, udp, udpSlice } from "./flows-fixture.ts";

const fixture = new FlowsFixture();

describe("when an endpoint goes", () => {
  test.each([
    ["clusterIP", "10.96.0.53 53"],
    ["external IP", "192.0.2.53 53"],
    ["node port", "198.51.100.1 30053"],
  ])("flows to it through the %s end, and flows to others stay", async (_, to) => {
    await fixture.given(NODE_PORT);
    fixture.entry(to, "10.1.0.1 5353");
    fixture.entry(to, "10.1.0.2 5353");
    fixture.entry(to, "10.1.0.2 9999");
    fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.2!", "10.1.0.3"]));
    await fixture.follow();
    expect(fixture.entries()).toEqual([`${to} <- 10.1.0.2 5353`]);
    expect(fixture.reports.at(-1)).toMatchObject({ family: 4, entries: 3, deleted: 2 });
  });

  test.each([
    ["another port of the same address", "10.96.0.53 54", "10.1.0.1 5353", "udp"],
    ["another Service", "10.96.0.54 53", "10.1.0.8 5353", "udp"],
    ["the number of a node port at a foreign address", "203.0.113.1 30053", "10.1.0.1 5353", "udp"],
    ["the same frontend by TCP", "10.96.0.53 53", "10.1.0.1 5353", "tcp"],
    ["an endpoint itself", "10.1.0.1 5353", "10.1.0.1 5353", "udp"],
  ])("flows to %s stay", async (_, to, from, protocol) => {
    await fixture.given(NODE_PORT);
    fixture.entry(to, from, protocol);
    fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.2!"]));
    await fixture.follow();
    expect(fixture.entries()).toEqual([`${to} <- ${from}`]);
  });
});

test("IPv6 flows follow as IPv4 flows do", async () => {
  const clusterIPs = ["10.96.0.53", "fd00:96::53"];
  fixture.world.put("Service", udp("dns", "10.96.0.53", { clusterIPs }));
  fixture.world.put("EndpointSlice", udpSlice("dns-6", "dns", ["fd00:1::1", "fd00:1::2"]));
  await fixture.follow(2);
  fixture.entry("fd00:96::53 53", "fd00:1::1 5353");
  fixture.entry("fd00:96::53 53", "fd00:1::2 5353");
  fixture.world.put("EndpointSlice", udpSlice("dns-6", "dns", ["fd00:1::2"]));
  await fixture.follow(2);
  expect(fixture.entries()).toEqual(["fd00:96::53 53 <- fd00:1::2 5353"]);
});

describe("untranslated flows", () => {
  test("end when the first endpoint comes", async () => {
    fixture.world.put("Service", udp("dns", "10.96.0.53"));
    await fixture.follow();
    fixture.entry("10.96.0.53 53", "10.96.0.53 53");
    fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.1"]));
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });

  test("stay when their frontend goes: they do not lead to an endpoint", async () => {
    await fixture.given(NODE_PORT);
    fixture.entry("192.0.2.53 53", "192.0.2.53 53");
    fixture.world.put("Service", udp("dns", "10.96.0.53"));
    await fixture.follow();
    expect(fixture.entries()).toEqual(["192.0.2.53 53 <- 192.0.2.53 53"]);
  });
});

describe("flows to an endpoint end when", () => {
  test.each<[string, () => void]>([
    ["no endpoint is left", () => fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", []))],
    [
      "the Service is deleted",
      () => fixture.world.remove("Service", udp("dns", "10.96.0.53", NODE_PORT)),
    ],
    [
      "the frontend is another port",
      () =>
        fixture.world.put(
          "Service",
          udp("dns", "10.96.0.53", {
            ...NODE_PORT,
            ports: [{ name: "http", protocol: "UDP", port: 54, nodePort: 30_054 }],
          }),
        ),
    ],
  ])("%s", async (_, change) => {
    await fixture.given(NODE_PORT);
    for (const to of ["10.96.0.53 53", "192.0.2.53 53", "198.51.100.1 30053"]) {
      fixture.entry(to, "10.1.0.1 5353");
    }
    change();
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });
});

test.each([
  ["internalTrafficPolicy", "10.96.0.53 53"],
  ["externalTrafficPolicy", "192.0.2.53 53"],
])("%s Local cuts no flow to a serving endpoint on another node", async (policy, to) => {
  await fixture.given(NODE_PORT);
  fixture.entry(to, "10.1.0.1 5353");
  fixture.world.put("Service", udp("dns", "10.96.0.53", { ...NODE_PORT, [policy]: "Local" }));
  await fixture.follow();
  expect(fixture.entries()).toEqual([`${to} <- 10.1.0.1 5353`]);
});

describe("an endpoint that gets no new connections keeps its flows", () => {
  const both = (first: JsonObject, second: JsonObject) => ({
    ...udpSlice("dns-1", "dns", ["10.1.0.1"]),
    endpoints: [first, second].map((own, i) => ({
      addresses: [`10.1.0.${i + 1}`],
      conditions: { ready: true },
      ...own,
    })),
  });
  const leaving = { conditions: { ready: false, serving: true, terminating: true } };
  const gone = { conditions: { ready: false, serving: false, terminating: true } };

  test("while it terminates but serves, and no longer", async () => {
    await fixture.given();
    fixture.entry("10.96.0.53 53", "10.1.0.2 5353");
    fixture.world.put("EndpointSlice", both({}, leaving));
    await fixture.follow();
    expect(fixture.entries()).toEqual(["10.96.0.53 53 <- 10.1.0.2 5353"]);
    fixture.world.put("EndpointSlice", both({}, gone));
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });

  test("while topology hints lead elsewhere", async () => {
    await fixture.given();
    fixture.world.core.setZone("here");
    fixture.entry("10.96.0.53 53", "10.1.0.2 5353");
    const hints = (zone: string) => ({ hints: { forZones: [{ name: zone }] } });
    fixture.world.put("EndpointSlice", both(hints("here"), hints("there")));
    await fixture.follow();
    expect(fixture.entries()).toEqual(["10.96.0.53 53 <- 10.1.0.2 5353"]);
    fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.1"]));
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });
});

describe("TCP connections to a removed endpoint", () => {
  const HTTP = { ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_080 }] };
  const to = ["10.96.0.80 80", "192.0.2.53 80", "198.51.100.1 30080"];

  beforeEach(async () => {
    fixture.world.put("Service", service("web", "10.96.0.80", { ...NODE_PORT, ...HTTP }));
    fixture.world.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1", "10.1.0.2"]));
    await fixture.world.sync();
  });

  test.each(to)("end in %s, because nobody has answered them", async (frontend) => {
    fixture.tcp(frontend, "10.1.0.1 8080", "SYN_SENT");
    fixture.tcp(frontend, "10.1.0.2 8080", "SYN_SENT");
    fixture.world.put("EndpointSlice", slice("web-1", "web", ["10.1.0.2"]));
    await fixture.follow();
    expect(fixture.entries()).toEqual([`${frontend} <- 10.1.0.2 8080`]);
    expect(fixture.reports.at(-1)).toMatchObject({ family: 4, entries: 2, deleted: 1 });
  });

  test.each(["SYN_RECV", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "CLOSE"])(
    "stay in %s, and the kernel does not even list them",
    async (state) => {
      fixture.tcp("10.96.0.80 80", "10.1.0.1 8080", state, "SEEN_REPLY");
      fixture.world.put("EndpointSlice", slice("web-1", "web", ["10.1.0.2"]));
      await fixture.follow();
      expect(fixture.entries()).toEqual(["10.96.0.80 80 <- 10.1.0.1 8080"]);
      expect(fixture.reports.at(-1)).toMatchObject({ entries: 0, deleted: 0 });
    },
  );
});
