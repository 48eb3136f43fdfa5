/**
 * Deletes conntrack entries that lead to an endpoint that no longer serves, or that were never
 * translated. kube-proxy's conntrack reconciler does this for UDP. To the kernel, all datagrams
 * between two ports are one connection, which keeps its endpoint while it is in use. An unanswered
 * SYN is retransmitted to the same endpoint. This runs in the background: the
 * core checks one datagram of the kernel's dump at a time, and other work runs in between.
 */
import { type Clock, roundMs } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { FLOW_PASS_COOLDOWN_FACTOR, FLOWS_DELAY_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Core, FlowDump } from "../core/core.ts";
import type { Cidr, Family } from "../net/address.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { MessageWriter } from "../netlink/message.ts";
import { refusalError } from "../netlink/netlink-errors.ts";
import { type Netlink, NetlinkSocket } from "../netlink/socket.ts";
import { ENOBUFS, ENOENT } from "../os/posix.ts";
import { systemError } from "../os/system-error.ts";
import { writeDumpRequest } from "./dump-request.ts";
import { DumpSocket, type EntryDump } from "./dump-socket.ts";

/** The result of one pass over the entries of a family, UDP and TCP together. */
export interface FlowsReport {
  readonly family: Family;
  /** Number of entries read, and of those deleted. */
  readonly entries: number;
  readonly deleted: number;
  /** Time on the event loop, and total time, in ms. */
  readonly busyMs: number;
  readonly durationMs: number;
}

export interface FlowReconcilerOptions {
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: (report: FlowsReport) => void;
  /** The local addresses that serve node ports, called at the start of a pass. */
  readonly nodePortRanges: () => readonly Cidr[];
  /** Replaces real sockets in tests. */
  readonly open?: () => FlowSockets;
}

/** A socket cannot send other requests during its dump, so deletions use a second one. */
export interface FlowSockets {
  readonly dump: EntryDump;
  readonly delete: Pick<Netlink, "send" | "close">;
}

/** A dump is repeated up to this many times if the kernel's table is resized meanwhile. */
const DUMPS_MAX = 5;

export class FlowReconciler {
  readonly #options: FlowReconcilerOptions;
  readonly #log: Logger;
  readonly #openSockets: () => FlowSockets;
  #sockets: FlowSockets | undefined;
  #scheduled = false;
  #passing = false;
  #earliest = Number.NEGATIVE_INFINITY;
  #open = true;

  constructor(options: FlowReconcilerOptions) {
    this.#options = options;
    this.#log = options.log.from("reconcile-flows.ts");
    this.#openSockets = options.open ?? openSockets;
  }

  /**
   * Call it after the kernel has received the new destinations of the frontends that `core.flows`
   * recorded. Cheap.
   */
  changed(): void {
    if (!this.#passing) this.#schedule();
  }

  close(): void {
    this.#open = false;
    if (!this.#passing) this.#closeSockets();
  }

  #schedule(): void {
    if (this.#scheduled || !this.#open) return;
    this.#scheduled = true;
    const { clock } = this.#options;
    const begin = () => {
      this.#scheduled = false;
      if (this.#open) void this.#pass();
    };
    const wait = this.#earliest - clock.monotonic();
    clock.after(Math.max(wait, FLOWS_DELAY_MS), begin);
  }

  async #pass(): Promise<void> {
    const { core, clock, report } = this.#options;
    const log = this.#log;
    const started = clock.monotonic();
    this.#passing = true;
    let failed = false;
    try {
      const dumps = core.flows.begin(this.#options.nodePortRanges());
      for (const family of [4, 6] as const) {
        const own = dumps.filter((dump) => dump.family === family);
        if (own.length === 0) continue;
        const passed = await this.#passFamily(family, own);
        const [busyMs, durationMs] = [roundMs(passed.busyMs), roundMs(passed.durationMs)];
        log.debug(2, "Checked conntrack entries", { ...passed, busyMs, durationMs });
        report(passed);
      }
      log.rearm(FAILED);
    } catch (error) {
      rethrowDefect(error);
      failed = true;
      // One cause is a kernel without nf_conntrack_netlink. Services work nevertheless. The next
      // change triggers another attempt.
      if (log.firstTime(FAILED)) log.warn(FAILED, { code: error.code, err: error.message });
      this.#closeSockets();
    }
    core.flows.finish(failed);
    this.#passing = false;
    const ended = clock.monotonic();
    this.#earliest = ended + (ended - started) * FLOW_PASS_COOLDOWN_FACTOR;
    if (!this.#open) this.#closeSockets();
    else if (!failed && core.flows.hasChanges()) this.#schedule();
  }

  async #passFamily(family: Family, dumps: readonly FlowDump[]): Promise<FlowsReport> {
    const { clock } = this.#options;
    const started = clock.monotonic();
    const total = { entries: 0, deleted: 0, busyMs: 0 };
    for (const dump of dumps) {
      for (let again = 1; (await this.#passDump(dump, total)) && again < DUMPS_MAX; again++);
    }
    return { family, ...total, durationMs: clock.monotonic() - started };
  }

  /** Returns true if the kernel reports that entries may be missing: dump again. */
  async #passDump(asked: FlowDump, total: Total): Promise<boolean> {
    const { core, clock } = this.#options;
    this.#sockets ??= this.#openSockets();
    const sockets = this.#sockets;
    const request = new MessageWriter(128);
    writeDumpRequest(request, asked);
    await sockets.dump.request(request.bytes, request.length);
    let interrupted = false;
    while (this.#open) {
      const bytes = await sockets.dump.read();
      const began = clock.monotonic();
      const result = core.flows.check(bytes);
      total.entries += result.entries;
      interrupted ||= result.interrupted;
      if (result.stale > 0) {
        const alreadyEnded = deleteEntries(sockets.delete, result.deletions);
        total.deleted += result.stale - alreadyEnded;
      }
      total.busyMs += clock.monotonic() - began;
      if (result.errno > 0) throw systemError(READING, result.errno, "NETLINK_REFUSED");
      if (result.cut) throw systemError(READING, ENOBUFS);
      if (result.end) return interrupted;
    }
    return false;
  }

  #closeSockets(): void {
    this.#sockets?.dump.close();
    this.#sockets?.delete.close();
    this.#sockets = undefined;
  }
}

interface Total {
  entries: number;
  deleted: number;
  busyMs: number;
}

const READING = "read conntrack entries";
const FAILED =
  "Failed to delete stale conntrack entries; their connections keep the old endpoint until they end";

/** Returns the number of entries that had already ended. */
function deleteEntries(socket: FlowSockets["delete"], messages: Uint8Array): number {
  const { refusals } = socket.send(messages, messages.byteLength);
  for (const refusal of refusals) {
    if (refusal.errno === ENOENT) continue;
    throw refusalError("delete conntrack entries", refusal);
  }
  return refusals.length;
}

function openSockets(): FlowSockets {
  const own = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    return { dump: new DumpSocket(), delete: own };
  } catch (error) {
    own.close();
    throw error;
  }
}
