/**
 * Checks whether the kernel supports everything that the skeleton needs. Tries the skeleton in a
 * dormant scratch table that sees no packets. If the kernel refuses it, tries each feature alone to
 * name the missing ones.
 */

import type { SkeletonOptions } from "../backend/skeleton-options.ts";
import { SluiceError } from "../base/errors.ts";
import { encodeAction } from "../model/actions.ts";
import { printRefusal, type Refusal } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { EACCES, EPERM } from "../os/posix.ts";
import { systemError } from "../os/system-error.ts";
import { writeDeleteTable, writeTable } from "./ruleset/install.ts";
import { actionChains, actionMap, sampleActions } from "./ruleset/pick-chains.ts";
import { skeleton } from "./ruleset/skeleton.ts";
import { type Chain, rule, writeChain, writeRules } from "./wire/chains.ts";
import {
  dnat,
  type Expression,
  hostOrderBytes,
  immediate,
  lookupValue,
  masqueradeExpression,
  metaSet,
  randomNumber,
  rejectExpression,
} from "./wire/expressions.ts";
import {
  matchFrontendKey,
  matchInvalid,
  matchLocal,
  matchOriginalDestination,
  matchOriginalPortKey,
  matchTranslated,
} from "./wire/match.ts";
import type { Batch } from "./wire/message-batch.ts";
import * as nft from "./wire/nf-tables.ts";
import { affinityMap } from "./wire/object-names.ts";
import { affinitySet, allSets, type SetSpec, writeSet } from "./wire/sets.ts";

const SCRATCH = "sluice-probe";
const LEARN_ACTION = encodeAction({ verb: "learn", nodePort: false, map: 0, seconds: 1 });
const CLIENTS = affinityMap(4, 0);

interface Feature {
  readonly name: string;
  readonly needs: readonly string[];
  readonly chains: readonly Chain[];
}

function inHook(number: number, priority: number, ...expressions: Expression[]): Chain {
  const hook = { type: "nat", number, priority } as const;
  return { name: "probe", hook, rules: [{ text: "", expressions }] };
}
const prerouting = (...expressions: Expression[]) =>
  inHook(nft.NF_INET_PRE_ROUTING, -100, ...expressions);
const chainOf = (...expressions: Expression[]): Chain => ({
  name: "probe",
  rules: [rule("", expressions)],
});

/** Features in order of dependency. Versions are the first Linux release with the feature. */
const FEATURES: readonly Feature[] = [
  { name: "tables of family inet", needs: [], chains: [] },
  { name: "nat chains in family inet (Linux 5.2)", needs: [], chains: [prerouting()] },
  { name: "maps with concatenated keys", needs: ["frontends4", "frontends6"], chains: [] },
  { name: "verdict maps", needs: ["choices4"], chains: [] },
  { name: "sets of intervals", needs: ["service-cidrs4"], chains: [] },
  {
    name: "concatenated intervals (Linux 5.6)",
    needs: ["allowed-sources4", "allowed-sources6"],
    chains: [],
  },
  { name: "dynamic maps with timeouts", needs: [CLIENTS], chains: [] },
  {
    name: "numgen",
    needs: [],
    chains: [chainOf(randomNumber(2, 0), metaSet(nft.NFT_META_MARK, 0))],
  },
  { name: "fib in family inet", needs: [], chains: [prerouting(...matchLocal("eq", "saddr"))] },
  { name: "conntrack status", needs: [], chains: [prerouting(...matchTranslated())] },
  { name: "conntrack state", needs: [], chains: [prerouting(...matchInvalid())] },
  {
    name: "original destination of conntrack entries",
    needs: [],
    chains: [prerouting(matchOriginalDestination(4, 0), ...matchOriginalPortKey(1))],
  },
  {
    name: "dnat in family inet (Linux 5.2)",
    needs: ["endpoints4"],
    chains: [
      prerouting(
        ...[...matchFrontendKey(4, 0), immediate(3, hostOrderBytes(0))],
        ...[lookupValue("endpoints4", 0, 0), dnat(nft.NFPROTO_IPV4, 0, 1)],
      ),
    ],
  },
  {
    name: "masquerade in family inet (Linux 5.2)",
    needs: [],
    chains: [inHook(nft.NF_INET_POST_ROUTING, 100, masqueradeExpression())],
  },
  {
    name: "map updates from packets",
    needs: [CLIENTS, "endpoint-numbers4", "not-remembered4"],
    chains: actionChains(LEARN_ACTION, 4, 0).slice(-1),
  },
  { name: "reject in prerouting (Linux 5.9)", needs: [], chains: [prerouting(rejectExpression())] },
];

/**
 * Fails if the kernel lacks a feature.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED
 */
export function probeFeatures(socket: Netlink, batch: Batch, options: SkeletonOptions): void {
  const chains = new Map<string, Chain>();
  const maps = new Map<string, SetSpec>();
  for (const chain of skeleton(options)) chains.set(chain.name, chain);
  for (const code of sampleActions()) {
    for (const family of [4, 6] as const) {
      for (const chain of actionChains(code, family, options.masqueradeBit)) {
        chains.set(chain.name, chain);
      }
      const map = actionMap(code, family);
      if (map !== undefined) maps.set(map.name, map);
    }
  }
  const sets = [...allSets(options.counters), ...maps.values()];
  const whole = attempt(socket, batch, sets, [...chains.values()]);
  if (whole === undefined) return;
  if (whole.errno === EPERM || whole.errno === EACCES) {
    throw systemError("probe nftables", whole.errno);
  }
  const missing = missingFeatures(socket, batch, options.counters);
  const named =
    missing.length > 0 ? missing.join("; ") : `the complete ruleset: ${printRefusal(whole)}`;
  throw new SluiceError("KERNEL_UNSUPPORTED", `probe nftables: the kernel rejects ${named}`);
}

function missingFeatures(socket: Netlink, batch: Batch, counters: boolean): string[] {
  const sets = new Map([...allSets(false), affinitySet(4, 0)].map((set) => [set.name, set]));
  const missing: string[] = [];
  const test = (name: string, needs: readonly SetSpec[], chains: readonly Chain[]) => {
    const refusal = attempt(socket, batch, needs, chains);
    if (refusal) missing.push(`${name}: ${printRefusal(refusal)}`);
  };
  for (const { name, needs, chains } of FEATURES) {
    test(
      name,
      needs.map((need) => sets.get(need) as SetSpec),
      chains,
    );
  }
  const counted = allSets(true).filter(({ counter }) => counter);
  if (counters) test("counters on elements (needed unless sluice.counters is false)", counted, []);
  return missing;
}

/**
 * Creates a scratch table with these sets and chains and deletes it. Returns the refusal, if any.
 */
function attempt(
  socket: Netlink,
  batch: Batch,
  sets: readonly SetSpec[],
  chains: readonly Chain[],
): Refusal | undefined {
  batch.begin();
  // A killed probe may have left its table. Adding the table first makes the delete succeed in any
  // case.
  writeTable(batch, "sluice: probe", SCRATCH, nft.NFT_TABLE_F_DORMANT);
  writeDeleteTable(batch, SCRATCH);
  writeTable(batch, "sluice: probe", SCRATCH, nft.NFT_TABLE_F_DORMANT);
  for (const [index, set] of sets.entries()) writeSet(batch, set, index + 1, SCRATCH);
  for (const chain of chains) writeChain(batch, chain, SCRATCH);
  for (const chain of chains) writeRules(batch, chain, SCRATCH);
  const refusal = batch.send(socket).refusals[0];
  if (refusal) return refusal;
  batch.begin();
  writeDeleteTable(batch, SCRATCH);
  batch.send(socket);
  return undefined;
}
