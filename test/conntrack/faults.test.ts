import { describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { DumpSocket } from "../../src/conntrack/dump-socket.ts";
import type { FlowSockets } from "../../src/conntrack/reconcile-flows.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/constants.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { FlowsFixture, udpSlice } from "./flows-fixture.ts";

const fixture = new FlowsFixture();

describe("faults", () => {
  const change = async (last: number) => {
    fixture.world.put("EndpointSlice", udpSlice("dns-1", "dns", [`10.1.0.${last}`]));
    await fixture.sync();
  };

  test("an incapable kernel is logged once, and asked again at the next change", async () => {
    await fixture.given();
    let attempts = 0;
    fixture.use(() => {
      attempts++;
      throw new SluiceError("NETLINK_REFUSED", "no such subsystem");
    });
    await change(3);
    await fixture.next();
    expect(fixture.lines).toHaveLength(1);
    expect(fixture.lines[0]).toContain("Failed to delete stale conntrack entries");
    await change(4);
    while (attempts < 2) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(fixture.lines).toHaveLength(1);
  });

  test.each([
    [1, "PERMISSION_DENIED"],
    [95, "NETLINK_REFUSED"],
  ])("errno %i instead of a dump is %s, and is logged once", async (errno, code) => {
    await fixture.given();
    // struct nlmsghdr with NLMSG_ERROR, and an int
    const answer = Uint8Array.of(
      20,
      0,
      0,
      0,
      2,
      0,
      0,
      0,
      ...new Uint8Array(8),
      -errno,
      255,
      255,
      255,
    );
    fixture.use(() => fakeSockets(() => answer));
    await change(3);
    await fixture.next();
    expect(fixture.lines).toHaveLength(1);
    expect(fixture.lines[0]).toContain(code);
    fixture.use();
    fixture.entry("10.96.0.53 53", "10.1.0.1 5353");
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });

  test("a dump that fails midway is logged, and the next change repeats it", async () => {
    await fixture.given();
    let failures = 1;
    fixture.use(() => failingAfter(2, () => failures-- > 0));
    for (let i = 0; i < 100; i++) fixture.entry("10.96.0.53 53", "10.1.0.1 5353");
    await change(9);
    await fixture.next();
    expect(fixture.lines).toHaveLength(1);
    expect(fixture.lines[0]).toContain("no such device");
    expect(fixture.entries().length).toBeGreaterThan(0);
    await fixture.follow();
    expect(fixture.entries()).toEqual([]);
  });

  test("entries that end or begin during the dump do not disturb it", async () => {
    await fixture.given();
    let begun = 0;
    fixture.use(() => {
      const sockets = realSockets();
      return {
        ...sockets,
        dump: {
          request: (bytes, length) => sockets.dump.request(bytes, length),
          async read() {
            const bytes = await sockets.dump.read();
            if (begun++ === 0) {
              run("conntrack", "-F");
              for (let i = 0; i < 10; i++) fixture.entry("10.96.0.53 53", "10.1.0.1 5353");
            }
            return bytes;
          },
          close: () => sockets.dump.close(),
        },
      };
    });
    for (let i = 0; i < 100; i++) fixture.entry("10.96.0.53 53", "10.1.0.1 5353");
    await change(9);
    await fixture.next();
    expect(fixture.lines).toEqual([]);
    expect(begun).toBeGreaterThan(1);
    await change(10);
    await fixture.next();
    expect(fixture.entries()).toEqual([]);
  });

  test("an interrupted dump is requested again, a limited number of times", async () => {
    await fixture.given();
    let requests = 0;
    // struct nlmsghdr with NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, and an int
    const answer = Uint8Array.of(20, 0, 0, 0, 3, 0, 18, 0, ...new Uint8Array(12));
    fixture.use(() =>
      fakeSockets(() => {
        requests++;
        return answer;
      }),
    );
    await change(9);
    await fixture.next();
    expect(requests).toBe(5);
    expect(fixture.lines).toEqual([]);
  });

  test("a close during a pass closes the sockets when the running dump has returned", async () => {
    await fixture.given();
    const closed = Promise.withResolvers<void>();
    fixture.use(() => {
      const sockets = realSockets();
      return {
        ...sockets,
        dump: {
          request: (bytes, length) => sockets.dump.request(bytes, length),
          read() {
            const reading = sockets.dump.read();
            fixture.flows.close();
            return reading;
          },
          close() {
            sockets.dump.close();
            closed.resolve();
          },
        },
      };
    });
    fixture.entry("10.96.0.53 53", "10.1.0.1 5353");
    await change(9);
    await closed.promise;
    expect(fixture.lines).toEqual([]);
  });
});

/** A kernel that answers every read of a dump with the same datagram. */
function fakeSockets(answer: () => Uint8Array): FlowSockets {
  return {
    dump: { request: async () => {}, read: async () => answer(), close() {} },
    delete: { send: () => ({ refusals: [], acks: 0 }), close() {} },
  };
}

function realSockets(): FlowSockets {
  return { dump: new DumpSocket(), delete: new NetlinkSocket(NETLINK_NETFILTER) };
}

/** Sockets that fail at read number `nth`. */
function failingAfter(nth: number, may: () => boolean): FlowSockets {
  const sockets = realSockets();
  let readings = 0;
  return {
    ...sockets,
    dump: {
      request: (bytes, length) => sockets.dump.request(bytes, length),
      async read() {
        if (++readings === nth && may()) throw new SluiceError("NETLINK_SOCKET", "no such device");
        return sockets.dump.read();
      },
      close: () => sockets.dump.close(),
    },
  };
}
