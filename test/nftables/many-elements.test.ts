import {
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { pipe } from "../../harness/commands.ts";
import {
  add,
  type Element,
  element,
  named,
  operationList,
  remove,
} from "../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import type { Core } from "../../src/core/core.ts";
import { OWNER_NODE } from "../../src/model/owner.ts";
import { keySize, tableId, valueSize } from "../../src/model/tables.ts";
import { NETLINK_NETFILTER, NFGENMSG_LEN } from "../../src/netlink/constants.ts";
import { AttributeReader } from "../../src/netlink/message.ts";
import { type Netlink, NetlinkSocket } from "../../src/netlink/socket.ts";
import {
  createNftablesBackend,
  type NftablesBackend,
} from "../../src/nftables/nftables-backend.ts";
import { MANY_ELEMENTS } from "../../src/nftables/read/read-elements.ts";
import { readSets } from "../../src/nftables/read/read-objects.ts";
import { readTouched } from "../../src/nftables/repair/read-touched.ts";
import { TouchedObjects } from "../../src/nftables/repair/touched.ts";
import { NFT_MSG_NEWSET, NFTA_SET_COUNT } from "../../src/nftables/wire/nf-tables.ts";

setDefaultTimeout(60_000);
useFreshNetns();

const SLOTS = 8;
const FRONTENDS = MANY_ELEMENTS / SLOTS;
const TABLE = tableId("endpoints", 4);

/** A core that only counts its input, and knows the keys of the endpoints. */
function countingCore(keys: readonly Uint8Array[] = []) {
  const counted = new Map<number, number>();
  const distinct = new Set<string>();
  const core = {
    adopt(table, keysAndValues, count) {
      counted.set(table, (counted.get(table) ?? 0) + count);
      if (table !== TABLE) return;
      const stride = keySize(table) + valueSize(table);
      for (let i = 0; i < count; i++) {
        distinct.add(
          Buffer.from(keysAndValues.subarray(i * stride, (i + 1) * stride)).toString("hex"),
        );
      }
    },
    elementCount: (table) => (table === undefined || table === TABLE ? keys.length : 0),
    eachElement(table, each) {
      if (table === TABLE) for (const key of keys) each(key, new Uint8Array(8), OWNER_NODE);
    },
  } satisfies Partial<Core>;
  return { core: core as unknown as Core, counted, distinct };
}

const action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: SLOTS } as const;
const elements: Element[] = [];
for (let i = 0; i < FRONTENDS; i++) {
  const address = `10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  elements.push(element("frontends", 4, [address, "TCP", 80], action));
  for (let slot = 0; slot < SLOTS; slot++) {
    const endpoint = `10.244.${(i >> 8) & 255}.${i & 255}:${8000 + slot}`;
    elements.push(element("endpoints", 4, [address, "TCP", 80, slot], endpoint));
  }
}
const slots = elements.filter(({ table }) => table === TABLE);

const OPTIONS = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector: { kind: "cidr" },
} as const;
const opened: NftablesBackend[] = [];
function open(): NftablesBackend {
  const backend = createNftablesBackend(OPTIONS);
  opened.push(backend);
  return backend;
}
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

const ORPHAN = "10.1.1.1 . tcp . 80 . 0";
const nft = (text: string) => pipe(text, "nft", "-f", "-");

describe("a table of slots that is too large to be read by key", () => {
  beforeAll(() => {
    const backend = open();
    backend.start(countingCore().core);
    expect(backend.apply(operationList(add(1, ...elements)), named("default/web"))).toMatchObject({
      ok: true,
    });
  });

  test("is adopted completely", () => {
    const { core, counted, distinct } = countingCore();
    expect(open().start(core).elements).toBe(elements.length);
    expect(counted.get(TABLE)).toBe(slots.length);
    expect(distinct.size).toBe(slots.length);
  });

  test("is adopted with a slot that no frontend uses", () => {
    nft(`add element inet sluice endpoints4 { ${ORPHAN} : 10.1.1.2 . 80 }`);
    const { core, counted } = countingCore();
    open().start(core);
    // Kernels before 6.17 do not report the number of elements, so unused slots are not searched
    // for.
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const reported = readSets(socket).get("endpoints4")?.count !== undefined;
    socket.close();
    expect(counted.get(TABLE)).toBe(slots.length + Number(reported));
    nft(`delete element inet sluice endpoints4 { ${ORPHAN} }`);
  });

  test("is adopted without a missing slot", () => {
    nft("delete element inet sluice endpoints4 { 10.96.0.1 . tcp . 80 . 3 }");
    const { core, counted } = countingCore();
    open().start(core);
    expect(counted.get(TABLE)).toBe(slots.length - 1);
    nft("add element inet sluice endpoints4 { 10.96.0.1 . tcp . 80 . 3 : 10.244.0.1 . 8003 }");
  });

  describe("is compared as a whole", () => {
    const keys = slots.map(({ key }) => key);
    const touched = new TouchedObjects();
    touched.everything = true;
    /** The requests by kind, turns of the event loop, and the findings about the table. */
    const look = async (socket: Netlink) => {
      let dumps = 0;
      let requests = 0;
      let turns = 0;
      const turn = () => Promise.resolve(void turns++);
      const counting: Netlink = {
        maxBytes: 0,
        portId: 0,
        close() {},
        dump(bytes, length, each) {
          if (holds(bytes, length, "endpoints4")) dumps++;
          return socket.dump(bytes, length, each);
        },
        send(bytes, length, each) {
          if (holds(bytes, length, "endpoints4")) requests++;
          return socket.send(bytes, length, each);
        },
      };
      const states = await readTouched(counting, countingCore(keys).core, touched, turn);
      const { present, requestedKeys } = states.find(({ id }) => id === TABLE) ?? {};
      return {
        dumps,
        requests,
        turns,
        requestedKeys,
        count: present?.count,
        catchall: present?.catchall,
      };
    };
    const holds = (bytes: Uint8Array, length: number, name: string) =>
      Buffer.from(bytes.subarray(0, length)).includes(`\u0002\0${name}\0`);

    let socket: NetlinkSocket;
    beforeEach(() => {
      socket = new NetlinkSocket(NETLINK_NETFILTER);
    });
    afterEach(() => socket.close());

    /** The same kernel without NFTA_SET_COUNT, as before 6.17. */
    const uncounted = (): Netlink => ({
      maxBytes: 0,
      portId: 0,
      close() {},
      send: (...message) => socket.send(...message),
      dump: (bytes, length, each) =>
        socket.dump(bytes, length, (message) => {
          const attributes = new AttributeReader(
            message.bytes,
            message.start + NFGENMSG_LEN,
            message.end,
          );
          const isSet = (message.type & 0xff) === NFT_MSG_NEWSET;
          while (isSet && attributes.next()) {
            if (attributes.type === NFTA_SET_COUNT) message.bytes[attributes.start - 2] = 99;
          }
          each(message);
        }),
    });

    test.each([
      ["on a kernel that counts", () => socket],
      ["on one that does not", uncounted],
    ])(
      "by key, in slices, and uncommitted elements only if they stand for all: %s",
      async (_, on) => {
        const found = { dumps: 0, count: slots.length, requestedKeys: undefined, catchall: false };
        const whole = await look(on());
        expect(whole).toMatchObject(found);
        expect(whole.turns).toBeGreaterThan(slots.length / 1000);
        nft(`add element inet sluice endpoints4 { ${ORPHAN} : 10.1.1.2 . 80, * : 10.1.1.3 . 80 }
           delete element inet sluice endpoints4 { 10.96.0.1 . tcp . 80 . 3 }`);
        expect(await look(on())).toMatchObject({
          ...found,
          count: slots.length - 1,
          catchall: true,
        });
        nft(`delete element inet sluice endpoints4 { ${ORPHAN}, * }
           add element inet sluice endpoints4 { 10.96.0.1 . tcp . 80 . 3 : 10.244.0.1 . 8003 }`);
      },
    );

    test.each([
      ["on a kernel that counts", () => socket],
      ["on one that does not", uncounted],
    ])("by a dump if little is left: %s", async (_, on) => {
      nft("flush map inet sluice endpoints4");
      const left = await look(on());
      expect(left).toMatchObject({ dumps: 1, count: 0, requestedKeys: undefined });
      expect(left.requests).toBeLessThan(1000);
      const restored = open();
      restored.start(countingCore().core);
      restored.apply(operationList(add(1, ...slots)), named("default/web"));
    });
  });

  test("has its counters read by the core's keys", async () => {
    const { core } = countingCore(slots.map(({ key }) => key));
    const backend = open();
    backend.start(core);
    let read = 0;
    await backend.counters?.read(({ table, count }) => {
      if (table === TABLE) read += count;
    });
    expect(read).toBe(slots.length);
  });

  test("has its counters read even if the core has an extra key", async () => {
    const stray = element("endpoints", 4, ["10.1.1.1", "TCP", 80, 0], "10.1.1.2:80");
    const { core } = countingCore([stray, ...slots, stray].map(({ key }) => key));
    const backend = open();
    backend.start(core);
    let read = 0;
    await backend.counters?.read(({ table, count }) => {
      if (table === TABLE) read += count;
    });
    expect(read).toBe(slots.length);
  });

  test("has its counters read while transactions come in between", async () => {
    const { core } = countingCore(slots.map(({ key }) => key));
    const backend = open();
    backend.start(core);
    let turns = 0;
    let reading = true;
    const [last] = slots.slice(-1);
    const turn = () => {
      if (!reading) return;
      if (turns++ === 0 && last) {
        const receipt = backend.apply(operationList(remove(1, last)), named("default/web"));
        expect(receipt).toMatchObject({ ok: true });
      }
      setImmediate(turn);
    };
    setImmediate(turn);
    let read = 0;
    const quiet = await backend.counters?.read(({ table, count }) => {
      if (table === TABLE) read += count;
    });
    reading = false;
    expect([quiet, read]).toEqual([false, slots.length - 1]);
    expect(turns).toBeGreaterThan(50);
    if (last) backend.apply(operationList(add(1, last)), named("default/web"));
  });
});
