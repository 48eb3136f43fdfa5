/** Identifies owners: every element in the kernel has exactly one. */
import { OWNER_ADOPTED as ADOPTED, OWNER_NODE as NODE } from "../../asm/layout/owner.ts";
import type { ServiceId } from "./service.ts";

/** A Service, the node itself, or no one yet. */
export type OwnerId = ServiceId | NodeOwner | AdoptedOwner;
type NodeOwner = number & { readonly brand: "NodeOwner" };
type AdoptedOwner = number & { readonly brand: "AdoptedOwner" };

/** Owns the ranges of node ports and the Service CIDRs. */
export const OWNER_NODE = NODE as NodeOwner;
/** Owns elements that were read from the kernel and not yet claimed by a Service or the node. */
export const OWNER_ADOPTED = ADOPTED as AdoptedOwner;

/** Reports whether the owner is a Service. */
export function isServiceOwner(owner: OwnerId): owner is ServiceId {
  return owner !== OWNER_NODE && owner !== OWNER_ADOPTED;
}
