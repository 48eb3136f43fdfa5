/**
 * The parts of a rule, in the words of iptables-save 1.8, which are the same for both variants of
 * the tools. A rule is its addresses and interface, its protocol, its matches and its target, in
 * this order. Pure.
 */
import type { Family } from "../../net/address.ts";

/**
 * The rules of a chain as iptables-save prints them, without `-A CHAIN `, one on each line; "" for
 * a chain without rules.
 */
export type ChainText = string;

/** A part that may be missing. */
export type Part = string | undefined;

/** The parts that are there, with blanks between. */
export function words(...parts: readonly Part[]): string {
  let text = "";
  for (const part of parts) {
    if (part !== undefined && part !== "") text += text === "" ? part : ` ${part}`;
  }
  return text;
}

/** XT_MAX_COMMENT_LEN less its NUL (linux/netfilter/xt_comment.h). */
const COMMENT_BYTES = 255;

/** `-m comment --comment "…"`, cut to what the match holds. */
export function comment(text: string): string {
  return `-m comment --comment ${quote(cut(text, COMMENT_BYTES))}`;
}

const encoder = new TextEncoder();

function cut(text: string, bytes: number): string {
  // No character takes more than three bytes of UTF-8 for each of its UTF-16 units.
  if (text.length * 3 <= bytes) return text;
  const { read } = encoder.encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, read);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f\u0085\u2028\u2029]/g;

/**
 * As xtables_save_string (libxtables/xtables.c) prints it: quoted unless every character is
 * harmless. What would end the line becomes a question mark.
 */
export function quote(text: string): string {
  if (/^[-_0-9A-Za-z]+$/.test(text)) return text;
  return `"${text.replaceAll(CONTROL, "?").replaceAll(/["'\\]/g, "\\$&")}"`;
}

/** `-m tcp --dport 80`, `-m tcp --dport 30208:30223`. */
export function port(protocol: string, first: number, last = first): string {
  return `-m ${protocol} --dport ${first === last ? first : `${first}:${last}`}`;
}

/** The kernel keeps a probability as 31 bits (linux/netfilter/xt_statistic.h). */
const PROBABILITY_ONE = 0x80000000;

/** By `of`: toFixed takes longer than all else of such a rule. */
const CHANCES: string[] = [];

/** `-m statistic …`: one of `of`; nothing for 1. */
export function oneOf(of: number): Part {
  if (of <= 1) return undefined;
  CHANCES[of] ??= chance(of);
  return CHANCES[of];
}

function chance(of: number): string {
  const kept = Math.round(PROBABILITY_ONE / of);
  return `-m statistic --mode random --probability ${(kept / PROBABILITY_ONE).toFixed(11)}`;
}

/** `-m recent`: clients are told apart by their whole address. */
export function recent(family: Family, what: string, list: string): string {
  const mask = family === 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  return `-m recent ${what} --name ${list} --mask ${mask} --rsource`;
}

export const REJECT = {
  4: "-j REJECT --reject-with icmp-port-unreachable",
  6: "-j REJECT --reject-with icmp6-port-unreachable",
} as const;

/** How the bit of the masquerade mark is tested, set and cleared. */
export interface MarkWords {
  readonly marked: string;
  readonly unmarked: string;
  readonly set: string;
  readonly clear: string;
}

export function markWords(bit: number): MarkWords {
  const hex = `0x${(2 ** bit).toString(16)}`;
  return {
    marked: `-m mark --mark ${hex}/${hex}`,
    unmarked: `-m mark ! --mark ${hex}/${hex}`,
    set: `-j MARK --set-xmark ${hex}/${hex}`,
    clear: `-j MARK --set-xmark 0x0/${hex}`,
  };
}

/** Rules of a chain, one on each line; what is missing or has none is left out. */
export function lines(...rules: readonly Part[]): string {
  return rules.filter((rule) => rule !== undefined && rule !== "").join("\n");
}

/**
 * Rules as we write them, from such as a tool printed them: without blanks at their end, and
 * without quotes around a comment that needs none.
 */
export function normalize(rules: string): string {
  return rules
    .replaceAll(/ --comment "([-_0-9A-Za-z]+)"/g, " --comment $1")
    .replaceAll(/[ \t]+$/gm, "");
}
