/** What the kernel tells of legacy tables without listing them: getsockopt(IPT_SO_GET_INFO). */
import { readFileSync } from "node:fs";
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM } from "../../netlink/constants.ts";
import { systemError } from "../../netlink/netlink-errors.ts";
import * as libc from "../../os/libc.ts";

/** Files with the names of the tables in use in this network namespace. */
const LISTS = { 4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names" } as const;

// linux/in.h, linux/in6.h, linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_GET_INFO = 64;
/** In host byte order, which is little-endian wherever the program runs: struct ipt_getinfo { name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size } */
const INFO_LENGTH = 84;
const NAME_LENGTH = 32;
const HOOKS_AT = 32;
const HOOKS = 5;
const UNDERFLOWS_AT = 56;
const SIZE_AT = 80;
/** struct ipt_get_entries { name[32], size, padding, entries } */
const SO_GET_ENTRIES = 65;
const BLOB_AT = 40;
const BLOB_ATTEMPTS = 5;

/** A table's entries, one after the other. */
export interface LegacyBlob {
  readonly family: Family;
  readonly bytes: Uint8Array;
  /** Where the policies of built-in chains are. */
  readonly policies: readonly number[];
}

/** Names of the tables in use in this network namespace. @throws SluiceError PERMISSION_DENIED */
export function legacyTableNames(family: Family): string[] {
  const path = LISTS[family];
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    const message = `Cannot read ${path}: it must be readable: ${String(error)}`;
    throw new SluiceError("PERMISSION_DENIED", message, path, { cause: error });
  }
}

/** A socket to ask about the legacy tables of one family. */
export class LegacyInfo {
  readonly #family: Family;
  readonly #fd: number;
  readonly #info = new Uint8Array(new ArrayBuffer(INFO_LENGTH));
  readonly #view = new DataView(this.#info.buffer);

  /** @throws SluiceError NETLINK_SOCKET; it needs no rights */
  constructor(family: Family) {
    this.#family = family;
    this.#fd = libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw systemError(`open a socket to ask for IPv${family} tables`, -this.#fd);
  }

  /** Tables in use; none if the list cannot be read. Asking for any other one would make it. */
  names(): string[] {
    try {
      return legacyTableNames(this.#family);
    } catch {
      return [];
    }
  }

  /** Where the built-in chains begin and end, how many entries there are and their size; undefined if it cannot be asked. */
  layout(table: string): string | undefined {
    return this.#ask(table)
      ? Buffer.from(this.#info.subarray(HOOKS_AT)).toString("hex")
      : undefined;
  }

  /** Its rules as the kernel keeps them; undefined if they cannot be asked for. The xtables lock is not needed. */
  blob(table: string): LegacyBlob | undefined {
    for (let attempt = 0; attempt < BLOB_ATTEMPTS; attempt++) {
      if (!this.#ask(table)) return undefined;
      const size = this.#view.getUint32(SIZE_AT, true);
      const answer = new Uint8Array(new ArrayBuffer(BLOB_AT + size));
      new TextEncoder().encodeInto(table, answer.subarray(0, NAME_LENGTH - 1));
      new DataView(answer.buffer).setUint32(NAME_LENGTH, size, true);
      const result = libc.getStruct(this.#fd, this.#level, SO_GET_ENTRIES, answer);
      // EAGAIN: it has another size by now.
      if (result < 0) continue;
      const policies = Array.from({ length: HOOKS }, (_, hook) => hook)
        .filter((hook) => this.#view.getUint32(HOOKS_AT, true) & (1 << hook))
        .map((hook) => this.#view.getUint32(UNDERFLOWS_AT + 4 * hook, true));
      return { family: this.#family, bytes: answer.subarray(BLOB_AT), policies };
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
    new TextEncoder().encodeInto(table, this.#info.subarray(0, NAME_LENGTH - 1));
    return libc.getStruct(this.#fd, this.#level, SO_GET_INFO, this.#info) === INFO_LENGTH;
  }
}
