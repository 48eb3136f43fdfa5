import { beforeEach, describe, expect, test } from "bun:test";
import { ConnectionCounters } from "../../src/observe/connections.ts";
import type { Action } from "../../src/plan/actions.ts";
import { PROTOCOLS, type ServiceId } from "../../src/types.ts";
import { Committed } from "./committed.ts";

const WEB = 1 as ServiceId;
const PICK: Action = { verb: "pick", source: "endpoints", reach: "plain", count: 2 };
const ACCEPT: Action = { verb: "accept" };

let core: Committed;
let counters: ConnectionCounters;

beforeEach(() => {
  core = new Committed();
  core.addService({
    id: WEB,
    ports: [
      { name: "http", protocol: PROTOCOLS.TCP, port: 80, nodePort: 30080 },
      { name: "", protocol: PROTOCOLS.UDP, port: 80, nodePort: 0 },
    ],
  });
  core.set("frontends", WEB, "10.96.0.1 TCP 80", PICK);
  core.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-0", "10.1.0.1 8080");
  core.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-1", "10.1.0.2 8080");
  counters = new ConnectionCounters(core, 10);
});

/** `http 3`, `10.1.0.1:8080 2`, `omitted 0`. */
function printed(): string[] {
  counters.collect(core.backend);
  return counters.instruments().flatMap((instrument) =>
    instrument.samples().map(({ labels: { port, endpoint }, value }) => {
      return `${port ?? endpoint ?? "omitted"} ${value}`;
    }),
  );
}

test("nothing is shown before the first connection", () => {
  expect(printed()).toEqual(["omitted 0"]);
});

test("connections add up by service port and by endpoint", () => {
  core.hit("frontends", "10.96.0.1 TCP 80", 3);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(printed()).toEqual(["http 3", "10.1.0.1:8080 2", "10.1.0.2:8080 1", "omitted 0"]);
  core.hit("frontends", "10.96.0.1 TCP 80", 1);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(printed()).toEqual(["http 4", "10.1.0.1:8080 2", "10.1.0.2:8080 2", "omitted 0"]);
});

test("every frontend of a port counts for it, whichever family", () => {
  core.set("nodeports", WEB, "TCP 30080", PICK);
  core.set("outside", WEB, "1.2.3.4 TCP 80", PICK);
  core.set("frontends", WEB, "fd00::1 TCP 80", PICK);
  core.set("frontends", WEB, "10.96.0.1 UDP 80", PICK);
  core.hit("nodeports", "TCP 30080", 1);
  core.hit("outside", "1.2.3.4 TCP 80", 10);
  core.hit("frontends", "fd00::1 TCP 80", 100, 6);
  core.hit("frontends", "10.96.0.1 UDP 80", 5);
  expect(printed().sort()).toEqual(["80 5", "http 111", "omitted 0"]);
});

test("a packet that is let through untranslated, to be dropped, is no connection", () => {
  core.set("outside", WEB, "1.2.3.4 TCP 80", ACCEPT);
  core.hit("outside", "1.2.3.4 TCP 80", 7);
  expect(printed()).toEqual(["omitted 0"]);
});

describe("the sums never go back", () => {
  beforeEach(() => {
    core.hit("frontends", "10.96.0.1 TCP 80", 5);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 3);
    printed();
  });

  test("when an endpoint moves to another slot", () => {
    core.delete("endpoints", "10.96.0.1 TCP 80 slot-1");
    core.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-0", "10.1.0.2 8080");
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 1);
    expect(printed()).toEqual(["http 5", "10.1.0.2:8080 4", "omitted 0"]);
  });

  test("when a frontend is made anew", () => {
    core.set("frontends", WEB, "10.96.0.1 TCP 80", PICK);
    core.hit("frontends", "10.96.0.1 TCP 80", 1);
    expect(printed()).toContain("http 6");
  });

  test("but a deleted Service is forgotten, although its id and elements linger", () => {
    core.services.delete(WEB);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 1);
    expect(printed()).toEqual(["omitted 0"]);
  });

  test("and one that takes its id starts at nothing", () => {
    core.names.delete(WEB);
    printed();
    core.addService({
      id: WEB,
      name: "other",
      ports: [{ name: "http", protocol: PROTOCOLS.TCP, port: 80, nodePort: 0 }],
    });
    core.hit("frontends", "10.96.0.1 TCP 80", 1);
    expect(printed()).toEqual(["http 1", "omitted 0"]);
  });
});

test("endpoints beyond the limit are counted, not shown", () => {
  counters = new ConnectionCounters(core, 1);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(printed()).toEqual(["10.1.0.1:8080 2", "omitted 1"]);
});
