import { afterEach, describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { printAddress } from "../../src/net/address.ts";
import { NETLINK_ROUTE, RTNLGRP_IPV4_IFADDR } from "../../src/netlink/constants.ts";
import { subscribe } from "../../src/netlink/event-socket.ts";
import {
  type InterfaceAddress,
  readAddresses,
  watchAddresses,
} from "../../src/netlink/interface-addresses.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";

useFreshNetns();

const print = (addresses: readonly InterfaceAddress[]) =>
  addresses.map(({ bytes, prefix }) => `${printAddress(bytes)}/${prefix}`);

const closing: { close(): void }[] = [];
afterEach(() => {
  for (const one of closing.splice(0)) one.close();
});

/** Collects the callback's arguments; `next` waits for the next call. */
function collector<Value>() {
  const seen: Value[] = [];
  let wake = () => {};
  return {
    seen,
    push(value: Value) {
      seen.push(value);
      wake();
    },
    next: () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      }),
  };
}

test("the addresses of all interfaces are read, with their attributes", () => {
  run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there");
  run("ip", "addr", "add", "192.0.2.1/24", "dev", "here");
  run("ip", "addr", "add", "192.0.2.9", "peer", "192.0.2.10/32", "dev", "here");
  run("ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "here", "nodad");
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  closing.push(socket);
  const addresses = readAddresses(socket);
  const [link] = JSON.parse(run("ip", "-j", "link", "show", "here"));
  expect(print(addresses).sort()).toEqual(
    ["127.0.0.1/8", "192.0.2.1/24", "192.0.2.9/32", "2001:db8::1/64", "::1/128"].sort(),
  );
  const first = addresses.find(({ bytes }) => printAddress(bytes) === "192.0.2.1");
  expect(first).toMatchObject({ family: 4, prefix: 24, scope: 0, interfaceIndex: link.ifindex });
  const loopback = addresses.find(({ bytes }) => printAddress(bytes) === "127.0.0.1");
  expect(loopback).toMatchObject({ scope: 254, interfaceIndex: 1 });
  run("ip", "link", "del", "here");
});

describe("a watch", () => {
  test("reports the addresses at once, and again after each change", async () => {
    const received = collector<string[]>();
    closing.push(watchAddresses(systemClock, (addresses) => received.push(print(addresses))));
    expect(received.seen).toEqual([["127.0.0.1/8", "::1/128"]]);
    const added = received.next();
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "lo");
    await added;
    expect(received.seen.at(-1)).toContain("198.51.100.1/24");
    const removed = received.next();
    run("ip", "addr", "del", "198.51.100.1/24", "dev", "lo");
    await removed;
    expect(received.seen.at(-1)).toEqual(["127.0.0.1/8", "::1/128"]);
  });

  test("reports nothing if a change keeps the addresses", async () => {
    const received = collector<string[]>();
    closing.push(watchAddresses(systemClock, (addresses) => received.push(print(addresses))));
    run(
      "ip",
      "addr",
      "change",
      "127.0.0.1/8",
      "dev",
      "lo",
      "valid_lft",
      "1000",
      "preferred_lft",
      "900",
    );
    const added = received.next();
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "lo");
    await added;
    expect(received.seen.length).toBe(2);
    run("ip", "addr", "del", "198.51.100.1/24", "dev", "lo");
  });

  test("that is closed reports nothing further", async () => {
    const received = collector<string[]>();
    const other = collector<string[]>();
    watchAddresses(systemClock, (addresses) => received.push(print(addresses))).close();
    closing.push(watchAddresses(systemClock, (addresses) => other.push(print(addresses))));
    const added = other.next();
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "lo");
    await added;
    expect(received.seen.length).toBe(1);
    run("ip", "addr", "del", "198.51.100.1/24", "dev", "lo");
  });
});

describe("a list that cannot be read", () => {
  const refusal = new SluiceError("NETLINK_SOCKET", "no answer");

  test("after a change is requested again until it can", async () => {
    const received = collector<string[]>();
    const timers: (() => void)[] = [];
    let failures = 0;
    let failed = () => {};
    const later = () =>
      new Promise<void>((resolve) => {
        failed = resolve;
      });
    const clock = {
      ...systemClock,
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
    closing.push(watchAddresses(clock, (list) => received.push(print(list)), socket));
    failures = 2;
    const waiting = later();
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "lo");
    await waiting;
    expect(timers.length).toBe(1);
    timers[0]?.();
    expect(timers.length).toBe(2);
    expect(received.seen.length).toBe(1);
    timers[1]?.();
    expect(received.seen.at(-1)).toContain("198.51.100.1/24");
    run("ip", "addr", "del", "198.51.100.1/24", "dev", "lo");
  });

  test("at the start is an error for the caller", () => {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    socket.dump = () => {
      throw refusal;
    };
    expect(() => watchAddresses(systemClock, () => {}, socket)).toThrow(refusal);
  });
});

/** A clock with timers that the test calls, and sockets that the test breaks. */
function fragile() {
  const timers: (() => void)[] = [];
  const canceled: (() => void)[] = [];
  const clock = {
    ...systemClock,
    after(_ms: number, run: () => void) {
      timers.push(run);
      return () => void canceled.push(run);
    },
  };
  const sockets: { error(): void; terminated: number }[] = [];
  const connect = ({ socket }: { socket: { error(): void } }) => {
    const one = { error: () => socket.error(), terminated: 0 };
    sockets.push(one);
    const terminate = () => {
      one.terminated++;
    };
    return Promise.resolve({ end() {}, terminate, unref() {} });
  };
  const open = () => subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_IFADDR], clock, () => {}, { connect });
  return { timers, canceled, sockets, open };
}

describe("a subscription", () => {
  test("that broke before it was open ends that socket, and its close ends the wait", async () => {
    const { timers, canceled, sockets, open } = fragile();
    const subscription = open();
    sockets[0]?.error();
    await Promise.resolve();
    await Promise.resolve();
    expect(sockets[0]?.terminated).toBe(1);
    subscription.close();
    expect(canceled).toEqual(timers);
  });

  test("that was closed is not opened again by pending timers", async () => {
    const { timers, sockets, open } = fragile();
    const subscription = open();
    sockets[0]?.error();
    await Promise.resolve();
    await Promise.resolve();
    subscription.close();
    for (const run of timers) run();
    expect(sockets.length).toBe(1);
  });

  test("reads on a timer if Bun's loop does not accept the socket", async () => {
    const received = collector<true>();
    const timers: (() => void)[] = [];
    const clock = {
      ...systemClock,
      after(_ms: number, run: () => void) {
        timers.push(run);
        return () => {};
      },
    };
    const refuse = () => Promise.reject(new Error("not this time"));
    closing.push(
      subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_IFADDR], clock, () => received.push(true), {
        connect: refuse,
      }),
    );
    await Promise.resolve();
    await Promise.resolve();
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "lo");
    timers.shift()?.();
    expect(received.seen.length).toBe(1);
    timers.shift()?.();
    expect(received.seen.length).toBe(1);
    expect(timers.length).toBe(1);
    run("ip", "addr", "del", "198.51.100.1/24", "dev", "lo");
  });

  test("that breaks is opened again, and the loss is announced", async () => {
    const received = collector<true>();
    const timers: (() => void)[] = [];
    const clock = {
      ...systemClock,
      after(_ms: number, run: () => void) {
        timers.push(run);
        return () => {};
      },
    };
    const broken: (() => void)[] = [];
    const connect = ({ socket }: { socket: { error(): void } }) => {
      broken.push(() => socket.error());
      return Promise.resolve({ end() {}, terminate() {}, unref() {} });
    };
    closing.push(
      subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_IFADDR], clock, () => received.push(true), {
        connect,
      }),
    );
    broken[0]?.();
    broken[0]?.();
    expect(timers.length).toBe(1);
    timers[0]?.();
    expect(received.seen.length).toBe(1);
    expect(broken.length).toBe(2);
  });
});
