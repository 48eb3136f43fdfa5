import { beforeEach, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import type { FullFrontend } from "../../src/backend/parts.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { NOT_REMEMBERED_POLL_MS } from "../../src/base/limits.ts";
import type { Action } from "../../src/model/actions.ts";
import { OWNER_ADOPTED } from "../../src/model/owner.ts";
import type { ServiceId } from "../../src/model/service.ts";
import { PROTOCOLS } from "../../src/net/protocol.ts";
import { FullFrontends } from "../../src/observe/full-frontends.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import { Committed } from "./fake-committed.ts";

const WEB = 1 as ServiceId;
const DNS = 2 as ServiceId;
const learn = (nodePort: boolean): Action => ({ verb: "learn", nodePort, map: 7, seconds: 60 });
const VIP = "10.96.0.1 TCP 80";
const NODE_PORT = "TCP 30080";

let core: Committed;
let clock: FakeClock;
/** `begin` or `end`, and the message of each line about a problem. */
let logged: string[];
let problems: ProblemRegistry;
/** The answer of the kernel: connections by frontend. */
let kernel: Map<string, number>;
let reads: number;
let failure: SluiceError | undefined;

beforeEach(() => {
  core = new Committed();
  const port = { name: "http", protocol: PROTOCOLS.TCP, port: 80, nodePort: 30080 };
  core.addService({ id: WEB, ports: [port] });
  core.addService({ id: DNS, name: "dns", ports: [{ ...port, name: "", port: 53, nodePort: 0 }] });
  core.set("learn", WEB, VIP, learn(false));
  core.set("nodeports-learn", WEB, NODE_PORT, learn(true));
  core.set("learn", DNS, "fd00::1 TCP 53", learn(false));
  clock = new FakeClock();
  logged = [];
  problems = new ProblemRegistry(
    ({ message }) => logged.push(`begin ${message}`),
    ({ subject }) => logged.push(`end ${subject}`),
  );
  kernel = new Map();
  reads = 0;
  failure = undefined;
});

const reader = {
  read: (): readonly FullFrontend[] => {
    reads++;
    if (failure !== undefined) throw failure;
    return [...kernel].map(([words, connections]) => {
      const table = words === NODE_PORT ? "nodeports-learn" : "learn";
      return { ...core.locate(table, words), connections };
    });
  },
};

function started(failed: (error: unknown) => void = unexpectedError): FullFrontends {
  const made = new FullFrontends({
    core,
    clock,
    problems: (events) => problems.report(events),
    failed,
  });
  made.start(reader);
  return made;
}

/** `default/web http 7`. */
function counted(of: FullFrontends): string[] {
  return of
    .instruments()
    .flatMap((instrument) => instrument.samples())
    .map(({ labels: { namespace, service, port }, value }) => {
      return `${namespace}/${service} ${port} ${value}`;
    });
}

const subjects = () => problems.list().map(({ code, subject }) => `${code} ${subject}`);

test("a full frontend is one problem of its Service while it lasts", async () => {
  const found = started();
  expect([subjects(), counted(found)]).toEqual([[], []]);
  kernel.set(VIP, 3);
  await clock.advance(NOT_REMEMBERED_POLL_MS);
  expect(subjects()).toEqual(["AFFINITY_FULL Service default/web"]);
  kernel.set(VIP, 8);
  await clock.advance(NOT_REMEMBERED_POLL_MS);
  const message =
    "spec.sessionAffinity: no room to remember new clients of 10.96.0.1:80/TCP; they are served without affinity";
  expect(logged).toEqual([`begin ${message}`]);
  kernel.delete(VIP);
  await clock.advance(NOT_REMEMBERED_POLL_MS);
  expect(subjects()).toEqual([]);
  expect(logged).toEqual([`begin ${message}`, "end Service default/web"]);
  expect(counted(found)).toEqual(["default/web http 8"]);
});

test("all full frontends of a Service are in one problem, and their ports are summed", () => {
  kernel.set(VIP, 3).set(NODE_PORT, 4).set("fd00::1 TCP 53", 5);
  const found = started();
  expect(subjects()).toEqual([
    "AFFINITY_FULL Service default/web",
    "AFFINITY_FULL Service default/dns",
  ]);
  expect(problems.of("Service default/web")[0]?.message).toContain(
    "10.96.0.1:80/TCP, IPv4 node port 30080/TCP;",
  );
  expect(counted(found)).toEqual(["default/web http 7", "default/dns 53 5"]);
});

test("a count that the kernel began again is added", () => {
  const found = started();
  for (const packets of [5, 5, 2, 4]) {
    kernel.set(VIP, packets);
    found.read();
  }
  kernel.delete(VIP);
  found.read();
  kernel.set(VIP, 4);
  found.read();
  expect(counted(found)).toEqual(["default/web http 13"]);
});

test("an adopted frontend counts when its Service has claimed it", () => {
  core.set("learn", OWNER_ADOPTED, VIP, learn(false));
  kernel.set(VIP, 5);
  const found = started();
  expect([subjects(), counted(found)]).toEqual([[], []]);
  core.set("learn", WEB, VIP, learn(false));
  found.read();
  expect(subjects()).toEqual(["AFFINITY_FULL Service default/web"]);
  expect(counted(found)).toEqual(["default/web http 5"]);
});

test("a Service without affinity has no problem, and a deleted one no series", () => {
  kernel.set(VIP, 5);
  const found = started();
  core.delete("learn", VIP);
  found.read();
  expect(subjects()).toEqual([]);
  expect(counted(found)).toEqual(["default/web http 5"]);
  core.services.delete(WEB);
  found.read();
  expect(counted(found)).toEqual([]);
});

test("without session affinity the kernel is not asked", async () => {
  core.delete("learn", VIP);
  core.delete("nodeports-learn", NODE_PORT);
  core.delete("learn", "fd00::1 TCP 53", 6);
  started();
  await clock.advance(10 * NOT_REMEMBERED_POLL_MS);
  expect(reads).toBe(0);
});

test("a failure is reported once and keeps the problem", async () => {
  const failed: unknown[] = [];
  kernel.set(VIP, 5);
  started((error) => failed.push(error));
  failure = new SluiceError("NETLINK_SOCKET", "no buffers");
  await clock.advance(3 * NOT_REMEMBERED_POLL_MS);
  expect(failed).toEqual([failure]);
  expect(subjects()).toEqual(["AFFINITY_FULL Service default/web"]);
  failure = undefined;
  await clock.advance(NOT_REMEMBERED_POLL_MS);
  failure = new SluiceError("NETLINK_SOCKET", "again");
  await clock.advance(NOT_REMEMBERED_POLL_MS);
  expect(failed).toHaveLength(2);
});

test("nothing is read after the stop, or without a reader", async () => {
  const found = started();
  found.stop();
  await clock.advance(10 * NOT_REMEMBERED_POLL_MS);
  found.read();
  expect([reads, clock.waiting]).toEqual([1, 0]);
  found.start(undefined);
  expect(clock.waiting).toBe(0);
});
