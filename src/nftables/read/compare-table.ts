/**
 * Compares the kernel's table with the table that Sluice would create. Covers sets, chains, rules
 * and maps of actions, but not the elements of other maps.
 */
import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import { readU32LE } from "../../base/bytes.ts";
import { type ActionCode, isAction } from "../../model/actions.ts";
import type { Family } from "../../net/address.ts";
import { AttributeReader } from "../../netlink/message.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { COMMENTED_CHAIN, rulesComment } from "../ruleset/install.ts";
import { actionEntries, FIXED_ACTIONS, type KnownActions } from "../ruleset/known-actions.ts";
import { skeleton } from "../ruleset/skeleton.ts";
import type { Chain, NftRule } from "../wire/chains.ts";
import type { Attribute, AttributeValue, Expression } from "../wire/expressions.ts";
import * as nft from "../wire/nf-tables.ts";
import { DISPATCHES, type Dispatch, dispatchMap, EQUAL_BYTES } from "../wire/object-names.ts";
import { allSets, BYTE_VALUES } from "../wire/sets.ts";
import { type ReadElement, readElements } from "./read-elements.ts";
import { type ReadChain, readChains, readRules, readSets } from "./read-objects.ts";

/**
 * `intact`: nothing to do. `refill`: rules differ or are missing; the elements can stay. `replace`:
 * something differs that cannot be changed in place.
 */
export type TableCondition = "intact" | "refill" | "replace";

/** Compares sets, chains and rules. `chains` is the number of chains that differ. */
export function compareTable(
  socket: Netlink,
  options: SkeletonOptions,
  actions: KnownActions,
): { readonly state: TableCondition; readonly chains: number } {
  const replace = { state: "replace", chains: 0 } as const;
  const sets = readSets(socket);
  if (!allSets(options.counters).every(({ name }) => sets.has(name))) return replace;
  if (!hasAllEqualBytes(socket)) return replace;
  const found = new Map(readChains(socket).map((chain) => [chain.name, chain]));
  const fixed = skeleton(options);
  if (fixed.some((chain) => hookDiffers(chain, found.get(chain.name)))) return replace;
  const wanted = [...fixed, ...actions.chains()];
  const rules = readRules(socket);
  const mark = rules.find(({ chain }) => chain === COMMENTED_CHAIN)?.comment;
  const byChain = new Map<string, Uint8Array[]>();
  for (const { chain, expressions } of rules) {
    const list = byChain.get(chain);
    if (list === undefined) byChain.set(chain, [expressions]);
    else list.push(expressions);
  }
  const chains = wanted.filter(
    ({ name, hook, rules }) =>
      found.get(name)?.accepts === false ||
      (hook !== undefined && !found.has(name)) ||
      !sameRules(rules, byChain.get(name) ?? []),
  ).length;
  const intact = mark === rulesComment(options) && chains === 0;
  return { state: intact ? "intact" : "refill", chains };
}

/** Nothing can complete a constant set that rules use, so the table must be replaced. */
function hasAllEqualBytes(socket: Netlink): boolean {
  let pairs = 0;
  const restart = () => {
    pairs = 0;
  };
  const each = ({ bytes, key }: ReadElement) => {
    if (readU32LE(bytes, key) === readU32LE(bytes, key + 4)) pairs++;
    else pairs = Number.NEGATIVE_INFINITY;
  };
  const catchall = readElements(socket, EQUAL_BYTES, restart, each);
  return pairs === BYTE_VALUES && !catchall;
}

/**
 * A missing base chain can be added, but the hook and priority of an existing one cannot change.
 */
function hookDiffers({ hook }: Chain, found: ReadChain | undefined): boolean {
  if (found === undefined) return false;
  return (
    found.hook?.number !== hook?.number ||
    found.hook?.priority !== hook?.priority ||
    found.hook?.type !== hook?.type
  );
}

/** The contents of the maps of actions. */
export interface FoundActions {
  /** Actions that have chains of their own. An element leads from each to the correct one. */
  readonly known: readonly (readonly [Family, ActionCode])[];
  /** The maps contain all elements of these and of the fixed actions, and no foreign elements. */
  readonly complete: boolean;
}

export function readActions(socket: Netlink): FoundActions {
  const known: (readonly [Family, ActionCode])[] = [];
  let complete = true;
  for (const family of [4, 6] as const) {
    /** Number of elements found, by action. */
    const found = new Map<ActionCode, number>();
    for (const kind of DISPATCHES) {
      let here: ActionCode[] = [];
      let foreign = 0;
      const restart = () => {
        here = [];
        foreign = 0;
      };
      const each = ({ bytes, key, verdict, chain }: ReadElement) => {
        const code = readU32LE(bytes, key);
        if (isAction(code) && leads(kind, code, family, verdict, chain)) here.push(code);
        else foreign++;
      };
      if (readElements(socket, dispatchMap(kind, family), restart, each)) complete = false;
      complete &&= foreign === 0;
      for (const code of here) found.set(code, (found.get(code) ?? 0) + 1);
    }
    for (const code of new Set([...FIXED_ACTIONS, ...found.keys()])) {
      complete &&= found.get(code) === actionEntries(code, family).length;
      if (!FIXED_ACTIONS.includes(code)) known.push([family, code]);
    }
  }
  return { known, complete };
}

/** Reports whether Sluice puts this element into a map of this kind. */
function leads(
  kind: Dispatch,
  code: ActionCode,
  family: Family,
  verdict: number | undefined,
  chain: string | undefined,
): boolean {
  return actionEntries(code, family).some(
    (entry) => entry.kind === kind && entry.chain === chain && VERDICTS[entry.verdict] === verdict,
  );
}

const VERDICTS = { drop: nft.NF_DROP, goto: nft.NFT_GOTO, jump: nft.NFT_JUMP };

/** Checks that the maps of actions contain exactly the known actions. */
export function sameActions(socket: Netlink, actions: KnownActions): boolean {
  const { known, complete } = readActions(socket);
  const wanted = new Set(
    FAMILIES.flatMap((family) => actions.withChains(family).map(name(family))),
  );
  return (
    complete &&
    known.length === wanted.size &&
    known.every(([family, code]) => wanted.has(name(family)(code)))
  );
}

const FAMILIES = [4, 6] as const;
const name = (family: Family) => (code: ActionCode) => `${family} ${code}`;

/**
 * Reports whether a chain has exactly the rules that Sluice wrote. `found` holds the bytes of
 * NFTA_RULE_EXPRESSIONS of each rule. These bytes differ from those sent: the kernel reorders
 * attributes and adds those that were omitted.
 */
function sameRules(wanted: readonly NftRule[], found: readonly Uint8Array[]): boolean {
  return (
    wanted.length === found.length &&
    wanted.every(({ expressions }, index) => sameRule(expressions, found[index] as Uint8Array))
  );
}

function sameRule(wanted: readonly Expression[], found: Uint8Array): boolean {
  const list = new AttributeReader(found, 0, found.length);
  for (const expression of wanted) {
    if (!list.next() || !sameExpression(expression, list.nested())) return false;
  }
  return !list.next();
}

function sameExpression(wanted: Expression, found: AttributeReader): boolean {
  let name = "";
  let same = wanted.attributes.length === 0;
  while (found.next()) {
    if (found.type === nft.NFTA_EXPR_NAME) name = found.text();
    else if (found.type === nft.NFTA_EXPR_DATA) {
      same = sameAttributes(wanted.attributes, found.nested());
    }
  }
  return same && name === wanted.name;
}

/** An attribute that Sluice omits must be 0 in the kernel, which is the default of each. */
function sameAttributes(wanted: readonly Attribute[], found: AttributeReader): boolean {
  const missing = new Map<number, AttributeValue>(wanted);
  while (found.next()) {
    const value = missing.get(found.type);
    if (value === undefined) {
      if (found.payload().some((byte) => byte !== 0)) return false;
    } else if (!sameValue(value, found)) return false;
    missing.delete(found.type);
  }
  return missing.size === 0;
}

function sameValue(wanted: AttributeValue, found: AttributeReader): boolean {
  const length = found.end - found.start;
  if (typeof wanted === "number") return length === 4 && found.u32() === wanted;
  if (typeof wanted === "bigint") return length === 8 && found.u64() === wanted;
  if (typeof wanted === "string") return found.text() === wanted;
  if (wanted instanceof Uint8Array) return Buffer.compare(wanted, found.payload()) === 0;
  return sameAttributes(wanted, found.nested());
}
