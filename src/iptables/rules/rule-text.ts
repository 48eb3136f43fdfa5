/**
 * Builds the parts of a rule in the format of iptables-save 1.8, which is the same for both
 * variants of the tools. A rule consists of addresses and interface, protocol, matches and target,
 * in this order. Pure.
 */
import type { Family } from "../../net/address.ts";

/**
 * The rules of a chain in the format of iptables-save, without `-A CHAIN `, one per line; "" for a
 * chain without rules.
 */
export type ChainText = string;

export type Word = string | undefined;

/** Joins the parts that exist with spaces. */
export function words(...parts: readonly Word[]): string {
  let text = "";
  for (const part of parts) {
    if (part !== undefined && part !== "") text += text === "" ? part : ` ${part}`;
  }
  return text;
}

/** XT_MAX_COMMENT_LEN without the NUL (linux/netfilter/xt_comment.h). */
const COMMENT_BYTES = 255;

/** `-m comment --comment "…"`, cut to the maximum length of the match. */
export function commentWords(text: string): string {
  return `-m comment --comment ${quoteText(cut(text, COMMENT_BYTES))}`;
}

const encoder = new TextEncoder();

function cut(text: string, bytes: number): string {
  // UTF-8 needs at most three bytes per UTF-16 unit.
  if (text.length * 3 <= bytes) return text;
  const { read } = encoder.encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, read);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f\u0085\u2028\u2029]/g;

/**
 * Quotes text as xtables_save_string (libxtables/xtables.c) does, unless every character is
 * harmless. Characters that would end the line become question marks.
 */
export function quoteText(text: string): string {
  if (/^[-_0-9A-Za-z]+$/.test(text)) return text;
  return `"${text.replaceAll(CONTROL, "?").replaceAll(/["'\\]/g, "\\$&")}"`;
}

/** `-m tcp --dport 80`, `-m tcp --dport 30208:30223`. */
export function portMatch(protocol: string, first: number, last = first): string {
  return `-m ${protocol} --dport ${first === last ? first : `${first}:${last}`}`;
}

/** The kernel stores a probability in 31 bits (linux/netfilter/xt_statistic.h). */
const PROBABILITY_ONE = 0x80000000;

/** Cache by `of`: toFixed takes longer than the rest of such a rule. */
const CHANCES: string[] = [];

/** `-m statistic …`: matches one of `of` packets. Undefined for 1. */
export function randomMatch(of: number): Word {
  if (of <= 1) return undefined;
  CHANCES[of] ??= chance(of);
  return CHANCES[of];
}

function chance(of: number): string {
  const kept = Math.round(PROBABILITY_ONE / of);
  return `-m statistic --mode random --probability ${(kept / PROBABILITY_ONE).toFixed(11)}`;
}

/** `-m recent`: identifies clients by their whole address. */
export function recentMatch(family: Family, what: string, list: string): string {
  const mask = family === 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  return `-m recent ${what} --name ${list} --mask ${mask} --rsource`;
}

export const REJECT = {
  4: "-j REJECT --reject-with icmp-port-unreachable",
  6: "-j REJECT --reject-with icmp6-port-unreachable",
} as const;

/** The matches and targets that test, set and clear the masquerade mark. */
export interface MarkMatches {
  readonly marked: string;
  readonly unmarked: string;
  readonly set: string;
  readonly clear: string;
}

export function markMatches(bit: number): MarkMatches {
  const hex = `0x${(2 ** bit).toString(16)}`;
  return {
    marked: `-m mark --mark ${hex}/${hex}`,
    unmarked: `-m mark ! --mark ${hex}/${hex}`,
    set: `-j MARK --set-xmark ${hex}/${hex}`,
    clear: `-j MARK --set-xmark 0x0/${hex}`,
  };
}

/** Joins rules, one per line. Skips undefined and empty parts. */
export function joinRules(...rules: readonly Word[]): string {
  return rules.filter((rule) => rule !== undefined && rule !== "").join("\n");
}

/**
 * Converts a tool's output to our format: removes trailing spaces, and quotes around comments that
 * need none.
 */
export function normalizeRules(rules: string): string {
  return rules
    .replaceAll(/ --comment "([-_0-9A-Za-z]+)"/g, " --comment $1")
    .replaceAll(/[ \t]+$/gm, "");
}
