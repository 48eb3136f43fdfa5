/** Keeps the ranges from which clusterIPs are allocated, read from the ServiceCIDR objects. */

import { listAt, objectAt, stringAt } from "../base/json.ts";
import { type Cidr, parseCidr } from "../net/address.ts";
import { removeNested } from "../net/cidr.ts";
import type { Problem } from "../problems/problem.ts";

/**
 * Keeps ServiceCIDR objects by name. Two objects may hold the same range (KEP-1880 migrates ranges
 * this way); the range stays until the last of them is deleted.
 */
export class ServiceCidrs {
  readonly #byName = new Map<string, readonly Cidr[]>();
  #merged: readonly Cidr[] = [];

  /** All ranges, sorted and disjoint. It is the same array until a range changes. */
  get cidrs(): readonly Cidr[] {
    return this.#merged;
  }

  /** Adds or replaces one object. Malformed ranges are left out and reported. */
  update(object: unknown): Problem[] {
    const name = stringAt(objectAt(object, "metadata"), "name");
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
      const message = `${field}: invalid value ${JSON.stringify(text)}: must be a CIDR such as 10.96.0.0/12`;
      problems.push({ subject, code: "OBJECT_INVALID", field, message });
    });
    this.#byName.set(name, cidrs);
    this.#merge();
    return problems;
  }

  remove(name: string): void {
    if (this.#byName.delete(name)) this.#merge();
  }

  /** Replaces all objects with a complete list. Objects that are not in it are removed. */
  replace(objects: readonly unknown[]): Problem[] {
    this.#byName.clear();
    const problems = objects.flatMap((object) => this.update(object));
    this.#merge();
    return problems;
  }

  #merge(): void {
    this.#merged = removeNested([...this.#byName.values()].flat());
  }
}
