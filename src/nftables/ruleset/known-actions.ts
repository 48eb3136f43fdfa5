/**
 * Tracks which actions the kernel has: the elements of `choices4` and similar maps, and their
 * chains. The transaction of the first element that needs a chain creates it; the chain then stays.
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
import { chainName, DISPATCHES, type Dispatch, dispatchMap, TABLE } from "../wire/object-names.ts";
import { actionChains } from "./pick-chains.ts";
import { REJECT_CHAIN, unservedChain } from "./skeleton.ts";

const ACCEPT_ACTION = encodeAction({ verb: "accept" });
const DROP_ACTION = encodeAction({ verb: "drop" });
const REJECT_ACTION = encodeAction({ verb: "reject" });

/**
 * Actions that need no chain in addition to the skeleton, and the maps that always contain them.
 */
export const FIXED_ACTIONS: readonly (readonly [Dispatch, ActionCode])[] = [
  ["choices", ACCEPT_ACTION],
  ["choices", DROP_ACTION],
  ["choices", REJECT_ACTION],
  ["refusals", DROP_ACTION],
  ["refusals", REJECT_ACTION],
];

/** The chain that an action goes to; undefined for `drop`, which needs none. */
export function targetChain(code: ActionCode, family: Family): string | undefined {
  const action = decodeAction(code);
  if (action.verb === "accept") return unservedChain(family);
  if (action.verb === "reject") return REJECT_CHAIN;
  return chainName(action, family);
}

/** Reports whether a number that was read from the kernel is a valid action. */
export function isAction(code: number): code is ActionCode {
  try {
    const action = decodeAction(code as ActionCode);
    if (action.verb === "learn") return action.seconds > 0;
    return action.verb !== "pick" && action.verb !== "sticky" ? true : action.count > 0;
  } catch {
    return false;
  }
}

/** The map of an action that has a chain of its own. */
export function dispatchOf(code: ActionCode): Dispatch {
  return decodeAction(code).verb === "learn" ? "learning" : "choices";
}

/** NFT_MSG_NEWSETELEM into a map of actions. */
function writeAction(batch: Batch, kind: Dispatch, code: ActionCode, family: Family): void {
  const chain = targetChain(code, family);
  const element: Attribute[] = [
    [nft.NFTA_SET_ELEM_KEY, [[nft.NFTA_DATA_VALUE, hostOrderBytes(code)]]],
    [
      nft.NFTA_SET_ELEM_DATA,
      chain === undefined ? verdictData("drop") : verdictData("goto", chain),
    ],
  ];
  const message = batch.open(nft.NFT_MSG_NEWSETELEM, NLM_F_CREATE);
  writeAttributes(batch.writer, [
    [nft.NFTA_SET_ELEM_LIST_TABLE, TABLE],
    [nft.NFTA_SET_ELEM_LIST_SET, dispatchMap(kind, family)],
    [nft.NFTA_SET_ELEM_LIST_ELEMENTS, [[nft.NFTA_LIST_ELEM, element]]],
  ]);
  batch.close(message);
}

/** NFT_MSG_DELSETELEM of all elements of the maps of actions. */
export function writeFlushActions(batch: Batch): void {
  for (const family of [4, 6] as const) {
    for (const kind of DISPATCHES) {
      const message = batch.open(nft.NFT_MSG_DELSETELEM, 0);
      writeAttributes(batch.writer, [
        [nft.NFTA_SET_ELEM_LIST_TABLE, TABLE],
        [nft.NFTA_SET_ELEM_LIST_SET, dispatchMap(kind, family)],
      ]);
      batch.close(message);
    }
  }
}

const BUILT_IN: readonly ActionCode[] = [ACCEPT_ACTION, DROP_ACTION, REJECT_ACTION];

/** The actions in the kernel, and those that the current transaction adds. */
export class KnownActions {
  /** The mark bit for masquerading in chains that are written from now on. */
  masqueradeBit: number;
  #codes: { readonly [family in Family]: Set<ActionCode> } = { 4: new Set(), 6: new Set() };
  #chains = new Set<string>();
  #newCodes: [Family, ActionCode][] = [];
  #newChains: string[] = [];

  constructor(masqueradeBit: number) {
    this.masqueradeBit = masqueradeBit;
  }

  /** Starts over with the actions that were found in the kernel, or with none. */
  reset(found: readonly (readonly [Family, ActionCode])[] = []): void {
    this.#codes = { 4: new Set(BUILT_IN), 6: new Set(BUILT_IN) };
    this.#chains.clear();
    this.abort();
    for (const [family, code] of found) {
      this.#codes[family].add(code);
      for (const { name } of actionChains(code, family, this.masqueradeBit)) {
        this.#chains.add(name);
      }
    }
  }

  /** Writes the map element and the chains that the kernel lacks for this action. */
  ensure(batch: Batch, family: Family, code: ActionCode): void {
    if (this.#codes[family].has(code)) return;
    for (const chain of actionChains(code, family, this.masqueradeBit)) {
      if (this.#chains.has(chain.name)) continue;
      writeChain(batch, chain);
      // Another program may have made a chain with this name.
      writeFlush(batch, chain.name);
      writeRules(batch, chain);
      this.#chains.add(chain.name);
      this.#newChains.push(chain.name);
    }
    writeAction(batch, dispatchOf(code), code, family);
    this.#codes[family].add(code);
    this.#newCodes.push([family, code]);
  }

  /** The kernel accepted the transaction. */
  commit(): void {
    this.#newCodes = [];
    this.#newChains = [];
  }

  /** The kernel refused the transaction, so its new actions do not exist. */
  abort(): void {
    for (const [family, code] of this.#newCodes) this.#codes[family].delete(code);
    for (const chain of this.#newChains) this.#chains.delete(chain);
    this.commit();
  }

  /** The actions that have chains of their own. */
  withChains(family: Family): readonly ActionCode[] {
    return [...this.#codes[family]].filter((code) => !BUILT_IN.includes(code));
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

  /** Writes all known actions into empty maps. */
  writeAll(batch: Batch): void {
    for (const family of [4, 6] as const) {
      for (const [kind, code] of FIXED_ACTIONS) writeAction(batch, kind, code, family);
      for (const code of this.withChains(family))
        writeAction(batch, dispatchOf(code), code, family);
    }
  }
}
