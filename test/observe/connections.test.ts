import { beforeEach, describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { Action } from "../../src/model/actions.ts";
import type { ServiceId } from "../../src/model/service.ts";
import { PROTOCOLS } from "../../src/net/protocol.ts";
import { ConnectionCounters } from "../../src/observe/connections.ts";
import { Committed } from "./fake-committed.ts";

const WEB = 1 as ServiceId;
const PICK: Action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: 2 };
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
  counters = new ConnectionCounters(core, 10, unexpectedError);
});

/** `http 3`, `10.1.0.1:8080 2`, `omitted 0`. */
async function printed(): Promise<string[]> {
  await counters.collect(core.reader);
  return shown();
}

function shown(): string[] {
  const left = /failed_total$|service_series_omitted$/;
  const all = counters.instruments().filter(({ name }) => !left.test(name));
  return all.flatMap((instrument) =>
    instrument.samples().map(({ labels: { port, endpoint }, value }) => {
      return `${port ?? endpoint ?? "omitted"} ${value}`;
    }),
  );
}

test("there are no series before the first connection", async () => {
  expect(await printed()).toEqual(["omitted 0"]);
});

test("connections are summed by Service port and by endpoint", async () => {
  core.hit("frontends", "10.96.0.1 TCP 80", 3);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(await printed()).toEqual(["http 3", "10.1.0.1:8080 2", "10.1.0.2:8080 1", "omitted 0"]);
  core.hit("frontends", "10.96.0.1 TCP 80", 1);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(await printed()).toEqual(["http 4", "10.1.0.1:8080 2", "10.1.0.2:8080 2", "omitted 0"]);
});

test("all frontends of a port count for it, in both families", async () => {
  core.set("nodeports", WEB, "TCP 30080", PICK);
  core.set("outside", WEB, "1.2.3.4 TCP 80", PICK);
  core.set("frontends", WEB, "fd00::1 TCP 80", PICK);
  core.set("frontends", WEB, "10.96.0.1 UDP 80", PICK);
  core.hit("nodeports", "TCP 30080", 1);
  core.hit("outside", "1.2.3.4 TCP 80", 10);
  core.hit("frontends", "fd00::1 TCP 80", 100, 6);
  core.hit("frontends", "10.96.0.1 UDP 80", 5);
  expect((await printed()).sort()).toEqual(["80 5", "http 111", "omitted 0"]);
});

test("a packet that passes untranslated, to be dropped, is not a connection", async () => {
  core.set("outside", WEB, "1.2.3.4 TCP 80", ACCEPT);
  core.hit("outside", "1.2.3.4 TCP 80", 7);
  expect(await printed()).toEqual(["omitted 0"]);
});

describe("sums never decrease", () => {
  beforeEach(async () => {
    core.hit("frontends", "10.96.0.1 TCP 80", 5);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 3);
    await printed();
  });

  test("if an endpoint moves to another slot", async () => {
    core.delete("endpoints", "10.96.0.1 TCP 80 slot-1");
    core.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-0", "10.1.0.2 8080");
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 1);
    expect(await printed()).toEqual(["http 5", "10.1.0.2:8080 4", "omitted 0"]);
  });

  test("if a frontend is recreated", async () => {
    core.set("frontends", WEB, "10.96.0.1 TCP 80", PICK);
    core.hit("frontends", "10.96.0.1 TCP 80", 1);
    expect(await printed()).toContain("http 6");
  });

  test("a deleted Service loses its sums even if its id and elements still exist", async () => {
    core.services.delete(WEB);
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 1);
    expect(await printed()).toEqual(["omitted 0"]);
  });

  test("a Service that reuses an id starts at 0", async () => {
    core.names.delete(WEB);
    await printed();
    core.addService({
      id: WEB,
      name: "other",
      ports: [{ name: "http", protocol: PROTOCOLS.TCP, port: 80, nodePort: 0 }],
    });
    core.hit("frontends", "10.96.0.1 TCP 80", 1);
    expect(await printed()).toEqual(["http 1", "omitted 0"]);
  });
});

test("Service ports above the limit are only counted as omitted", async () => {
  counters = new ConnectionCounters(core, 10, unexpectedError, 1);
  core.set("frontends", WEB, "10.96.0.1 UDP 80", PICK);
  core.hit("frontends", "10.96.0.1 TCP 80", 2);
  core.hit("frontends", "10.96.0.1 UDP 80", 1);
  const all = async () => {
    await counters.collect(core.reader);
    return counters.instruments().map((each) => each.samples());
  };
  const [ports, , omitted] = await all();
  expect(ports).toMatchObject([{ labels: { port: "http" }, value: 2 }]);
  expect(omitted).toEqual([{ labels: {}, value: 1 }]);
  core.hit("frontends", "10.96.0.1 UDP 80", 5);
  expect((await all())[0]).toMatchObject([{ labels: { port: "http" }, value: 2 }]);
});

test("endpoints above the limit are only counted as omitted", async () => {
  counters = new ConnectionCounters(core, 1, unexpectedError);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-0", 2);
  core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
  expect(await printed()).toEqual(["10.1.0.1:8080 2", "omitted 1"]);
});

describe("a collection", () => {
  const failed: unknown[] = [];
  const failures = () =>
    counters
      .instruments()
      .find(({ name }) => name.endsWith("failed_total"))
      ?.samples()[0]?.value;
  beforeEach(() => {
    failed.length = 0;
    counters = new ConnectionCounters(core, 10, (error) => failed.push(error));
    core.hit("frontends", "10.96.0.1 TCP 80", 3);
  });

  test("is shared by concurrent callers", async () => {
    let readings = 0;
    let end = () => {};
    const slow: typeof core.reader = {
      read(each) {
        readings++;
        return new Promise((resolve) => {
          end = () => resolve(core.reader.read(each));
        });
      },
    };
    const all = [counters.collect(slow), counters.collect(slow), counters.collect(slow)];
    end();
    await Promise.all(all);
    expect(readings).toBe(1);
    expect(shown()).toContain("http 3");
    void counters.collect(slow);
    expect(readings).toBe(2);
    end();
  });

  test("that exceeds the patience of a scrape continues without the scrape", async () => {
    let end = () => {};
    const slow: typeof core.reader = {
      read: (each) =>
        new Promise((resolve) => {
          end = () => resolve(core.reader.read(each));
        }),
    };
    await counters.collect(slow, Promise.resolve());
    expect(shown()).toEqual(["omitted 0"]);
    const whole = counters.collect(slow);
    end();
    await whole;
    expect(shown()).toContain("http 3");
  });

  test("that fails keeps the sums, is counted each time and reported once", async () => {
    await printed();
    const error = new SluiceError("NETLINK_SOCKET", "no answer");
    const broken = { read: () => Promise.reject(error) };
    await counters.collect(broken);
    await counters.collect(broken);
    expect([failures(), failed, shown()]).toEqual([2, [error], ["http 3", "omitted 0"]]);
    await printed();
    await counters.collect(broken);
    expect(failed).toEqual([error, error]);
  });

  test.each([
    ["an assertion in the core", new SluiceError("CORE_ABORT", "assertion failed")],
    ["a bug", new TypeError("undefined is not an object")],
  ])("rethrows %s", async (_, error) => {
    const broken = { read: () => Promise.reject(error) };
    await expect(counters.collect(broken)).rejects.toBe(error);
    expect([failures(), failed]).toEqual([0, []]);
  });

  test("with slot changes forgets an endpoint only if it is missing twice", async () => {
    core.hit("endpoints", "10.96.0.1 TCP 80 slot-1", 1);
    await printed();
    core.delete("endpoints", "10.96.0.1 TCP 80 slot-1");
    core.quiet = false;
    expect(await printed()).toContain("10.1.0.2:8080 1");
    expect(await printed()).not.toContain("10.1.0.2:8080 1");
  });
});

test("the last count of a deleted element is added", async () => {
  core.hit("frontends", "10.96.0.1 TCP 80", 3);
  await core.reader.read(counters.addDeleted);
  core.delete("frontends", "10.96.0.1 TCP 80");
  expect(await printed()).toContain("http 3");
});
