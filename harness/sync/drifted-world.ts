/**
 * Runs a proxy without an API server on the real kernel, while a test changes its table with nft.
 */
import type { Backend } from "../../src/backend/backend.ts";
import type { DriftObject, ForeignChange } from "../../src/backend/drift.ts";
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { keySize, valueSize } from "../../src/model/tables.ts";
import {
  NETLINK_NETFILTER,
  NFNLGRP_NFTABLES,
  NLMSG_LENGTH,
  NLMSG_TYPE,
} from "../../src/netlink/constants.ts";
import { exceptFrom } from "../../src/netlink/event-filter.ts";
import { type DatagramListener, REOPEN_MS, subscribe } from "../../src/netlink/event-socket.ts";
import { alignTo4 } from "../../src/netlink/message.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { createNftablesBackend } from "../../src/nftables/nftables-backend.ts";
import { type ReadElement, readElements } from "../../src/nftables/read/read-elements.ts";
import { readTableElements } from "../../src/nftables/read/read-table.ts";
import { NFT_MSG_NEWGEN } from "../../src/nftables/wire/nf-tables.ts";
import { DISPATCHES, dispatchMap } from "../../src/nftables/wire/object-names.ts";
import { SET_IDS } from "../../src/nftables/wire/sets.ts";
import type { RepairReport } from "../../src/sync/repair-log.ts";
import { pipe, run } from "../commands.ts";
import { RealLoopClock } from "../fakes/fake-clock.ts";
import { printElement } from "../plan/print-elements.ts";
import { type SyncWorld, service, slice, worldOf } from "./sync-world.ts";

export const SKELETON_OPTIONS: SkeletonOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector: { kind: "cidr" },
};

const MARKER = "end-of-change";

export interface DriftedWorld extends SyncWorld<Backend> {
  /**
   * Lets another process do this with nft in one transaction. Returns after the notification
   * arrived.
   */
  nft(command: string): Promise<void>;
  /** The socket between dataplane and kernel. */
  readonly socket: NetlinkSocket;
  /** Waits for an event that matches this. */
  untilNoticed(like: (change: ForeignChange) => boolean): Promise<void>;
  /** Checks the touched objects, syncs, and returns the report. */
  repair(): Promise<RepairReport | undefined>;
  /** Events since the last `repair`. */
  readonly noticed: readonly ForeignChange[];
  close(): void;
}

/** `maxBytes`: size limit of one transaction. */
export function driftedWorld(
  options: Partial<SkeletonOptions> = {},
  maxBytes?: number,
): DriftedWorld {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  if (maxBytes !== undefined) Object.defineProperty(socket, "maxBytes", { value: maxBytes });
  const clock = new RealLoopClock();
  const backend = createNftablesBackend({ ...SKELETON_OPTIONS, ...options }, socket, clock);
  const world = worldOf(backend, () => {}, clock);
  const noticed: ForeignChange[] = [];
  let wake = () => {};
  let watching = false;
  const others = transactions(socket.portId);
  return {
    ...world,
    noticed,
    socket,
    async nft(command) {
      if (!watching) {
        backend.watch((change) => {
          noticed.push(change);
          wake();
        });
      }
      watching = true;
      const before = noticed.length;
      const received = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const next = others.next();
      pipe(command, "nft", "-f", "-");
      pipe(`table ip ${MARKER}; delete table ip ${MARKER}`, "nft", "-f", "-");
      if ((await next) && noticed.length === before) await received;
    },
    async untilNoticed(like) {
      while (!noticed.some(like)) {
        // A broken socket is reopened after a while.
        await clock.advance(REOPEN_MS);
        await new Promise(setImmediate);
      }
    },
    async repair() {
      noticed.length = 0;
      world.verify();
      expectTrue(await world.sync());
      return world.reports.at(-1)?.repair;
    },
    close() {
      others.close();
      backend.close();
    },
  };
}

/**
 * Looks at other processes' transactions up to the one that makes MARKER. Returns whether any of
 * them concerns our table. The kernel does not announce a transaction without changes.
 */
function transactions(own: number) {
  let about = false;
  let marked = false;
  let resolve = (_about: boolean) => {};
  const listen: DatagramListener = (bytes) => {
    const datagram = Buffer.from(bytes ?? []);
    for (let at = 0; at < datagram.length; ) {
      const length = datagram.readUInt32LE(at + NLMSG_LENGTH);
      const type = datagram.readUInt16LE(at + NLMSG_TYPE) & 0xff;
      const message = datagram.subarray(at, at + length);
      about ||= message.includes("sluice\0");
      marked ||= message.includes(`${MARKER}\0`);
      if (type === NFT_MSG_NEWGEN && marked) {
        resolve(about);
        about = false;
        marked = false;
      }
      at += alignTo4(length);
    }
  };
  const groups = [NFNLGRP_NFTABLES];
  const subscription = subscribe(NETLINK_NETFILTER, groups, systemClock, listen, {
    filter: exceptFrom(own),
  });
  return {
    next: () =>
      new Promise<boolean>((found) => {
        resolve = found;
      }),
    close: () => subscription.close(),
  };
}

function expectTrue(done: boolean): void {
  if (!done) throw new Error("The sync did not write everything to the kernel");
}

/** Services with every kind of frontend in both families. Each table gets more than one element. */
export function putServices(world: SyncWorld<Backend>): void {
  for (const [kind, object] of objects()) world.put(kind, object);
}

/** The objects that `putServices` adds. */
export function* objects(): Generator<readonly ["Service" | "EndpointSlice", JsonObject]> {
  for (let i = 1; i <= 4; i++) {
    const ips = [`10.96.0.${i}`, `fd00:96::${i}`];
    const spec = {
      type: "LoadBalancer",
      clusterIPs: ips,
      externalTrafficPolicy: i % 2 ? "Local" : "Cluster",
      ...(i > 2 && { sessionAffinity: "ClientIP" }),
      loadBalancerSourceRanges: ["203.0.113.0/24", "2001:db8::/32"],
      ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30080 + i }],
    };
    const object = service(`s${i}`, ips[0] ?? "", spec);
    const ingress = [{ ip: `192.0.2.${i}` }, { ip: `2001:db8:1::${i}` }];
    yield ["Service", { ...object, status: { loadBalancer: { ingress } } }];
    const ready = i === 4 ? [] : [`10.1.0.${i}`, `10.1.1.${i}!`];
    yield ["EndpointSlice", slice(`s${i}-4`, `s${i}`, ready)];
    yield ["EndpointSlice", slice(`s${i}-6`, `s${i}`, [`fd00:1::${i}`, `fd00:2::${i}!`])];
  }
}

/** Every element of the kernel's table as a line. */
export function kernelElements(): string[] {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const lines = SET_IDS.flatMap((id) => {
    const { keysAndValues, count, catchall } = readTableElements(socket, id);
    const size = keySize(id);
    const stride = size + valueSize(id);
    const found = Array.from({ length: count }, (_, i) =>
      printElement(
        id,
        keysAndValues.subarray(i * stride, i * stride + size),
        keysAndValues.subarray(i * stride + size, (i + 1) * stride),
        "",
      ),
    );
    return catchall ? [...found, `${id} *`] : found;
  });
  socket.close();
  return lines.map((line) => line.replace(" ()", "")).sort();
}

/** The elements of the maps of actions. */
function kernelActions(): string[] {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const lines: string[] = [];
  for (const map of FAMILIES.flatMap((family) =>
    DISPATCHES.map((kind) => dispatchMap(kind, family)),
  )) {
    const each = ({ bytes, key, verdict, chain }: ReadElement) => {
      lines.push(`${map} ${Buffer.from(bytes).toString("hex", key, key + 4)} ${verdict} ${chain}`);
    };
    if (readElements(socket, map, () => {}, each)) lines.push(`${map} *`);
  }
  socket.close();
  return lines;
}

const FAMILIES = [4, 6] as const;

/** The elements, the chains and the maps of actions. */
export function kernel(): readonly string[] {
  const text = run("nft", "-t", "list", "table", "inet", "sluice");
  const parts = text.matchAll(/\t(?:chain|map|set) .*\n(?:\t\t.*\n)*\t\}/g);
  const flags = /flags dormant/.test(text) ? ["dormant"] : [];
  return [
    ...kernelElements(),
    ...[...parts].map(([part]) => part),
    ...kernelActions(),
    ...flags,
  ].sort();
}

/** The number of drifted objects by kind; undefined if nothing was checked. */
export function driftedCounts(
  report: RepairReport | undefined,
): { [kind in DriftObject]?: number } | undefined {
  return report && { ...report.driftedCounts };
}
