/** Sees that somebody changed the tables, without listing them. */
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/types.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { NftInfo } from "./nft-info.ts";

/** In which we have rules, or a canary. */
const TABLES = ["nat", "filter", "mangle"] as const;

/**
 * `read` gives another text after a change of anybody, ourselves included: to be read right after each of our own,
 * too. Equal texts prove less: in a legacy table, one rule in place of another of the same size does not show.
 */
export interface Peek {
  /**
   * A few system calls, which wait while a legacy table is written or saved.
   * @throws SluiceError NETLINK_REFUSED, NETLINK_SOCKET, PERMISSION_DENIED
   */
  read(): string;
  /** How many transactions made one text of `read` the other; undefined: it does not tell. */
  commits(before: string, after: string): number | undefined;
  close(): void;
}

export function openPeek(variant: Variant, families: readonly Family[]): Peek {
  if (variant === "legacy") return peekLegacy(families);
  const info = new NftInfo();
  // Of all tables: others that change theirs often make the caller look for nothing.
  return {
    read: () => String(info.generation()),
    commits: (before, after) => (Number(after) - Number(before)) >>> 0,
    close: () => info.close(),
  };
}

function peekLegacy(families: readonly Family[]): Peek {
  const infos = families.map((family) => ({ info: new LegacyInfo(family), there: tablesOf([]) }));
  return {
    read: () =>
      infos
        .map((one) => {
          // Whoever writes keeps the kernel's list to himself meanwhile. No table goes while it is in use.
          if (one.there.length < TABLES.length) one.there = tablesOf(one.info.names());
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
  return TABLES.filter((table) => names.includes(table));
}
