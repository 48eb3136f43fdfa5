/** What is in a legacy table: chains, and whose rules. Pure. */
import { isOurs } from "../syntax/our-chains.ts";
import type { LegacyBlob } from "./legacy-info.ts";

/** Offsets in struct ipt_entry and struct ip6t_entry: target_offset, next_offset behind it, and their sizes. */
const LAYOUTS = { 4: { target: 88, size: 112 }, 6: { target: 140, size: 168 } } as const;
/** struct xt_entry_target { target_size (u16), name[29], revision }, and what comes behind: a verdict, or a name. */
const NAME_AT = 2;
const NAME_LENGTH = 29;
const DATA_AT = 32;
const CHAIN_LENGTH = 30;

/** In tables that kube-proxy has no chains in, everything is others'. */
export function isKubeProxys(table: string, chain: string): boolean {
  return (table === "nat" || table === "filter" || table === "mangle") && isOurs(table, chain);
}

export interface RuleCounts {
  /** Of chains of kube-proxy's names, and the jumps to them: kube-proxy's, or ours. */
  readonly kubeProxys: number;
  readonly others: number;
}

export interface LegacyContents extends RuleCounts {
  /** Those that are not built in. */
  readonly chains: ReadonlySet<string>;
}

export function readContents(table: string, blob: LegacyBlob): LegacyContents {
  const { bytes, policies } = blob;
  const layout = LAYOUTS[blob.family];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A chain begins with a target ERROR that has its name.
  const starts = new Map<number, string>();
  for (const { target, next } of entries(view, layout)) {
    if (text(bytes, target + NAME_AT, NAME_LENGTH) === "ERROR") {
      starts.set(next, text(bytes, target + DATA_AT, CHAIN_LENGTH));
    }
  }
  const names = [...starts].filter(([at]) => at < bytes.length).map(([, name]) => name);
  const skipped = new Set(policies);
  let kubeProxys = 0;
  let others = 0;
  let chain: string | undefined;
  for (const { at, target, next } of entries(view, layout)) {
    chain = starts.get(at) ?? chain;
    // What ends a chain is no rule: its policy, or the return before the next one's name.
    if (starts.has(next) || skipped.has(at) || isEnd(starts, next, view, layout)) continue;
    const verdict = text(bytes, target + NAME_AT, NAME_LENGTH) === "";
    const goal = verdict ? starts.get(view.getInt32(target + DATA_AT, true)) : undefined;
    if ([chain, goal].some((name) => name !== undefined && isKubeProxys(table, name))) kubeProxys++;
    else others++;
  }
  return { chains: new Set(names), kubeProxys, others };
}

interface Entry {
  readonly at: number;
  readonly target: number;
  readonly next: number;
}

type Layout = (typeof LAYOUTS)[keyof typeof LAYOUTS];

function* entries(view: DataView, layout: Layout): Generator<Entry> {
  for (let at = 0; at + layout.size <= view.byteLength; ) {
    const next = at + view.getUint16(at + layout.target + 2, true);
    if (next <= at) return;
    yield { at, target: at + view.getUint16(at + layout.target, true), next };
    at = next;
  }
}

/** Does the name of another chain, or the end of the table, come next? */
function isEnd(
  starts: ReadonlyMap<number, string>,
  next: number,
  view: DataView,
  layout: Layout,
): boolean {
  if (next + layout.size > view.byteLength) return true;
  return starts.has(next + view.getUint16(next + layout.target + 2, true));
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return Buffer.from(
    bytes.subarray(at, Math.min(end < 0 ? bytes.length : end, at + length)),
  ).toString("latin1");
}
