import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { type Cidr, printCidr } from "../../src/net/address.ts";
import { NETLINK_ROUTE } from "../../src/netlink/constants.ts";
import { readLocalRoutes, watchLocalRanges } from "../../src/netlink/local-ranges.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { collector } from "./collector.ts";

useFreshNetns();

const ip = (text: string) => run("ip", ...text.split(" "));
const print = (ranges: readonly Cidr[]) => ranges.map(printCidr).sort();
/** The local ranges of a namespace in which only `lo` is up. */
const LOOPBACK = ["127.0.0.0/8", "127.0.0.1/32", "::1/128"];
const LINK_LOCAL = "fe80::/10";

const closing: { close(): void }[] = [];
beforeEach(() => {
  ip("link add here type veth peer name there");
  ip("link set here up");
  ip("link set there up");
});
afterEach(() => {
  for (const one of closing.splice(0)) one.close();
  ip("link del here");
  ip("-4 route flush table all proto static");
  ip("-6 route flush table all proto static");
});

/** Watches, and collects `all | gained`. The first call has been collected. */
function watch() {
  const calls = collector<string>();
  closing.push(
    watchLocalRanges(systemClock, (ranges, gained) => {
      const known = new Set([...LOOPBACK, LINK_LOCAL]);
      const own = print(ranges).filter((range) => !known.has(range));
      calls.push(`${own.join(" ")} | ${print(gained).join(" ")}`);
    }),
  );
  return calls;
}

describe("the local routes", () => {
  const read = () => {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    closing.push(socket);
    return print(readLocalRoutes(socket)).filter((range) => !LOOPBACK.includes(range));
  };

  test.each([
    ["an address of an interface", ["addr add 192.0.2.1/24 dev here"], ["192.0.2.1/32"]],
    [
      "the near end of a pair",
      ["addr add 192.0.2.9 peer 192.0.2.10/32 dev here"],
      ["192.0.2.9/32"],
    ],
    [
      "an IPv6 address, but no anycast",
      ["addr add 2001:db8::1/64 dev here nodad"],
      ["2001:db8::1/128"],
    ],
    [
      "a network on lo",
      ["addr add 198.51.100.1/24 dev lo"],
      ["198.51.100.0/24", "198.51.100.1/32"],
    ],
    [
      "a route without an address",
      ["route add local 203.0.113.77 dev here proto static"],
      ["203.0.113.77/32"],
    ],
    ["a range", ["route add local 203.0.113.0/24 dev lo proto static"], ["203.0.113.0/24"]],
    [
      "an IPv6 range",
      ["-6 route add local 2001:db8:7::/64 dev lo proto static"],
      ["2001:db8:7::/64"],
    ],
    ["everything", ["route add local default dev lo proto static"], ["0.0.0.0/0"]],
    [
      "a route in another IPv4 table: none",
      ["route add local 203.0.113.0/24 dev lo table 100 proto static"],
      [],
    ],
    [
      "a route in another IPv6 table",
      ["-6 route add local 2001:db8:7::/64 dev lo table 100 proto static"],
      ["2001:db8:7::/64"],
    ],
    [
      "a transparent proxy: none",
      [
        "route add local default dev lo table 100 proto static",
        "-6 route add local default dev lo table 100 proto static",
      ],
      [],
    ],
    [
      "other types: none",
      [
        "route add blackhole 203.0.113.7 proto static",
        "route add broadcast 203.0.113.8 dev here proto static",
      ],
      [],
    ],
  ] as const)("%s", async (_name, commands, want) => {
    for (const command of commands) ip(command);
    try {
      // The kernel adds the route to an IPv6 address a moment after the address.
      const ranges = await pollUntil(
        async () => read(),
        (each) => each.join() === want.join(),
      );
      expect(ranges).toEqual([...want]);
    } finally {
      run("ip", "addr", "flush", "dev", "lo", "scope", "global");
    }
  });
});

describe("a watch", () => {
  test("reports all ranges at once, and link-local addresses as a whole", () => {
    const calls = collector<readonly Cidr[]>();
    closing.push(watchLocalRanges(systemClock, (ranges) => calls.push(ranges)));
    expect(calls.seen.map(print)).toEqual([[...LOOPBACK, LINK_LOCAL].sort()]);
  });

  test("reports addresses and routes that come and go", async () => {
    const calls = watch();
    const steps = [
      ["addr add 192.0.2.1/32 dev here", "192.0.2.1/32 | 192.0.2.1/32"],
      [
        "route add local 203.0.113.0/24 dev lo proto static",
        "192.0.2.1/32 203.0.113.0/24 | 203.0.113.0/24",
      ],
      ["addr del 192.0.2.1/32 dev here", "203.0.113.0/24 | "],
      [
        "addr add 2001:db8::1/64 dev here nodad",
        "2001:db8::1/128 203.0.113.0/24 | 2001:db8::1/128",
      ],
    ] as const;
    for (const [command, want] of steps) {
      const next = calls.next();
      ip(command);
      await next;
      expect(calls.seen.at(-1)).toBe(want);
    }
  });

  test("reports an address that was removed and added again at once", async () => {
    ip("addr add 192.0.2.1/32 dev here");
    const calls = watch();
    const next = calls.next();
    ip("addr del 192.0.2.1/32 dev here");
    ip("addr add 192.0.2.1/32 dev here");
    await next;
    expect(calls.seen.at(-1)).toBe("192.0.2.1/32 | 192.0.2.1/32");
  });

  test("reports no link-local address, no other route, and no second route to a range", async () => {
    ip("addr add 192.0.2.1/32 dev here");
    const calls = watch();
    // A pod: an interface with a link-local address and, with some plugins, the gateway's address.
    ip("link add pod type veth peer name peer");
    ip("link set pod up");
    ip("link set peer up");
    ip("addr add fe80::7/64 dev pod nodad");
    ip("addr add 192.0.2.1/32 dev pod");
    ip("route add 203.0.113.0/24 dev pod");
    ip("route add blackhole 203.0.113.0/25");
    ip("link del pod");
    const next = calls.next();
    ip("addr add 192.0.2.2/32 dev here");
    await next;
    expect(calls.seen.slice(1)).toEqual(["192.0.2.1/32 192.0.2.2/32 | 192.0.2.2/32"]);
    ip("route del blackhole 203.0.113.0/25");
  });

  test("reports a route that disappeared with its interface, without an event, and came back", async () => {
    ip("link add other type veth peer name far");
    ip("link set other up");
    ip("route add local 203.0.113.77 dev other proto static");
    const calls = watch();
    ip("link del other");
    const next = calls.next();
    ip("route add local 203.0.113.77 dev here proto static");
    await next;
    expect(calls.seen.at(-1)).toBe("203.0.113.77/32 | 203.0.113.77/32");
  });

  test("reports a route that disappeared with its interface's last address, and came back", async () => {
    ip("addr add 192.0.2.1/32 dev here");
    ip("route add local 203.0.113.77 dev here proto static");
    const calls = watch();
    ip("addr del 192.0.2.1/32 dev here");
    expect(run("ip", "route", "show", "table", "local")).not.toContain("203.0.113.77");
    ip("addr add 192.0.2.1/32 dev here");
    ip("route add local 203.0.113.77 dev here proto static");
    const gained = () => calls.seen.slice(1).some((call) => /\| .*203\.0\.113\.77/.test(call));
    while (!gained()) await calls.next();
  });

  test("that is closed reports nothing further", async () => {
    const closed = watch();
    for (const one of closing.splice(0)) one.close();
    const calls = watch();
    const next = calls.next();
    ip("addr add 192.0.2.1/32 dev here");
    await next;
    expect(closed.seen.length).toBe(1);
  });
});

describe("a list that cannot be read", () => {
  const refusal = new SluiceError("NETLINK_SOCKET", "no answer");

  test("after a change is requested again until it can", async () => {
    const calls = collector<string[]>();
    const timers: (() => void)[] = [];
    let failures = 0;
    let failed = () => {};
    const later = () =>
      new Promise<void>((resolve) => {
        failed = resolve;
      });
    const clock = {
      ...systemClock,
      monotonic: () => 0,
      after(_ms: number, run: () => void) {
        timers.push(run);
        failed();
        return () => {};
      },
    };
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    const dump = socket.dump.bind(socket);
    socket.dump = (...request) => {
      if (failures === 0) return dump(...request);
      failures--;
      throw refusal;
    };
    closing.push(watchLocalRanges(clock, (_, gained) => calls.push(print(gained)), socket));
    failures = 2;
    const waiting = later();
    ip("addr add 192.0.2.1/32 dev here");
    await waiting;
    expect(timers.length).toBe(1);
    timers[0]?.();
    expect(timers.length).toBe(2);
    expect(calls.seen.length).toBe(1);
    timers[1]?.();
    expect(calls.seen.at(-1)).toEqual(["192.0.2.1/32"]);
  });

  test("at the start is an error for the caller", () => {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    socket.dump = () => {
      throw refusal;
    };
    expect(() => watchLocalRanges(systemClock, () => {}, socket)).toThrow(refusal);
  });
});
