/**
 * Programs one batch of dirty owners: select, plan, diff, apply, commit. It splits the batch into
 * transactions of bounded size. If the kernel refuses an owner, the rest still goes through.
 */

import type { ApplyResult, Backend } from "../backend/backend.ts";
import type { SluiceError } from "../base/errors.ts";
import { BATCH_ELEMENTS, BISECT_ATTEMPTS_MAX } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { EndpointSelection } from "../model/choice.ts";
import { countAdded, type OperationList } from "../model/operation-list.ts";
import { isServiceOwner, OWNER_NODE, type OwnerId } from "../model/owner.ts";
import type { Service, ServiceId } from "../model/service.ts";
import { PROTOCOLS } from "../net/protocol.ts";
import { DesiredWriter } from "../plan/desired.ts";
import { type PlanContext, planNode, planService } from "../plan/plan.ts";
import { type ExpandedService, expandService } from "../state/frontends.ts";

/** An owner of the batch with its selected endpoints. `service` is undefined if it was deleted. */
interface SelectedOwner {
  readonly owner: OwnerId;
  readonly service: Service | undefined;
  /** The same Service with its frontends, if they were expanded before. */
  readonly expanded: ExpandedService | undefined;
  readonly choices: readonly EndpointSelection[];
  /** True if an endpoint serves that is neither Ready nor chosen. */
  readonly servesUnselected: boolean;
}

/** The result of programming a batch. */
export interface BatchOutcome {
  operations: number;
  /** The number of operations that added an element. */
  added: number;
  bytes: number;
  kernelMs: number;
  transactions: number;
  /** Owners that are now completely in the kernel. */
  readonly programmed: OwnerId[];
  readonly refused: { readonly owner: OwnerId; readonly error: SluiceError }[];
  /**
   * Set if the kernel could not accept anything for now. Owners neither programmed nor refused
   * wait.
   */
  transient: SluiceError | undefined;
  /**
   * The kernel does not hold what was committed. It must be read again before a write can succeed.
   */
  drifted: boolean;
}

export function emptyOutcome(): BatchOutcome {
  return {
    operations: 0,
    added: 0,
    bytes: 0,
    kernelMs: 0,
    transactions: 0,
    programmed: [],
    refused: [],
    transient: undefined,
    drifted: false,
  };
}

export interface ProgrammerOptions {
  readonly core: Core;
  readonly backend: Backend;
  /** Called for each selected Service before it is planned. */
  readonly selected: Selected;
}

/** Receives a Service that was selected; `service` is undefined if it was deleted. */
export type Selected = (
  id: ServiceId,
  service: Service | undefined,
  choices: readonly EndpointSelection[],
  localReady: number,
) => void;

export class BatchProgrammer {
  readonly #options: ProgrammerOptions;
  readonly #writer: DesiredWriter;
  /**
   * True while the core received nothing since the last selection, so that its endpoint spans are
   * still valid.
   */
  #fresh = false;
  /** Transactions left for finding the owner that the kernel refuses. */
  #attemptsLeft = 0;
  /** Owners with endpoints that serve without being Ready or chosen. */
  readonly #servingUnselected = new Set<OwnerId>();

  constructor(options: ProgrammerOptions) {
    this.#options = options;
    this.#writer = new DesiredWriter((bytes) => options.core.reserveDesired(bytes));
  }

  /**
   * Programs these owners in as many transactions as their size requires. A refusal does not throw.
   * `expanded` holds Services already decoded, as the core has them at the time of the call;
   * undefined stands for a deleted Service.
   */
  async program(
    owners: readonly OwnerId[],
    context: PlanContext,
    expanded = NOTHING_EXPANDED,
  ): Promise<BatchOutcome> {
    const outcome = emptyOutcome();
    const entries = this.#select(owners, expanded);
    this.#fresh = true;
    this.#attemptsLeft = BISECT_ATTEMPTS_MAX;
    for (const group of this.#groups(entries)) {
      await this.#programGroup(group, context, outcome);
      if (outcome.transient !== undefined) break;
    }
    return outcome;
  }

  #select(owners: readonly OwnerId[], known = NOTHING_EXPANDED): SelectedOwner[] {
    const { core, selected } = this.#options;
    const entries: SelectedOwner[] = [];
    const ids: ServiceId[] = [];
    for (const owner of owners) {
      if (isServiceOwner(owner)) ids.push(owner);
      else entries.push({ ...NO_SERVICE, owner });
    }
    core.select(ids, (id, choices, localReady, servesUnselected) => {
      const expanded = known.get(id);
      const service = known.has(id) ? expanded?.service : core.readService(id);
      selected(id, service, choices, localReady);
      entries.push({ owner: id, service, expanded, choices, servesUnselected });
    });
    return entries;
  }

  /**
   * Splits entries into groups that fit one transaction. Only a single giant Service may exceed it.
   */
  *#groups(entries: readonly SelectedOwner[]): Generator<readonly SelectedOwner[]> {
    const { maxOperations, singleTransaction } = this.#options.backend.capabilities;
    const most = singleTransaction ? Infinity : Math.min(BATCH_ELEMENTS, maxOperations);
    let group: SelectedOwner[] = [];
    let elements = 0;
    for (const entry of entries) {
      const present = this.#options.core.ownedElements(entry.owner, most);
      const estimate = Math.max(present, estimateElements(entry));
      if (group.length > 0 && elements + estimate > most) {
        yield group;
        group = [];
        elements = 0;
      }
      group.push(entry);
      elements += estimate;
    }
    if (group.length > 0) yield group;
  }

  async #programGroup(
    group: readonly SelectedOwner[],
    context: PlanContext,
    outcome: BatchOutcome,
  ): Promise<void> {
    if (group.length === 0) return;
    const receipt = await this.#attempt(group, context, outcome);
    if (receipt.ok) {
      for (const { owner } of group) outcome.programmed.push(owner);
      return;
    }
    if (receipt.transient || receipt.drifted) {
      outcome.transient = receipt.error;
      outcome.drifted = receipt.drifted ?? false;
      return;
    }
    const culprit = group.length === 1 ? group[0]?.owner : receipt.owner;
    if (culprit !== undefined && group.some(({ owner }) => owner === culprit)) {
      outcome.refused.push({ owner: culprit, error: receipt.error });
      await this.#programGroup(
        group.filter(({ owner }) => owner !== culprit),
        context,
        outcome,
      );
      return;
    }
    // The kernel named no owner: halve the group until it does or one owner is left.
    this.#attemptsLeft -= 2;
    if (this.#attemptsLeft < 0) {
      outcome.transient = receipt.error;
      return;
    }
    const middle = group.length >> 1;
    await this.#programGroup(group.slice(0, middle), context, outcome);
    if (outcome.transient === undefined) {
      await this.#programGroup(group.slice(middle), context, outcome);
    }
  }

  /**
   * Programs one group. The core receives events while a backend works, so a later group must be
   * selected again. A computed diff stays valid until its commit, and owner ids stay reserved until
   * the next `takeDirty`.
   */
  async #attempt(
    chosen: readonly SelectedOwner[],
    context: PlanContext,
    outcome: BatchOutcome,
  ): Promise<ApplyResult> {
    const { core } = this.#options;
    const group = this.#fresh ? chosen : this.#select(chosen.map(({ owner }) => owner));
    this.#fresh = false;
    const writer = this.#writer;
    writer.reset();
    for (const { owner, service, expanded, choices } of group) {
      if (owner === OWNER_NODE) planNode(context, writer);
      else if (service !== undefined) {
        planService(expanded ?? expandService(service), choices, context, writer);
      }
    }
    const operations = core.diff(
      writer.bytes,
      group.map(({ owner }) => owner),
    );
    if (operations.count === 0) {
      core.commit();
      this.#recordFlows(group);
      return { ok: true, bytes: 0, kernelMs: 0 };
    }
    const count = operations.count;
    const added = countAdded(operations.region);
    const answer = this.#apply(operations, group);
    // Without a promise, nothing can run between the kernel's answer and the commit.
    const receipt = answer instanceof Promise ? await answer : answer;
    if (receipt.ok) {
      core.commit();
      core.flows.recordCommit();
      this.#recordFlows(group);
      outcome.operations += count;
      outcome.added += added;
      outcome.bytes += receipt.bytes;
      outcome.kernelMs += receipt.kernelMs;
      // A backend may send nothing if the operations make no difference to it.
      if (receipt.bytes > 0) outcome.transactions += 1;
    }
    return receipt;
  }

  #apply(
    operations: OperationList,
    group: readonly SelectedOwner[],
  ): ApplyResult | Promise<ApplyResult> {
    const { core, backend } = this.#options;
    let services: Map<OwnerId, Service | undefined> | undefined;
    const answer = backend.apply(operations, {
      nameOf: (owner) => (isServiceOwner(owner) ? core.serviceKey(owner) : ""),
      serviceOf(owner) {
        services ??= servicesOf(group);
        if (services.has(owner)) return services.get(owner);
        return isServiceOwner(owner) ? core.readService(owner) : undefined;
      },
    });
    // Free the Services: repairing a large load takes long and needs only their names.
    services = undefined;
    return answer;
  }

  /**
   * Records owners with connections that may need an update. A connection keeps an endpoint that
   * serves without being chosen, and no operation shows when that endpoint stops serving. So every
   * change of such a Service counts, and every change of a Service with UDP. kube-proxy's conntrack
   * reconciler runs only after changes of EndpointSlices.
   */
  #recordFlows(group: readonly SelectedOwner[]): void {
    for (const { owner, service, servesUnselected } of group) {
      const udp = service?.ports.some(({ protocol }) => protocol === PROTOCOLS.UDP) ?? false;
      const tcp = this.#servingUnselected.has(owner);
      if (udp || tcp) this.#options.core.flows.recordOwner(owner, { udp, tcp });
      if (servesUnselected) this.#servingUnselected.add(owner);
      else this.#servingUnselected.delete(owner);
    }
  }
}

const NO_SERVICE = {
  service: undefined,
  expanded: undefined,
  choices: [],
  servesUnselected: false,
};
const NOTHING_EXPANDED: ReadonlyMap<ServiceId, ExpandedService | undefined> = new Map();

function servicesOf(group: readonly SelectedOwner[]): Map<OwnerId, Service | undefined> {
  const services = new Map<OwnerId, Service | undefined>();
  for (const { owner, service } of group) services.set(owner, service);
  return services;
}

function estimateElements({ service, choices }: SelectedOwner): number {
  if (service === undefined) return 1;
  // One frontend each for the clusterIP and the node port, and one for each external address.
  const frontends = 2 + service.externalIPs.length + service.vips.length;
  let endpoints = 1;
  for (const { cluster, local } of choices) endpoints += cluster.count + local.count;
  return frontends * endpoints;
}
