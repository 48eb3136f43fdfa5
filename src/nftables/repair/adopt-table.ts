/** Takes over a table that an earlier run left behind. */

import type { SkeletonOptions } from "../../backend/backend.ts";
import type { Core } from "../../core/core.ts";
import type { ActionCode } from "../../model/actions.ts";
import {
  keySize,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
  valueSize,
} from "../../model/tables.ts";
import type { Family } from "../../net/address.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { sameRules } from "../read/compare-rules.ts";
import { ExpectedSlots, isSlots } from "../read/expected-slots.ts";
import {
  hasCatchall,
  MANY_ELEMENTS,
  type ReadElement,
  readElements,
} from "../read/read-elements.ts";
import { type ReadChain, readChains, readRules, readSets } from "../read/read-objects.ts";
import { readTableElements, readTableElementsAt, type TableElements } from "../read/read-table.ts";
import { COMMENTED_CHAIN, rulesComment } from "../ruleset/install.ts";
import {
  dispatchOf,
  FIXED,
  isAction,
  type KnownActions,
  targetChain,
} from "../ruleset/known-actions.ts";
import { skeleton, unwantedChain } from "../ruleset/skeleton.ts";
import type { Chain } from "../wire/chains.ts";
import * as nft from "../wire/nf-tables.ts";
import { DISPATCHES, type Dispatch, dispatchMap } from "../wire/object-names.ts";
import { allSets, SET_IDS } from "../wire/sets.ts";

/**
 * `intact`: nothing to do. `refill`: the rules differ, or some are missing; the elements can stay.
 * `replace`: what cannot be changed in place differs.
 */
export type Condition = "intact" | "refill" | "replace";

/** What the maps of actions hold. */
export interface FoundActions {
  /** Actions with chains of their own that lead where they should. */
  readonly known: readonly (readonly [Family, ActionCode])[];
  /** There is nothing else, and what every table of ours has is there. */
  readonly whole: boolean;
}

export function readActions(socket: Netlink): FoundActions {
  const known: (readonly [Family, ActionCode])[] = [];
  let whole = true;
  for (const family of [4, 6] as const) {
    for (const kind of DISPATCHES) {
      let found: ActionCode[] = [];
      let strays = 0;
      const restart = () => {
        found = [];
        strays = 0;
      };
      const each = (element: ReadElement) => {
        const { bytes, key, verdict, chain } = element;
        const code = new DataView(bytes.buffer).getUint32(bytes.byteOffset + key, true);
        if (belongs(kind, code) && leads(code, family, verdict, chain)) found.push(code);
        else strays++;
      };
      if (readElements(socket, dispatchMap(kind, family), restart, each)) whole = false;
      const fixed = FIXED.flatMap(([where, code]) => (where === kind ? [code] : []));
      whole &&= strays === 0 && fixed.every((code) => found.includes(code));
      for (const code of found) if (!fixed.includes(code)) known.push([family, code]);
    }
  }
  return { known, whole };
}

function belongs(kind: Dispatch, code: number): code is ActionCode {
  if (!isAction(code)) return false;
  return (
    FIXED.some(([where, fixed]) => where === kind && fixed === code) ||
    (dispatchOf(code) === kind && !FIXED.some(([, fixed]) => fixed === code))
  );
}

function leads(
  code: ActionCode,
  family: Family,
  verdict: number | undefined,
  chain: string | undefined,
): boolean {
  const target = targetChain(code, family);
  return chain === target && verdict === (target === undefined ? nft.NF_DROP : nft.NFT_GOTO);
}

/** Looks at sets, chains and rules, but not at elements. `chains`: how many do not say what they should. */
export function condition(
  socket: Netlink,
  options: SkeletonOptions,
  actions: KnownActions,
): { readonly state: Condition; readonly chains: number } {
  const replace = { state: "replace", chains: 0 } as const;
  const sets = readSets(socket);
  if (!allSets(options.counters).every(({ name }) => sets.has(name))) return replace;
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
  const unwanted = unwantedChain(options);
  const wrong = wanted.filter(
    ({ name, hook, rules }) =>
      found.get(name)?.accepts === false ||
      (hook !== undefined && !found.has(name)) ||
      !sameRules(rules, byChain.get(name) ?? []),
  );
  const chains = wrong.length + Number(unwanted !== undefined && found.has(unwanted));
  const intact = mark === rulesComment(options) && chains === 0;
  return { state: intact ? "intact" : "refill", chains };
}

/** Do the maps of actions hold those that we know, and nothing else? */
export function knowsActions(socket: Netlink, actions: KnownActions): boolean {
  const { known, whole } = readActions(socket);
  const wanted = new Set(FAMILIES.flatMap((family) => actions.own(family).map(name(family))));
  return (
    whole &&
    known.length === wanted.size &&
    known.every(([family, code]) => wanted.has(name(family)(code)))
  );
}

const FAMILIES = [4, 6] as const;
const name = (family: Family) => (code: ActionCode) => `${family} ${code}`;

/** A missing chain can be added; one that hangs elsewhere cannot be moved. */
function hookDiffers({ hook }: Chain, found: ReadChain | undefined): boolean {
  if (found === undefined) return false;
  return (
    found.hook?.number !== hook?.number ||
    found.hook?.priority !== hook?.priority ||
    found.hook?.type !== hook?.type
  );
}

/**
 * Hands all elements to the core; returns how many, and the tables that have one without a key. `action` sees
 * every action that they use. Large tables of slots are read by key where that finds them all; a kernel that does
 * not say how many there are (before 6.17) is trusted not to have more than the frontends choose from.
 */
export function adoptElements(
  socket: Netlink,
  core: Core,
  action: (family: Family, code: ActionCode) => void,
): { readonly elements: number; readonly catchalls: readonly TableId[] } {
  const sets = readSets(socket);
  const expected = new ExpectedSlots();
  let total = 0;
  const catchalls: TableId[] = [];
  const adopt = (id: TableId, { keysAndValues, count, catchall }: TableElements) => {
    if (catchall) catchalls.push(id);
    if (count > 0) core.adopt(id, keysAndValues, count);
    total += count;
  };
  for (const id of SET_IDS.filter((one) => tableKind(one).value === "action")) {
    const elements = readTableElements(socket, id);
    eachValue(id, elements, action);
    expected.add(id, elements);
    adopt(id, elements);
  }
  for (const id of SET_IDS.filter((one) => tableKind(one).value !== "action")) {
    const slots = isSlots(id) ? expected.count(id) : 0;
    const present = sets.get(tableLabel(id))?.count;
    const byKey =
      slots >= MANY_ELEMENTS && (present ?? slots) === slots
        ? readTableElementsAt(socket, id, expected.keys(id))
        : undefined;
    adopt(
      id,
      byKey === undefined
        ? readTableElements(socket, id)
        : { ...byKey, catchall: hasCatchall(socket, tableLabel(id)) },
    );
  }
  return { elements: total, catchalls };
}

function eachValue(
  id: TableId,
  { keysAndValues, count }: TableElements,
  action: (family: Family, code: ActionCode) => void,
): void {
  const view = new DataView(keysAndValues.buffer, keysAndValues.byteOffset);
  const stride = keySize(id) + valueSize(id);
  for (let i = 0; i < count; i++) {
    const code = view.getUint32(i * stride + keySize(id), true);
    if (isAction(code)) action(tableFamily(id), code);
  }
}
