import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../src/netlink/constants.ts";
import { printRefusal } from "../../src/netlink/netlink-errors.ts";
import { type Netlink, NetlinkSocket } from "../../src/netlink/socket.ts";
import { readChains } from "../../src/nftables/read/read-objects.ts";
import { writeDeleteTable, writeTable } from "../../src/nftables/ruleset/install.ts";
import { Batch } from "../../src/nftables/wire/message-batch.ts";
import * as nft from "../../src/nftables/wire/nf-tables.ts";
import { EINVAL, ENOENT } from "../../src/os/posix.ts";

useFreshNetns();

describe("a transaction", () => {
  let socket: NetlinkSocket;
  const batch = new Batch();
  beforeAll(() => {
    socket = new NetlinkSocket(NETLINK_NETFILTER);
  });
  afterAll(() => socket.close());

  test("that is accepted is acknowledged once, with any number of messages", () => {
    batch.begin();
    for (const name of ["a", "b", "c"]) writeTable(batch, "of the tests", name);
    expect(batch.send(socket)).toEqual({ refusals: [], acks: 1 });
    expect(run("nft", "list", "tables")).toBe("table inet a\ntable inet b\ntable inet c\n");
  });

  test("that is refused names every faulty message and attribute, and changes nothing", () => {
    batch.begin();
    writeTable(batch, "of the tests", "d");
    writeDeleteTable(batch, "missing");
    writeDeleteTable(batch, "also-missing");
    const { refusals } = batch.send(socket);
    expect(refusals.map(({ errno, sequence }) => [errno, sequence])).toEqual([
      [ENOENT, 2],
      [ENOENT, 3],
    ]);
    // NFTA_TABLE_NAME follows the nlmsghdr and the nfgenmsg.
    expect(refusals.map(({ offset }) => offset)).toEqual([20, 20]);
    expect(run("nft", "list", "tables")).not.toContain("inet d");
  });

  test("without a message is not sent", () => {
    batch.begin();
    expect(batch.send(socket)).toEqual({ refusals: [], acks: 0 });
  });

  test("can be followed by another after a callback threw", () => {
    batch.begin();
    writeTable(batch, "of the tests", "e");
    const request = new Batch();
    request.begin();
    const start = request.open(nft.NFT_MSG_GETTABLE, 0x300);
    request.close(start);
    const dump = request.writer.bytes.slice(start, request.writer.length);
    expect(() =>
      socket.dump(dump, dump.length, () => {
        throw new Error("from the callback");
      }),
    ).toThrow("from the callback");
    expect(batch.send(socket)).toEqual({ refusals: [], acks: 1 });
  });
});

test("an interrupted dump is read again, and accepted as it is if changes never stop", () => {
  let dumps = 0;
  const restless = (rest: number): Netlink => ({
    maxBytes: 0,
    portId: 0,
    send: () => ({ refusals: [], acks: 0 }),
    dump: () => ++dumps < rest,
    close() {},
  });
  expect(readChains(restless(3))).toEqual([]);
  expect(dumps).toBe(3);
  expect(readChains(restless(Infinity))).toEqual([]);
  expect(dumps).toBe(13);
});

test("a socket of the first user namespace carries transactions of many megabytes", () => {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  expect(socket.maxBytes).toBeGreaterThan(100 << 20);
  socket.close();
});

test("a protocol that does not exist is an error with its errno", () => {
  const open = () => new NetlinkSocket(31);
  expect(open).toThrow("open netlink socket: protocol not supported (EPROTONOSUPPORT)");
});

test("a refusal carries the kernel's own message if it has one", () => {
  const refusal = { errno: EINVAL, sequence: 1, offset: undefined, text: "Bad chain" };
  expect(printRefusal(refusal)).toBe("invalid argument (EINVAL): Bad chain");
  expect(printRefusal({ ...refusal, text: undefined })).toBe("invalid argument (EINVAL)");
});
