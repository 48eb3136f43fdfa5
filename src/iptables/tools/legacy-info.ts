/**
 * Reads legacy tables from the kernel with getsockopt(IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES). Unlike
 * the tools, it needs no xtables lock and does not create tables that are not in use.
 */
import { readFileSync } from "node:fs";
import { describeCause, SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import * as libc from "../../os/libc.ts";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOL_IP, SOL_IPV6 } from "../../os/posix.ts";
import { systemError } from "../../os/system-error.ts";
import { isKubeProxyChain, isXtable } from "../syntax/known-chains.ts";

/** These files list the tables in use in this network namespace. */
const LISTS = { 4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names" } as const;

// linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h
const SO_GET_INFO = 64;
/**
 * struct ipt_getinfo { name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size }, in
 * host byte order, which is little-endian on all supported platforms.
 */
const INFO_LENGTH = 84;
const TABLE_NAME_LENGTH = 32;
const HOOKS_AT = 32;
const HOOKS = 5;
const UNDERFLOWS_AT = 56;
const SIZE_AT = 80;
/** struct ipt_get_entries { name[32], size, padding, entries } */
const SO_GET_ENTRIES = 65;
const ENTRIES_AT = 40;
const READ_ATTEMPTS = 5;

/** The entries of a table, in the kernel's format. */
export interface LegacyEntries {
  readonly family: Family;
  readonly bytes: Uint8Array;
  /** Offsets of the entries that hold policies of built-in chains. */
  readonly policies: readonly number[];
}

/** Names of the tables in use in this network namespace. @throws SluiceError PERMISSION_DENIED */
export function legacyTableNames(family: Family): string[] {
  const path = LISTS[family];
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    const message = `read ${path}: ${describeCause(error)}`;
    throw new SluiceError("PERMISSION_DENIED", message, path, { cause: error });
  }
}

/** A socket for reading the legacy tables of one family. */
export class LegacyInfo {
  readonly #family: Family;
  readonly #fd: number;
  readonly #info = new Uint8Array(new ArrayBuffer(INFO_LENGTH));
  readonly #view = new DataView(this.#info.buffer);

  /**
   * Opens the socket. Needs no capability.
   * @throws SluiceError NETLINK_SOCKET
   */
  constructor(family: Family) {
    this.#family = family;
    this.#fd = libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw systemError(`open socket for legacy IPv${family} tables`, -this.#fd);
  }

  /**
   * Names of the tables in use; empty if the list cannot be read. Asking the kernel for any other
   * table would create it.
   */
  names(): string[] {
    try {
      return legacyTableNames(this.#family);
    } catch {
      return [];
    }
  }

  /**
   * The start and end of the built-in chains, the number of entries and their size, as hexadecimal
   * digits. Undefined if the kernel refuses.
   */
  layout(table: string): string | undefined {
    return this.#ask(table)
      ? Buffer.from(this.#info.subarray(HOOKS_AT)).toString("hex")
      : undefined;
  }

  /** The rules of a table; undefined if the kernel refuses. */
  entries(table: string): LegacyEntries | undefined {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      if (!this.#ask(table)) return undefined;
      const size = this.#view.getUint32(SIZE_AT, true);
      const answer = new Uint8Array(new ArrayBuffer(ENTRIES_AT + size));
      new TextEncoder().encodeInto(table, answer.subarray(0, TABLE_NAME_LENGTH - 1));
      new DataView(answer.buffer).setUint32(TABLE_NAME_LENGTH, size, true);
      const result = libc.getStruct(this.#fd, this.#level, SO_GET_ENTRIES, answer);
      // EAGAIN: the size of the table has changed since the previous request.
      if (result < 0) continue;
      const policies = Array.from({ length: HOOKS }, (_, hook) => hook)
        .filter((hook) => this.#view.getUint32(HOOKS_AT, true) & (1 << hook))
        .map((hook) => this.#view.getUint32(UNDERFLOWS_AT + 4 * hook, true));
      return { family: this.#family, bytes: answer.subarray(ENTRIES_AT), policies };
    }
    return undefined;
  }

  close(): void {
    libc.close(this.#fd);
  }

  get #level(): number {
    return this.#family === 4 ? SOL_IP : SOL_IPV6;
  }

  #ask(table: string): boolean {
    this.#info.fill(0);
    new TextEncoder().encodeInto(table, this.#info.subarray(0, TABLE_NAME_LENGTH - 1));
    return libc.getStruct(this.#fd, this.#level, SO_GET_INFO, this.#info) === INFO_LENGTH;
  }
}

/**
 * Offsets in struct ipt_entry and struct ip6t_entry. `target`: the u16 target_offset, followed by
 * the u16 next_offset. `size`: size of the struct.
 */
const LAYOUTS = { 4: { target: 88, size: 112 }, 6: { target: 140, size: 168 } } as const;
type EntryLayout = (typeof LAYOUTS)[keyof typeof LAYOUTS];
/**
 * struct xt_entry_target { target_size (u16), name[29], revision }, then its data: a verdict or the
 * name of a chain.
 */
const TARGET_NAME_AT = 2;
const TARGET_NAME_LENGTH = 29;
const TARGET_DATA_AT = 32;
const CHAIN_LENGTH = 30;

export interface RuleCounts {
  /** Rules in chains with kube-proxy's names, and jumps to them: kube-proxy's or our own. */
  readonly kubeProxy: number;
  readonly others: number;
}

export interface LegacyContents extends RuleCounts {
  /** Excludes the built-in chains. */
  readonly chains: ReadonlySet<string>;
}

/** Lists the chains in these entries and counts their rules. Pure. */
export function readContents(table: string, entries: LegacyEntries): LegacyContents {
  const { bytes, policies } = entries;
  const layout = LAYOUTS[entries.family];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A chain begins with an entry that has the target ERROR, which holds the chain's name.
  const starts = new Map<number, string>();
  for (const { target, next } of eachEntry(view, layout)) {
    if (text(bytes, target + TARGET_NAME_AT, TARGET_NAME_LENGTH) === "ERROR") {
      starts.set(next, text(bytes, target + TARGET_DATA_AT, CHAIN_LENGTH));
    }
  }
  const names = [...starts].filter(([at]) => at < bytes.length).map(([, name]) => name);
  const skipped = new Set(policies);
  let kubeProxy = 0;
  let others = 0;
  let chain: string | undefined;
  for (const { at, target, next } of eachEntry(view, layout)) {
    chain = starts.get(at) ?? chain;
    // Skip entries that are not rules: chain names, policies, and the RETURN at the end of a chain.
    if (starts.has(next) || skipped.has(at) || isEnd(starts, next, view, layout)) continue;
    const verdict = text(bytes, target + TARGET_NAME_AT, TARGET_NAME_LENGTH) === "";
    const goal = verdict ? starts.get(view.getInt32(target + TARGET_DATA_AT, true)) : undefined;
    const involved = [chain, goal];
    if (involved.some((name) => name !== undefined && isKubeProxyName(table, name))) kubeProxy++;
    else others++;
  }
  return { chains: new Set(names), kubeProxy, others };
}

/**
 * Reports whether a chain is of kube-proxy's kinds. False for tables in which kube-proxy has no
 * chains.
 */
export function isKubeProxyName(table: string, chain: string): boolean {
  return isXtable(table) && isKubeProxyChain(table, chain);
}

/** Offsets of an entry, of its target, and of the next entry. */
interface RuleEntry {
  readonly at: number;
  readonly target: number;
  readonly next: number;
}

function* eachEntry(view: DataView, layout: EntryLayout): Generator<RuleEntry> {
  for (let at = 0; at + layout.size <= view.byteLength; ) {
    const next = at + view.getUint16(at + layout.target + 2, true);
    if (next <= at) return;
    yield { at, target: at + view.getUint16(at + layout.target, true), next };
    at = next;
  }
}

/** Reports whether the table ends or another chain begins at `next`. */
function isEnd(
  starts: ReadonlyMap<number, string>,
  next: number,
  view: DataView,
  layout: EntryLayout,
): boolean {
  if (next + layout.size > view.byteLength) return true;
  return starts.has(next + view.getUint16(next + layout.target + 2, true));
}

/** The text at `at`, up to a NUL or `length` bytes. */
function text(bytes: Uint8Array, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return Buffer.from(
    bytes.subarray(at, Math.min(end < 0 ? bytes.length : end, at + length)),
  ).toString("latin1");
}
