/** What this node cannot do for Services, whatever they say: told for as long as somebody would look for it. */
import type { Capabilities } from "../backend/capabilities.ts";
import type { Family } from "../net/address.ts";
import type { TellProblems } from "../problems/problem.ts";
import { Reports } from "../problems/problem-set.ts";

type Limits = Pick<Capabilities, "unserved" | "unsupported">;

export class Shortcomings {
  readonly #capabilities: Limits;
  readonly #reports: Reports;

  constructor(capabilities: Limits, problems: TellProblems) {
    this.#capabilities = capabilities;
    this.#reports = new Reports(problems);
  }

  /** `wanted`: the node has addresses, pods or Services of this family, as of now. */
  update(wanted: (family: Family) => boolean): void {
    const missed = this.#capabilities.unserved.filter(({ family }) => wanted(family));
    this.#reports.set(
      missed.map(({ family, code, reason }) => ({
        subject: `IPv${family}`,
        code,
        field: "",
        message: `Cannot serve IPv${family} on this node: ${reason}; rules of IPv${family} that an earlier process left stay as they are`,
      })),
    );
  }

  /** One short text each, for the health body. */
  notices(): readonly string[] {
    const missed = this.#reports.all().map(({ message }) => message);
    return [...missed, ...this.#capabilities.unsupported];
  }
}
