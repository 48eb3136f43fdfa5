import { afterEach, describe, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/constants.ts";
import { type Netlink, type NetlinkReply, NetlinkSocket } from "../../src/netlink/socket.ts";
import { createNftablesBackend } from "../../src/nftables/nftables-backend.ts";
import { EOPNOTSUPP } from "../../src/os/posix.ts";

useFreshNetns();

const OPTIONS: SkeletonOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector: { kind: "cidr" },
};

/** A kernel that refuses every transaction that contains these bytes. */
class LackingKernel implements Netlink {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #lacks: Buffer;
  readonly maxBytes = this.#socket.maxBytes;
  readonly portId = this.#socket.portId;

  constructor(lacks: Buffer) {
    this.#lacks = lacks;
  }

  send(bytes: Uint8Array, length: number, ...rest: []): NetlinkReply {
    if (Buffer.from(bytes.buffer, 0, length).includes(this.#lacks)) {
      const refusal = { errno: EOPNOTSUPP, sequence: 1, offset: undefined, text: undefined };
      return { refusals: [refusal], acks: 0 };
    }
    return this.#socket.send(bytes, length, ...rest);
  }

  dump(...parameters: Parameters<Netlink["dump"]>): boolean {
    return this.#socket.dump(...parameters);
  }

  close(): void {
    this.#socket.close();
  }
}

/** An expression by its name: NFTA_EXPR_NAME, after its length. */
const expression = (name: string) => {
  const text = Buffer.from(`${name}\0`);
  return Buffer.concat([Buffer.from([4 + text.length, 0, 1, 0]), text]);
};

let socket: Netlink | undefined;
afterEach(() => {
  socket?.close();
  run("nft", "flush", "ruleset");
});

test("the test machine's kernel has all features, and the probe leaves nothing behind", () => {
  socket = new NetlinkSocket(NETLINK_NETFILTER);
  createNftablesBackend(OPTIONS, socket).probe();
  expect(run("nft", "list", "tables")).toBe("");
});

test("a scratch table of a killed probe does not disturb", () => {
  run("nft", "add", "table", "inet", "sluice-probe");
  socket = new NetlinkSocket(NETLINK_NETFILTER);
  createNftablesBackend(OPTIONS, socket).probe();
  expect(run("nft", "list", "tables")).toBe("");
});

describe("an error names what a kernel lacks", () => {
  const NOT_SUPPORTED = "operation not supported (EOPNOTSUPP)";

  test.each([
    ["numgen", "numgen"],
    ["fib", "fib in family inet"],
    ["masq", "masquerade in family inet (Linux 5.2)"],
    ["reject", "reject in prerouting (Linux 5.9)"],
    ["dynset", "map updates from packets"],
    ["nat", "dnat in family inet (Linux 5.2)"],
    ["counter", "counters on elements (needed unless sluice.counters is false)"],
  ])("%s", (name, feature) => {
    socket = new LackingKernel(expression(name));
    const probe = () => createNftablesBackend(OPTIONS, socket).probe();
    expect(probe).toThrow(
      new SluiceError(
        "KERNEL_UNSUPPORTED",
        `probe nftables: the kernel rejects ${feature}: ${NOT_SUPPORTED}`,
      ),
    );
  });

  test("counters are not probed when they are turned off", () => {
    socket = new LackingKernel(expression("counter"));
    createNftablesBackend({ ...OPTIONS, counters: false }, socket).probe();
    expect(run("nft", "list", "tables")).toBe("");
  });

  test("a kernel that refuses every table is reported by its first missing feature", () => {
    socket = new LackingKernel(Buffer.from("sluice-probe"));
    const probe = () => createNftablesBackend(OPTIONS, socket).probe();
    expect(probe).toThrow(`the kernel rejects tables of family inet: ${NOT_SUPPORTED}`);
  });
});
