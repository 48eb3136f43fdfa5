/**
 * Flows of UDP follow their Service: to the kernel all datagrams between two ports are one connection, which
 * keeps its endpoint for as long as it is used. What leads to an endpoint that is gone is deleted here, in the
 * background: one datagram of the kernel's dump at a time, with everything else in between.
 */
import type { Clock } from "../../clock.ts";
import type { Core } from "../../core/core.ts";
import type { FrontendText } from "../../diff/udp-frontends.ts";
import { SluiceError } from "../../errors.ts";
import { FLOWS_DELAY_MS, FLOWS_REST_FACTOR } from "../../limits.ts";
import type { Logger } from "../../log.ts";
import type { Family } from "../../plan/tables.ts";
import { ENOENT, NETLINK_NETFILTER } from "../netlink/constants.ts";
import { printRefusal, systemError } from "../netlink/errors.ts";
import { MessageWriter } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { EntryReader, writeDelete, writeDump } from "./entries.ts";
import { Judge } from "./judge.ts";

/** What one pass over the entries of a family came to. */
export interface FlowsReport {
  readonly family: Family;
  /** Entries read, and deleted. */
  readonly entries: number;
  readonly deleted: number;
  /** Time it took of the processor, and from begin to end. */
  readonly busyMs: number;
  readonly durationMs: number;
}

export interface UdpFlowsOptions {
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: (report: FlowsReport) => void;
  /** In place of real sockets. */
  readonly open?: () => FlowSockets;
}

/** One socket cannot be asked for anything else while it dumps. */
export interface FlowSockets {
  readonly dump: NetlinkSocket;
  readonly delete: NetlinkSocket;
}

export class UdpFlows {
  readonly #options: UdpFlowsOptions;
  readonly #writer = new MessageWriter(1 << 12);
  readonly #reader = new EntryReader();
  #pending = new Set<FrontendText>();
  #judge: Judge | undefined;
  #scheduled = false;
  #earliest = Number.NEGATIVE_INFINITY;
  readonly #openSockets: () => FlowSockets;
  #sockets: FlowSockets | undefined;
  #open = true;

  constructor(options: UdpFlowsOptions) {
    this.#options = options;
    this.#openSockets = options.open ?? openSockets;
  }

  /** The kernel has been told that these frontends lead elsewhere, or nowhere. Cheap. */
  changed(frontends: Iterable<FrontendText>): void {
    for (const frontend of frontends) this.#pending.add(frontend);
    this.#judge?.forget();
    if (this.#judge === undefined) this.#schedule();
  }

  close(): void {
    this.#open = false;
    this.#pending.clear();
    if (this.#judge === undefined) this.#closeSockets();
  }

  #schedule(): void {
    if (this.#scheduled || this.#pending.size === 0) return;
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
    const { core, clock, log } = this.#options;
    const frontends = this.#pending;
    this.#pending = new Set();
    this.#judge = new Judge(core, frontends);
    let busyMs = 0;
    let failed = false;
    try {
      for (const family of [4, 6] as const) {
        const text = String(family);
        if (![...frontends].some((frontend) => frontend.startsWith(text))) continue;
        busyMs += await this.#passFamily(family, this.#judge);
      }
      log.again(CANNOT);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      failed = true;
      // Such as a kernel without nf_conntrack_netlink: Services work even so. The next change is another attempt.
      for (const frontend of frontends) this.#pending.add(frontend);
      if (log.once(CANNOT)) log.warn(CANNOT, { code: error.code, err: error.message });
      this.#closeSockets();
    }
    this.#judge = undefined;
    this.#earliest = clock.monotonic() + busyMs * FLOWS_REST_FACTOR;
    if (!this.#open) this.#closeSockets();
    else if (!failed) this.#schedule();
  }

  async #passFamily(family: Family, judge: Judge): Promise<number> {
    const { clock, report } = this.#options;
    this.#sockets ??= this.#openSockets();
    const sockets = this.#sockets;
    const request = new MessageWriter(128);
    writeDump(request, family);
    const reader = this.#reader;
    const writer = this.#writer;
    let entries = 0;
    let condemned = 0;
    let deleted = 0;
    let busyMs = 0;
    const started = clock.monotonic();
    const parts = sockets.dump.dumpParts(request.bytes, request.length, (message) => {
      if (!reader.read(message)) return;
      entries++;
      if (!judge.condemns(family, reader)) return;
      condemned++;
      writeDelete(writer, family, reader);
    });
    for (;;) {
      const began = clock.monotonic();
      condemned = 0;
      writer.reset();
      const { done } = parts.next();
      if (condemned > 0) deleted += condemned - this.#delete(sockets.delete);
      busyMs += clock.monotonic() - began;
      if (done || !this.#open) break;
      await new Promise<void>((resolve) => clock.soon(resolve));
    }
    const durationMs = clock.monotonic() - started;
    report({ family, entries, deleted, busyMs, durationMs });
    return busyMs;
  }

  /** Sends what is written; returns how many had ended by themselves meanwhile. */
  #delete(socket: NetlinkSocket): number {
    const { bytes, length } = this.#writer;
    const { refusals } = socket.send(bytes, length);
    for (const refusal of refusals) {
      if (refusal.errno === ENOENT) continue;
      const text = printRefusal(refusal);
      throw systemError("delete flows of UDP", refusal.errno, "NETLINK_REFUSED", text);
    }
    return refusals.length;
  }

  #closeSockets(): void {
    this.#sockets?.dump.close();
    this.#sockets?.delete.close();
    this.#sockets = undefined;
  }
}

const CANNOT =
  "Cannot let flows of UDP follow their Service; they lead where they did until they end";

function openSockets(): FlowSockets {
  const dump = new NetlinkSocket(NETLINK_NETFILTER);
  return { dump, delete: new NetlinkSocket(NETLINK_NETFILTER) };
}
