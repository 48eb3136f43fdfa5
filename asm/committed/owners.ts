// Keeps a doubly linked list of committed elements for each owner, so that a diff searches only
// these elements for unwanted ones. The list heads of Services and of the node are in the table of
// Services.

import { firstElement, isService, releaseIfUnused, setFirstElement } from "../cluster/services";
import { OWNER_ADOPTED, OWNER_NODE } from "../layout/owner";
import { ELEMENT_NEXT, ELEMENT_OWNER, ELEMENT_PREVIOUS } from "./element-record";

let adopted: u32 = 0;

export function isOwner(owner: u32): bool {
  return owner == OWNER_NODE || owner == OWNER_ADOPTED || isService(owner);
}

/** Returns the owner's first element; 0 if it has none. */
export function firstOf(owner: u32): usize {
  return owner == OWNER_ADOPTED ? adopted : firstElement(owner);
}

/** Counts the owner's elements, up to `most`; 0 for an unused id. */
export function ownedElements(owner: u32, most: u32): u32 {
  let count: u32 = 0;
  if (!isOwner(owner)) return 0;
  for (
    let element = firstOf(owner);
    element && count < most;
    element = load<u32>(element, ELEMENT_NEXT)
  ) {
    count++;
  }
  return count;
}

/** Inserts an element at the front of the owner's list. */
export function link(element: usize, owner: u32): void {
  const next = firstOf(owner);
  store<u32>(element, owner, ELEMENT_OWNER);
  store<u32>(element, <u32>next, ELEMENT_NEXT);
  store<u32>(element, 0, ELEMENT_PREVIOUS);
  if (next) store<u32>(next, <u32>element, ELEMENT_PREVIOUS);
  setFirst(owner, <u32>element);
}

/** Removes an element from its owner's list. Call `releaseOwnerIfUnused` when done. */
export function unlink(element: usize): void {
  const next = load<u32>(element, ELEMENT_NEXT);
  const previous = load<u32>(element, ELEMENT_PREVIOUS);
  if (next) store<u32>(next, previous, ELEMENT_PREVIOUS);
  if (previous) store<u32>(previous, next, ELEMENT_NEXT);
  else setFirst(load<u32>(element, ELEMENT_OWNER), next);
}

/** Recycles the Service's id if nothing of the Service remains. */
export function releaseOwnerIfUnused(owner: u32): void {
  if (owner != OWNER_ADOPTED) releaseIfUnused(owner);
}

function setFirst(owner: u32, element: u32): void {
  if (owner == OWNER_ADOPTED) adopted = element;
  else setFirstElement(owner, element);
}
