/** The first apply replaces a table with another layout, which another version of Sluice left. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { pipe, run } from "../../harness/commands.ts";
import {
  add,
  lines,
  named,
  operationList,
  rememberingCore,
} from "../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import type { Core } from "../../src/core/core.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/constants.ts";
import { type Netlink, NetlinkSocket } from "../../src/netlink/socket.ts";
import {
  createNftablesBackend,
  type NftablesBackend,
} from "../../src/nftables/nftables-backend.ts";
import { removeTable } from "../../src/nftables/remove-table.ts";
import { WORLD } from "./every-table.ts";

setDefaultTimeout(60_000);

useFreshNetns();

const OPTIONS: SkeletonOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: false,
  detector: { kind: "cidr" },
};
const OLDER = `table inet sluice {
  comment "sluice: layout 1, sets 01234567"
  chain older { type nat hook prerouting priority dstnat; }
}`;
const STAND_IN = "sluice-stand-in";
const FOREIGN = `table inet ${STAND_IN} {\n\tcomment "mine"\n}\n`;

const opened: NftablesBackend[] = [];

beforeEach(() => pipe(OLDER, "nft", "-f", "-"));
afterEach(() => {
  for (const backend of opened.splice(0)) backend.close();
  run("nft", "flush", "ruleset");
});

/** Its `flows` tell whether connections must be checked. */
function startBackend(socket?: Netlink) {
  const { core, adopted } = rememberingCore();
  let checksAll = false;
  const flows = { recordAll: () => (checksAll = true) } as unknown as Core["flows"];
  const backend = createNftablesBackend(OPTIONS, socket);
  opened.push(backend);
  const { outcome } = backend.start(Object.assign(core, { flows }));
  return { backend, core, outcome, adopted, checksAll: () => checksAll };
}

const applyWorld = (backend: NftablesBackend) =>
  backend.apply(operationList(add(1, ...WORLD)), named("default/web"));

const ruleset = (): string => run("nft", "list", "ruleset");

/** The tables that see packets, in alphabetical order. */
function activeTables(): string[] {
  return ruleset()
    .split(/^table inet /m)
    .slice(1)
    .filter((text) => !text.includes("flags dormant"))
    .map((text) => {
      const name = text.slice(0, text.indexOf(" "));
      return text.includes("chain older") ? "older" : name;
    })
    .sort();
}

/** Returns the elements of the table that a fresh process adopts. */
function adoptedElements(): string[] {
  const { outcome, adopted } = startBackend();
  expect(outcome).toBe("adopted");
  return adopted();
}

function cleanUp(): ReturnType<typeof removeTable> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    return removeTable(socket);
  } finally {
    socket.close();
  }
}

/** A socket of a process that dies before the datagram with this number, from 0. */
class DyingSocket extends NetlinkSocket {
  #left: number;

  constructor(datagrams: number) {
    super(NETLINK_NETFILTER);
    this.#left = datagrams;
  }

  override send(...parameters: Parameters<NetlinkSocket["send"]>) {
    if (this.#left === 0) throw new Error("died");
    this.#left -= 1;
    return super.send(...parameters);
  }
}

test("serves until the first apply, which must hold everything", async () => {
  const { backend, core, outcome, checksAll } = startBackend();
  expect(outcome).toBe("replaced");
  expect(backend.capabilities).toMatchObject({ singleTransaction: true, maxOperations: Infinity });
  expect(await backend.verify(core)).toBeUndefined();
  expect(activeTables()).toEqual(["older"]);

  expect(applyWorld(backend)).toMatchObject({ ok: true });
  expect(activeTables()).toEqual(["sluice"]);
  expect(backend.capabilities.singleTransaction).toBe(false);
  await backend.leftovers.remove();
  expect(checksAll()).toBe(true);
  expect(adoptedElements()).toEqual(lines(WORLD));
});

test("is replaced if there is nothing to apply", async () => {
  const { backend } = startBackend();
  await backend.leftovers.remove();
  expect(activeTables()).toEqual(["sluice"]);
  expect(adoptedElements()).toEqual([]);
});

test("gets the rules of options that changed while it served", async () => {
  const { backend, core } = startBackend();
  backend.reconfigure({ ...OPTIONS, masqueradeBit: 15 });
  expect(await backend.verify(core)).toBeUndefined();
  expect(activeTables()).toEqual(["older"]);
  applyWorld(backend);
  expect(ruleset()).toContain("meta mark & 0x00008000");
  expect(ruleset()).not.toContain("0x00004000");
});

test("is created if another program deleted the older one meanwhile", () => {
  const { backend } = startBackend();
  run("nft", "delete", "table", "inet", "sluice");
  expect(applyWorld(backend)).toMatchObject({ ok: true });
  expect(activeTables()).toEqual(["sluice"]);
});

test("a process that dies at any moment leaves a table that serves, and the next one replaces it", async () => {
  const steps = new Set<string>();
  for (let datagrams = 0; ; datagrams++) {
    run("nft", "flush", "ruleset");
    pipe(OLDER, "nft", "-f", "-");
    let died = false;
    try {
      const { backend } = startBackend(new DyingSocket(datagrams));
      applyWorld(backend);
    } catch (thrown) {
      expect(String(thrown)).toContain("died");
      died = true;
    }
    const active = activeTables();
    steps.add(active.join(" "));
    expect(active).not.toEqual([]);

    const { backend, outcome, adopted } = startBackend();
    if (outcome === "replaced") applyWorld(backend);
    else expect(adopted()).toEqual(lines(WORLD));
    await backend.leftovers.remove();
    expect(activeTables()).toEqual(["sluice"]);
    expect(ruleset()).not.toContain(STAND_IN);
    expect(adoptedElements()).toEqual(lines(WORLD));
    if (!died) break;
  }
  expect([...steps]).toEqual([
    "older",
    `older ${STAND_IN}`,
    STAND_IN,
    `sluice ${STAND_IN}`,
    "sluice",
  ]);
});

describe("another program's table with the name of the stand-in", () => {
  beforeEach(() => pipe(FOREIGN, "nft", "-f", "-"));

  test("stays, and the older table is replaced without a stand-in", async () => {
    const { backend } = startBackend();
    expect(applyWorld(backend)).toMatchObject({ ok: true });
    await backend.leftovers.remove();
    expect(adoptedElements()).toEqual(lines(WORLD));
    expect(run("nft", "list", "table", "inet", STAND_IN)).toBe(FOREIGN);
  });

  test("is not changed by cleanup", () => {
    expect(cleanUp()).toBe("removed");
    expect(ruleset()).toBe(FOREIGN);
    expect(cleanUp()).toBe("absent");
  });
});

describe("cleanup", () => {
  test("removes a table of another layout", () => {
    expect(cleanUp()).toBe("removed");
    expect(ruleset()).toBe("");
  });

  test.each([OLDER, ""])("removes a stand-in that a killed process left, next to '%s'", (older) => {
    run("nft", "flush", "ruleset");
    const standIn = `table inet ${STAND_IN} { comment "sluice: layout 2, sets 01234567"; }`;
    pipe(`${older}\n${standIn}`, "nft", "-f", "-");
    expect(cleanUp()).toBe("removed");
    expect(ruleset()).toBe("");
  });
});

test("without the right to a large socket buffer, a large table is replaced in parts", () => {
  const child = [process.execPath, `${import.meta.dir}/children/replace-in-parts.ts`];
  const output = run("unshare", "--user", "--map-root-user", "--net", ...child);
  const { first, error, then, adopted, elements } = JSON.parse(output);
  expect(first).toEqual({ ok: false, transient: true });
  expect(error).toContain("message too long (EMSGSIZE)");
  expect(error).toContain("connections may fail meanwhile");
  expect(then).toEqual([true, true]);
  expect(adopted).toBe(elements);
});
