import { afterEach, describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { systemClock } from "../../src/base/clock.ts";
import { NETLINK_ROUTE, RTNLGRP_IPV4_ROUTE } from "../../src/netlink/constants.ts";
import { LOCAL_ROUTES } from "../../src/netlink/event-filter.ts";
import { subscribe } from "../../src/netlink/event-socket.ts";
import { collector } from "./collector.ts";

useFreshNetns();

const closing: { close(): void }[] = [];
afterEach(() => {
  for (const one of closing.splice(0)) one.close();
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
  const open = () => subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_ROUTE], clock, () => {}, { connect });
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
      subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_ROUTE], clock, () => received.push(true), {
        connect: refuse,
        filter: LOCAL_ROUTES,
      }),
    );
    await Promise.resolve();
    await Promise.resolve();
    run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo");
    timers.shift()?.();
    expect(received.seen.length).toBe(1);
    timers.shift()?.();
    expect(received.seen.length).toBe(1);
    expect(timers.length).toBe(1);
    run("ip", "addr", "del", "198.51.100.1/32", "dev", "lo");
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
      subscribe(NETLINK_ROUTE, [RTNLGRP_IPV4_ROUTE], clock, () => received.push(true), {
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
