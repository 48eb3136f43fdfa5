/** Owners: every element in the kernel has exactly one. */
import { OWNER_ADOPTED as ADOPTED, OWNER_NODE as NODE } from "../../asm/layout/owner.ts";
import type { ServiceId } from "./service.ts";

/** A Service, the node itself, or nobody yet. */
export type OwnerId = ServiceId | NodeOwner | AdoptedOwner;
type NodeOwner = number & { readonly brand: "NodeOwner" };
type AdoptedOwner = number & { readonly brand: "AdoptedOwner" };

/** Owns addresses of the node, local endpoints and Service CIDRs. */
export const OWNER_NODE = NODE as NodeOwner;
/** Owns elements that were read from the kernel and that no owner has claimed yet. */
export const OWNER_ADOPTED = ADOPTED as AdoptedOwner;

/** Is this owner a Service? */
export function isService(owner: OwnerId): owner is ServiceId {
  return owner !== OWNER_NODE && owner !== OWNER_ADOPTED;
}
