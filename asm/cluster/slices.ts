// Stores EndpointSlices: one block each, in one list per Service.

import {
  ENDPOINT_FLAGS,
  ENDPOINT_HEADER,
  ENDPOINT_HINTS,
  ENDPOINT_IP,
  SLICE_ENDPOINTS,
  SLICE_EPOCH,
  SLICE_FAMILY,
  SLICE_FLAG_ZONES,
  SLICE_FLAGS,
  SLICE_HEADER,
  SLICE_KEY,
  SLICE_NEXT,
  SLICE_PORT_NAME,
  SLICE_PORT_NUMBER,
  SLICE_PORT_PROTOCOL,
  SLICE_PORT_STRIDE,
  SLICE_PORTS,
  SLICE_PREVIOUS,
  SLICE_SERVICE,
  SLICE_SIZE,
} from "../layout/slice";
import { ipBytes } from "../memory/bytes";
import { release } from "../memory/heap";
import { nameDrop, nameSlice, setNameSlice } from "../memory/names";
import { dropHints, hintFlags } from "./hint-sets";
import {
  firstSlice,
  markDirty,
  releaseIfUnused,
  serviceBlock,
  serviceEnd,
  setFirstSlice,
} from "./services";

let slices: u32 = 0;
let endpoints: u32 = 0;

export function sliceCount(): u32 {
  return slices;
}

export function endpointCount(): u32 {
  return endpoints;
}

export function nextSlice(slice: usize): usize {
  return load<u32>(slice, SLICE_NEXT);
}

export function sliceService(slice: usize): u32 {
  return load<u32>(slice, SLICE_SERVICE);
}

export function sliceEpoch(slice: usize): u32 {
  return load<u32>(slice, SLICE_EPOCH);
}

/** Returns 4 or 6. */
export function sliceFamily(slice: usize): u32 {
  return load<u8>(slice, SLICE_FAMILY);
}

export function slicePortCount(slice: usize): u32 {
  return load<u16>(slice, SLICE_PORTS);
}

export function slicePort(slice: usize, index: u32): usize {
  return slice + SLICE_HEADER + <usize>index * SLICE_PORT_STRIDE;
}

export function portName(port: usize): u32 {
  return load<u32>(port, SLICE_PORT_NAME);
}

export function portNumber(port: usize): u32 {
  return load<u16>(port, SLICE_PORT_NUMBER);
}

export function portProtocol(port: usize): u32 {
  return load<u8>(port, SLICE_PORT_PROTOCOL);
}

export function sliceEndpointCount(slice: usize): u32 {
  return load<u32>(slice, SLICE_ENDPOINTS);
}

/** Returns the first endpoint; the next ones follow at a distance of `endpointStride(family)`. */
export function sliceEndpoints(slice: usize): usize {
  return slice + SLICE_HEADER + <usize>slicePortCount(slice) * SLICE_PORT_STRIDE;
}

export function endpointStride(family: u32): usize {
  return ENDPOINT_HEADER + ipBytes(family);
}

export function endpointFlags(endpoint: usize): u32 {
  return load<u32>(endpoint, ENDPOINT_FLAGS);
}

export function endpointAddress(endpoint: usize): usize {
  return endpoint + ENDPOINT_IP;
}

/** Returns HINT_* bits; 0 = no hints. */
export function endpointHints(endpoint: usize): u32 {
  return hintFlags(load<u32>(endpoint, ENDPOINT_HINTS));
}

/** Adds a complete block to its Service's list and to the index by key. */
export function linkSlice(slice: usize): void {
  const service = sliceService(slice);
  const next = firstSlice(service);
  store<u32>(slice, next, SLICE_NEXT);
  store<u32>(slice, 0, SLICE_PREVIOUS);
  if (next) store<u32>(next, slice, SLICE_PREVIOUS);
  setFirstSlice(service, slice);
  setNameSlice(load<u32>(slice, SLICE_KEY), slice);
  slices++;
  endpoints += sliceEndpointCount(slice);
}

/**
 * Removes a slice from the lists, releases its key and frees it. This may recycle the Service's id,
 * so link a successor of the slice first.
 */
export function unlinkSlice(slice: usize): void {
  const service = sliceService(slice);
  const next: usize = load<u32>(slice, SLICE_NEXT);
  const previous: usize = load<u32>(slice, SLICE_PREVIOUS);
  if (previous) store<u32>(previous, next, SLICE_NEXT);
  else setFirstSlice(service, next);
  if (next) store<u32>(next, previous, SLICE_PREVIOUS);
  slices--;
  endpoints -= sliceEndpointCount(slice);
  const name = load<u32>(slice, SLICE_KEY);
  if (nameSlice(name) == slice) setNameSlice(name, 0);
  nameDrop(name);
  releaseSliceRefs(slice);
  release(slice, load<u32>(slice, SLICE_SIZE));
  releaseIfUnused(service);
}

/** Releases the port names and hints of a block, including a block under construction. */
export function releaseSliceRefs(slice: usize): void {
  const ports = slicePortCount(slice);
  for (let i: u32 = 0; i < ports; i++) nameDrop(portName(slicePort(slice, i)));
  const stride = endpointStride(sliceFamily(slice));
  const first = sliceEndpoints(slice);
  const end = first + <usize>sliceEndpointCount(slice) * stride;
  for (let row = first; row < end; row += stride) dropHints(load<u32>(row, ENDPOINT_HINTS));
}

/** Marks all Services with zone hints dirty after this node's zone changed. */
export function markZoneHintsDirty(): void {
  const end = serviceEnd();
  for (let id: u32 = 1; id < end; id++) {
    if (!serviceBlock(id)) continue;
    for (let slice = firstSlice(id); slice; slice = nextSlice(slice)) {
      if (!(load<u8>(slice, SLICE_FLAGS) & SLICE_FLAG_ZONES)) continue;
      markDirty(id);
      break;
    }
  }
}
