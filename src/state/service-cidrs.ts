/** The ranges clusterIPs are allocated from, out of the cluster's ServiceCIDR objects. */

import { listAt, objectAt, textAt } from "../base/json.ts";
import { type Cidr, parseCidr } from "../net/address.ts";
import { disjoint } from "../net/cidr.ts";
import type { Problem } from "../problems/problem.ts";

/**
 * Keeps ServiceCIDR objects by name. Two objects may hold the same range (KEP-1880 migrates ranges
 * that way): it stays until the last of them is gone.
 */
export class ServiceCidrs {
  readonly #byName = new Map<string, readonly Cidr[]>();
  #merged: readonly Cidr[] = [];

  /** All ranges, sorted and disjoint; the same array until something changes. */
  get cidrs(): readonly Cidr[] {
    return this.#merged;
  }

  /** Takes one object, new or changed. Malformed ranges are left out and reported. */
  update(object: unknown): Problem[] {
    const name = textAt(objectAt(object, "metadata"), "name");
    const subject = `ServiceCIDR ${name}`;
    const problems: Problem[] = [];
    const cidrs: Cidr[] = [];
    listAt(objectAt(object, "spec"), "cidrs").forEach((text, i) => {
      const cidr = typeof text === "string" ? parseCidr(text) : undefined;
      if (cidr) {
        cidrs.push(cidr);
        return;
      }
      const field = `spec.cidrs[${i}]`;
      const message = `Cannot use ${field} of ${subject}: must be a range such as 10.96.0.0/12: current value is ${JSON.stringify(text)}`;
      problems.push({ subject, code: "OBJECT_INVALID", field, message });
    });
    this.#byName.set(name, cidrs);
    this.#merge();
    return problems;
  }

  /** Forgets one object. */
  remove(name: string): void {
    if (this.#byName.delete(name)) this.#merge();
  }

  /** Takes a complete list: objects that are not in it are gone. */
  replace(objects: readonly unknown[]): Problem[] {
    this.#byName.clear();
    const problems = objects.flatMap((object) => this.update(object));
    this.#merge();
    return problems;
  }

  #merge(): void {
    this.#merged = disjoint([...this.#byName.values()].flat());
  }
}
