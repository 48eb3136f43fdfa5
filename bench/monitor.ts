/**
 * Runs in a network namespace and reports every committed nftables transaction as a line of JSON,
 * with the time of the kernel's announcement. The kernel does the same work for every committing
 * process, so this measures any proxy fairly.
 *
 * usage: bun bench/monitor.ts FIRST COUNT
 *
 * FIRST is a clusterIP. The elements keyed by it and the next COUNT - 1 addresses are counted
 * (`frontends`).
 */
import { writeSync } from "node:fs";
import { bind, recv, setOption, socket } from "../src/os/libc.ts";

/** A transaction, as a line. */
export interface Commit {
  /** Milliseconds since the epoch, with fractions. */
  readonly at: number;
  /** Time of its first notification. A transaction with 50,000 elements has many. */
  readonly begun: number;
  /** The committing process. */
  readonly pid: number;
  /**
   * Number of elements, rules, chains and similar objects added or deleted, by the name of their
   * table.
   */
  readonly writes: { readonly [table: string]: number };
  /** Number of created and deleted tables. */
  readonly made: readonly string[];
  readonly gone: readonly string[];
  /** Number of distinct clusterIPs counted so far. */
  readonly frontends: number;
  /** Its addresses that are in MARKS, by their last two bytes. */
  readonly marks: readonly number[];
  /** Notifications were lost before this line, because the socket's buffer was full. */
  readonly lost: boolean;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NFNLGRP_NFTABLES = 7;
const ENOBUFS = 105;
const EINTR = 4;

// Types of linux/netfilter/nf_tables.h, without the subsystem in the upper byte.
const NEW_SET_ELEMENT = 12;
const NEW_GENERATION = 15;
const NEW_TABLE = 0;
const DELETED_TABLE = 2;
/** Present in every message except that about the generation. */
const NFTA_TABLE = 1;
const NFTA_GEN_PROC_PID = 2;
const NFTA_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NESTED = 0x3fff;
/** Range of the endpoint addresses that a measurement adds and recognizes. */
export const MARKS = [10, 250] as const;
const MARK_BYTES = Buffer.from(MARKS);

function monitor(first: string, count: number): never {
  const fd = check("socket", socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  check("setsockopt", setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 29));
  const address = new Uint8Array(new ArrayBuffer(12));
  new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
  check("bind", bind(fd, address));
  check("setsockopt", setOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES));

  const buffer = new Uint8Array(new ArrayBuffer(1 << 20));
  const tally = new CommitTally(first, count, buffer);
  writeSync(1, "{}\n");
  for (;;) {
    const received = recv(fd, buffer, 0);
    const at = performance.timeOrigin + performance.now();
    if (received === -ENOBUFS) tally.lost = true;
    else if (received !== -EINTR) tally.take(check("recv", received), at);
  }
}

class CommitTally {
  lost = false;
  private begun: number | undefined;
  private writes: Record<string, number> = {};
  private made: string[] = [];
  private gone: string[] = [];
  private marks = new Set<number>();
  private readonly seen: Uint8Array;
  private frontends = 0;
  private readonly first: number;
  private readonly buffer: Buffer;
  private readonly view: DataView;

  constructor(first: string, count: number, buffer: Uint8Array<ArrayBuffer>) {
    this.first = first.split(".").reduce((value, part) => value * 256 + Number(part), 0);
    this.seen = new Uint8Array(count);
    this.buffer = Buffer.from(buffer.buffer);
    this.view = new DataView(buffer.buffer);
  }

  take(length: number, at: number): void {
    const bytes = this.buffer.subarray(0, length);
    this.begun ??= at;
    for (
      let mark = bytes.indexOf(MARK_BYTES);
      mark >= 0;
      mark = bytes.indexOf(MARK_BYTES, mark + 1)
    ) {
      if (mark + 4 <= length) this.marks.add(bytes.readUInt16BE(mark + 2));
    }
    let offset = 0;
    while (offset + 16 <= length) {
      const size = this.view.getUint32(offset, true);
      const type = this.view.getUint16(offset + 4, true) & 255;
      const end = offset + size;
      if (type === NEW_GENERATION) this.finish(offset + 20, end, at);
      else this.count(type, offset + 20, end);
      if (type === NEW_SET_ELEMENT) this.findKeys(offset + 20, end);
      offset += (size + 3) & ~3;
    }
  }

  private count(type: number, from: number, end: number): void {
    const name = this.find(from, end, NFTA_TABLE);
    const table =
      name < 0 ? "" : this.buffer.toString("latin1", name + 4, name + this.size(name) - 1);
    this.writes[table] = (this.writes[table] ?? 0) + 1;
    if (type === NEW_TABLE) this.made.push(table);
    if (type === DELETED_TABLE) this.gone.push(table);
  }

  /** Examines the key of every element: an address, a protocol, a port. */
  private findKeys(from: number, end: number): void {
    const list = this.find(from, end, NFTA_LIST_ELEMENTS);
    if (list < 0) return;
    const listEnd = list + this.size(list);
    for (let element = list + 4; element + 4 <= listEnd; element += this.step(element)) {
      const key = this.find(element + 4, element + this.size(element), NFTA_SET_ELEM_KEY);
      // The length of a data attribute with 12 bytes. The keys of slots and others are longer.
      if (key < 0 || this.size(key) !== 20) continue;
      const index = this.view.getUint32(key + 8, false) - this.first;
      if (this.seen[index] !== 0) continue;
      this.seen[index] = 1;
      this.frontends++;
    }
  }

  private finish(from: number, end: number, at: number): void {
    const process = this.find(from, end, NFTA_GEN_PROC_PID);
    const pid = process < 0 ? 0 : this.view.getUint32(process + 4, false);
    const { writes, made, gone, frontends, lost } = this;
    const marks = [...this.marks];
    const begun = this.begun ?? at;
    this.begun = undefined;
    const commit: Commit = { at, begun, pid, writes, made, gone, frontends, marks, lost };
    writeSync(1, `${JSON.stringify(commit)}\n`);
    this.writes = {};
    this.made = [];
    this.gone = [];
    this.marks.clear();
    this.lost = false;
  }

  /**
   * Returns the start of the first attribute with this type, at `from` or later; -1 without one.
   */
  private find(from: number, end: number, type: number): number {
    for (let offset = from; offset + 4 <= end; offset += this.step(offset)) {
      if ((this.view.getUint16(offset + 2, true) & NESTED) === type) return offset;
    }
    return -1;
  }

  private size(attribute: number): number {
    return this.view.getUint16(attribute, true);
  }

  /** Advances to the next attribute. Sizes are padded to 4 bytes. */
  private step(attribute: number): number {
    return Math.max(4, (this.size(attribute) + 3) & ~3);
  }
}

function check(call: string, result: number): number {
  if (result < 0) throw new Error(`watch nftables: ${call}: errno ${-result}`);
  return result;
}

if (import.meta.main) monitor(process.argv[2] ?? "", Number(process.argv[3]));
