/** Notices changes to iptables' tables by any process, without listing the tables. */
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/known-chains.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { NftInfo } from "./nft-info.ts";

/** The tables in which Sluice has rules or a canary. */
const WATCHED_TABLES = ["nat", "filter", "mangle"] as const;

/**
 * `read` returns a different text after a change by any process, including this one, so read it
 * again after each write. Equal texts do not prove that nothing changed: a legacy table shows no
 * difference if one rule replaces another of the same size.
 */
export interface ChangeCounter {
  /**
   * Takes a few system calls, which block while another process writes or saves a legacy table.
   * @throws SluiceError NETLINK_REFUSED, NETLINK_SOCKET, PERMISSION_DENIED
   */
  read(): string;
  /**
   * The number of transactions between two texts of `read`; undefined if the texts do not show it.
   */
  commits(before: string, after: string): number | undefined;
  close(): void;
}

export function openChangeCounter(variant: Variant, families: readonly Family[]): ChangeCounter {
  if (variant === "legacy") return countLegacy(families);
  const info = new NftInfo();
  // The generation counts changes to all tables of nf_tables, so some comparisons are unnecessary.
  return {
    read: () => String(info.generation()),
    commits: (before, after) => (Number(after) - Number(before)) >>> 0,
    close: () => info.close(),
  };
}

function countLegacy(families: readonly Family[]): ChangeCounter {
  const infos = families.map((family) => ({ info: new LegacyInfo(family), there: tablesOf([]) }));
  return {
    read: () =>
      infos
        .map((one) => {
          // A writer locks the kernel's list of tables. A table in use never disappears, so do not
          // read the list again once it contains all of them.
          if (one.there.length < WATCHED_TABLES.length) one.there = tablesOf(one.info.names());
          return one.there.map((table) => `${table}=${one.info.layout(table)}`).join();
        })
        .join(";"),
    commits: () => undefined,
    close: () => {
      for (const { info } of infos) info.close();
    },
  };
}

function tablesOf(names: readonly string[]): readonly string[] {
  return WATCHED_TABLES.filter((table) => names.includes(table));
}
