import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type FlowsReport, UdpFlows } from "../../../src/apply/conntrack/flows.ts";
import { systemClock } from "../../../src/clock.ts";
import type { FrontendText } from "../../../src/diff/udp-frontends.ts";
import { SluiceError } from "../../../src/errors.ts";
import type { JsonObject } from "../../../src/json.ts";
import { createLogger } from "../../../src/log.ts";
import { type SyncWorld, service, slice, syncWorld } from "../../sync/world.ts";
import { inFreshNetns, run } from "../netns.ts";

inFreshNetns();

const PORTS = [{ name: "http", protocol: "UDP", port: 53, nodePort: 30_053 }];
const CLIENT = { 4: "10.244.9.9", 6: "fd00:10:244::9" };

const udp = (name: string, ip: string, spec: JsonObject = {}) =>
  service(name, ip, { ports: PORTS, ...spec });
const udpSlice = (name: string, of: string, addresses: readonly string[]) => ({
  ...slice(name, of, addresses),
  ports: [{ name: "http", protocol: "UDP", port: 5353 }],
});

let world: SyncWorld;
let lines: string[];
let flows: UdpFlows;
let reports: FlowsReport[];
let wake: () => void;

function flowsWith(open?: () => never): UdpFlows {
  const write = (line: string) => {
    lines.push(line);
    wake();
  };
  return new UdpFlows({
    core: world.core,
    clock: systemClock,
    log: createLogger({ verbosity: 0, format: "text", now: () => 0, write, pid: 1 }),
    report(report) {
      reports.push(report);
      wake();
    },
    ...(open && { open }),
  });
}

/** Resolves with the next report or line of the log. */
const next = () =>
  new Promise<void>((resolve) => {
    wake = resolve;
  });

beforeEach(() => {
  lines = [];
  reports = [];
  wake = () => {};
  world = syncWorld();
  world.inputs.setInterfaceAddresses([{ family: 4, bytes: new Uint8Array([198, 51, 100, 1]) }]);
  flows = flowsWith();
});

afterEach(() => {
  flows.close();
  run("conntrack", "-F");
});

let ports = 1000;

/** An entry of a client that asked for `to` and is answered by `from`, each `address port`. */
function entry(to: string, from: string, protocol = "udp"): void {
  const [destination = "", port = ""] = to.split(" ");
  const [source = "", sourcePort = ""] = from.split(" ");
  const client = destination.includes(":") ? CLIENT[6] : CLIENT[4];
  const own = String(++ports);
  const state = protocol === "tcp" ? ["--state", "ESTABLISHED"] : [];
  run(
    ...["conntrack", "-I", "-p", protocol, "-t", "600", ...state],
    ...["-s", client, "-d", destination, "--sport", own, "--dport", port],
    ...["-r", source, "-q", client, "--reply-port-src", sourcePort, "--reply-port-dst", own],
  );
}

/** `to <- from` of all entries. */
function entries(): string[] {
  return ["ipv4", "ipv6"].flatMap((family) =>
    run("conntrack", "-L", "-f", family, "-o", "extended")
      .split("\n")
      .flatMap((line) => {
        const [to, from] = [...line.matchAll(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)];
        return to && from ? [`${to[2]} ${to[4]} <- ${from[1]} ${from[3]}`] : [];
      }),
  );
}

/** Syncs, and lets the flows follow what that changed, in one pass for each family. */
async function follow(families = 1): Promise<void> {
  world.udpFrontends.length = 0;
  await world.sync();
  flows.changed(world.udpFrontends as FrontendText[]);
  for (let i = 0; i < families; i++) await next();
}

async function given(spec: JsonObject = {}): Promise<void> {
  world.put("Service", udp("dns", "10.96.0.53", spec));
  world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.1", "10.1.0.2!"]));
  world.put("Service", udp("other", "10.96.0.54"));
  world.put("EndpointSlice", udpSlice("other-1", "other", ["10.1.0.7"]));
  await follow();
}

const NODE_PORT = { type: "NodePort", externalIPs: ["192.0.2.53"] };

describe("when an endpoint goes", () => {
  test.each([
    ["clusterIP", "10.96.0.53 53"],
    ["external IP", "192.0.2.53 53"],
    ["node port", "198.51.100.1 30053"],
  ])("flows to it by the %s end, and those to others stay", async (_, to) => {
    await given(NODE_PORT);
    entry(to, "10.1.0.1 5353");
    entry(to, "10.1.0.2 5353");
    entry(to, "10.1.0.2 9999");
    world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.2!", "10.1.0.3"]));
    await follow();
    expect(entries()).toEqual([`${to} <- 10.1.0.2 5353`]);
    expect(reports.at(-1)).toMatchObject({ family: 4, entries: 3, deleted: 2 });
  });

  test.each([
    ["another port of the same address", "10.96.0.53 54", "10.1.0.1 5353", "udp"],
    ["another Service", "10.96.0.54 53", "10.1.0.8 5353", "udp"],
    ["the number of a node port at a foreign address", "203.0.113.1 30053", "10.1.0.1 5353", "udp"],
    ["the same frontend by TCP", "10.96.0.53 53", "10.1.0.1 5353", "tcp"],
    ["an endpoint itself", "10.1.0.1 5353", "10.1.0.1 5353", "udp"],
  ])("flows to %s stay", async (_, to, from, protocol) => {
    await given(NODE_PORT);
    entry(to, from, protocol);
    world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.2!"]));
    await follow();
    expect(entries()).toEqual([`${to} <- ${from}`]);
  });
});

test("flows of IPv6 follow as those of IPv4 do", async () => {
  const clusterIPs = ["10.96.0.53", "fd00:96::53"];
  world.put("Service", udp("dns", "10.96.0.53", { clusterIPs }));
  world.put("EndpointSlice", udpSlice("dns-6", "dns", ["fd00:1::1", "fd00:1::2"]));
  await follow(2);
  entry("fd00:96::53 53", "fd00:1::1 5353");
  entry("fd00:96::53 53", "fd00:1::2 5353");
  world.put("EndpointSlice", udpSlice("dns-6", "dns", ["fd00:1::2"]));
  await follow();
  expect(entries()).toEqual(["fd00:96::53 53 <- fd00:1::2 5353"]);
});

describe("flows that were never translated", () => {
  test("end when the first endpoint comes", async () => {
    world.put("Service", udp("dns", "10.96.0.53"));
    await follow();
    entry("10.96.0.53 53", "10.96.0.53 53");
    world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.1"]));
    await follow();
    expect(entries()).toEqual([]);
  });

  test("stay when their frontend goes: they do not lead to an endpoint", async () => {
    await given(NODE_PORT);
    entry("192.0.2.53 53", "192.0.2.53 53");
    world.put("Service", udp("dns", "10.96.0.53"));
    await follow();
    expect(entries()).toEqual(["192.0.2.53 53 <- 192.0.2.53 53"]);
  });
});

describe("flows to an endpoint end when", () => {
  test.each<[string, () => void]>([
    ["no endpoint is left", () => world.put("EndpointSlice", udpSlice("dns-1", "dns", []))],
    ["the Service is deleted", () => world.remove("Service", udp("dns", "10.96.0.53", NODE_PORT))],
    [
      "the frontend is another port",
      () =>
        world.put(
          "Service",
          udp("dns", "10.96.0.53", {
            ...NODE_PORT,
            ports: [{ name: "http", protocol: "UDP", port: 54, nodePort: 30_054 }],
          }),
        ),
    ],
  ])("%s", async (_, change) => {
    await given(NODE_PORT);
    for (const to of ["10.96.0.53 53", "192.0.2.53 53", "198.51.100.1 30053"]) {
      entry(to, "10.1.0.1 5353");
    }
    change();
    await follow();
    expect(entries()).toEqual([]);
  });
});

test.each([
  ["internalTrafficPolicy", "10.96.0.53 53"],
  ["externalTrafficPolicy", "192.0.2.53 53"],
])("%s Local cuts no flow to an endpoint elsewhere that still serves", async (policy, to) => {
  await given(NODE_PORT);
  entry(to, "10.1.0.1 5353");
  world.put("Service", udp("dns", "10.96.0.53", { ...NODE_PORT, [policy]: "Local" }));
  await follow();
  expect(entries()).toEqual([`${to} <- 10.1.0.1 5353`]);
});

test("a kernel that cannot is said once, and asked again at the next change", async () => {
  await given();
  let attempts = 0;
  flows.close();
  flows = flowsWith(() => {
    attempts++;
    throw new SluiceError("NETLINK_REFUSED", "no such subsystem");
  });
  flows.changed(world.udpFrontends as FrontendText[]);
  await next();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("Cannot let flows of UDP follow");
  flows.changed(world.udpFrontends as FrontendText[]);
  while (attempts < 2) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(lines).toHaveLength(1);
});
