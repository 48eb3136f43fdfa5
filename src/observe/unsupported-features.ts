/**
 * Reports what this node cannot do for any Service. An unserved family is a problem if the node has
 * addresses, pods or Services of it.
 */
import type { Capabilities } from "../backend/capabilities.ts";
import type { Config } from "../config/config.ts";
import type { Core } from "../core/core.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import { tableId } from "../model/tables.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { hasFamily } from "../state/families.ts";

export interface UnsupportedFeaturesOptions {
  readonly capabilities: Pick<Capabilities, "unserved" | "unsupported">;
  readonly core: Pick<Core, "elementCount">;
  readonly problems: ReportProblems;
}

export class UnsupportedFeatures {
  readonly #options: UnsupportedFeaturesOptions;
  readonly #problems: ProblemSet;

  constructor(options: UnsupportedFeaturesOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /** Call it when the configuration, the Node or the committed elements have changed. */
  update(config: Pick<Config, "clusterCIDRs">, node: NodeFacts): void {
    const { capabilities, core } = this.#options;
    const unserved = capabilities.unserved.filter(
      ({ family }) =>
        hasFamily(config, node, family) || core.elementCount(tableId("cluster-ips", family)) > 0,
    );
    this.#problems.set(
      unserved.map(({ family, code, reason }) => ({
        subject: `IPv${family}`,
        code,
        field: "",
        message: `IPv${family} is not served: ${reason} (existing IPv${family} rules stay unchanged)`,
      })),
    );
  }

  /** Returns one short text per unsupported feature, for the health response. */
  notices(): readonly string[] {
    const unserved = this.#problems.all().map(({ message }) => message);
    return [...unserved, ...this.#options.capabilities.unsupported];
  }
}
