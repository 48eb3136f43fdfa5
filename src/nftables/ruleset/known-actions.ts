/**
 * Tracks which actions the kernel has: the elements of `choices4` and similar maps, and their
 * chains. The transaction of the first element that needs a chain creates it, with the map of
 * clients that it uses; both then stay.
 */
import { type ActionCode, decodeAction, encodeAction } from "../../model/actions.ts";
import type { Family } from "../../net/address.ts";
import { NLM_F_CREATE } from "../../netlink/constants.ts";
import { type Chain, writeChain, writeFlush, writeRules } from "../wire/chains.ts";
import {
  type Attribute,
  hostOrderBytes,
  verdictData,
  writeAttributes,
} from "../wire/expressions.ts";
import type { Batch } from "../wire/message-batch.ts";
import * as nft from "../wire/nf-tables.ts";
import {
  chainName,
  DISPATCHES,
  type Dispatch,
  dispatchMap,
  rememberedChain,
  rememberedDispatch,
} from "../wire/object-names.ts";
import { type SetSpec, writeFlushMap, writeSet } from "../wire/sets.ts";
import { actionChains, actionMap, slotTablesOf } from "./pick-chains.ts";
import { dropOutsideChain, REJECT_CHAIN } from "./refusals.ts";
import { LEAVE_CHAIN } from "./skeleton.ts";

/** Actions that need no chain in addition to the skeleton. The kernel always has them. */
export const FIXED_ACTIONS: readonly ActionCode[] = [
  encodeAction({ verb: "accept" }),
  encodeAction({ verb: "drop" }),
  encodeAction({ verb: "reject" }),
  encodeAction({ verb: "drop-outside" }),
];

/** An element of a map of actions. Without a chain, the verdict is drop. */
export interface ActionEntry {
  readonly kind: Dispatch;
  readonly verdict: "goto" | "jump" | "drop";
  readonly chain?: string;
}

/** The elements that lead from an action's number to its chains. */
export function actionEntries(code: ActionCode, family: Family): readonly ActionEntry[] {
  const action = decodeAction(code);
  const inBoth = (entry: Omit<ActionEntry, "kind">): readonly ActionEntry[] => [
    { kind: "choices", ...entry },
    { kind: "refusals", ...entry },
  ];
  switch (action.verb) {
    case "accept":
      return [{ kind: "choices", verdict: "goto", chain: LEAVE_CHAIN }];
    case "drop":
      return inBoth({ verdict: "drop" });
    case "reject":
      return inBoth({ verdict: "goto", chain: REJECT_CHAIN });
    case "drop-outside":
      return [{ kind: "refusals", verdict: "goto", chain: dropOutsideChain(family) }];
    case "learn":
      return [
        { kind: "learning", verdict: "goto", chain: chainName(action, family) as string },
        ...slotTablesOf(action).map(
          (slotTable): ActionEntry => ({
            kind: rememberedDispatch(slotTable),
            verdict: "jump",
            chain: rememberedChain(slotTable, family, action.map),
          }),
        ),
      ];
    default:
      return [{ kind: "choices", verdict: "goto", chain: chainName(action, family) as string }];
  }
}

/** NFT_MSG_NEWSETELEM into each map of actions that has this action. */
function writeAction(batch: Batch, code: ActionCode, family: Family): void {
  for (const { kind, verdict, chain } of actionEntries(code, family)) {
    const element: Attribute[] = [
      [nft.NFTA_SET_ELEM_KEY, [[nft.NFTA_DATA_VALUE, hostOrderBytes(code)]]],
      [nft.NFTA_SET_ELEM_DATA, verdictData(verdict, chain)],
    ];
    const message = batch.open(nft.NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    writeAttributes(batch.writer, [
      [nft.NFTA_SET_ELEM_LIST_TABLE, batch.table],
      [nft.NFTA_SET_ELEM_LIST_SET, dispatchMap(kind, family)],
      [nft.NFTA_SET_ELEM_LIST_ELEMENTS, [[nft.NFTA_LIST_ELEM, element]]],
    ]);
    batch.close(message);
  }
}

/** Ids in a transaction of maps that are made on demand. The skeleton has smaller ones. */
const FIRST_MAP_ID = 1000;

/** NFT_MSG_NEWSET of maps that are made on demand. An existing map stays as it is. */
export function writeMaps(batch: Batch, maps: readonly SetSpec[]): void {
  for (const [index, map] of maps.entries()) writeSet(batch, map, FIRST_MAP_ID + index);
}

/** Empties the maps of actions. */
export function writeFlushActions(batch: Batch): void {
  for (const family of [4, 6] as const) {
    for (const kind of DISPATCHES) writeFlushMap(batch, dispatchMap(kind, family));
  }
}

/** The actions in the kernel, and those that the current transaction adds. */
export class KnownActions {
  /** The mark bit for masquerading in chains that are written from now on. */
  masqueradeBit: number;
  #codes: { readonly [family in Family]: Set<ActionCode> } = { 4: new Set(), 6: new Set() };
  /** Names of chains and maps that were made on demand. */
  #objects = new Set<string>();
  #newCodes: [Family, ActionCode][] = [];
  #newObjects: string[] = [];

  constructor(masqueradeBit: number) {
    this.masqueradeBit = masqueradeBit;
  }

  /** Starts over with the actions that were found in the kernel, or with none. */
  reset(found: readonly (readonly [Family, ActionCode])[] = []): void {
    this.#codes = { 4: new Set(FIXED_ACTIONS), 6: new Set(FIXED_ACTIONS) };
    this.#objects.clear();
    this.abort();
    for (const [family, code] of found) {
      this.#codes[family].add(code);
      for (const { name } of actionChains(code, family, this.masqueradeBit)) {
        this.#objects.add(name);
      }
      const map = actionMap(code, family);
      if (map !== undefined) this.#objects.add(map.name);
    }
  }

  /** Writes the elements, the chains and the map that the kernel lacks for this action. */
  ensure(batch: Batch, family: Family, code: ActionCode): void {
    if (this.#codes[family].has(code)) return;
    const map = actionMap(code, family);
    if (map !== undefined && this.#add(map.name)) {
      writeSet(batch, map, FIRST_MAP_ID + this.#newObjects.length);
    }
    for (const chain of actionChains(code, family, this.masqueradeBit)) {
      if (!this.#add(chain.name)) continue;
      writeChain(batch, chain);
      // Another program may have made a chain with this name.
      writeFlush(batch, chain.name);
      writeRules(batch, chain);
    }
    writeAction(batch, code, family);
    this.#codes[family].add(code);
    this.#newCodes.push([family, code]);
  }

  /** Returns false if the object exists already. */
  #add(name: string): boolean {
    if (this.#objects.has(name)) return false;
    this.#objects.add(name);
    this.#newObjects.push(name);
    return true;
  }

  /** The kernel accepted the transaction. */
  commit(): void {
    this.#newCodes = [];
    this.#newObjects = [];
  }

  /** The kernel refused the transaction, so its new actions do not exist. */
  abort(): void {
    for (const [family, code] of this.#newCodes) this.#codes[family].delete(code);
    for (const name of this.#newObjects) this.#objects.delete(name);
    this.commit();
  }

  /** The actions that have chains of their own. */
  withChains(family: Family): readonly ActionCode[] {
    return [...this.#codes[family]].filter((code) => !FIXED_ACTIONS.includes(code));
  }

  /** The chains of all known actions, without duplicates. */
  chains(): readonly Chain[] {
    const chains = new Map<string, Chain>();
    for (const family of [4, 6] as const) {
      for (const code of this.#codes[family]) {
        for (const chain of actionChains(code, family, this.masqueradeBit)) {
          chains.set(chain.name, chain);
        }
      }
    }
    return [...chains.values()];
  }

  /** The maps of clients of all known actions, without duplicates. */
  maps(): readonly SetSpec[] {
    const maps = new Map<string, SetSpec>();
    for (const family of [4, 6] as const) {
      for (const code of this.#codes[family]) {
        const map = actionMap(code, family);
        if (map !== undefined) maps.set(map.name, map);
      }
    }
    return [...maps.values()];
  }

  /** Writes all known actions into empty maps. */
  writeAll(batch: Batch): void {
    for (const family of [4, 6] as const) {
      for (const code of this.#codes[family]) writeAction(batch, code, family);
    }
  }
}
