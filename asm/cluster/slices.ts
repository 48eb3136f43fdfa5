// EndpointSlices: one block each, in a list for each Service.
//
//   0 u32 next slice of the Service, 0 = last     24 u32 size of the block
//   4 u32 previous one, 0 = first                 28 u32 epoch in which it was last fed
//   8 u32 Service id                              32 u8  family · 33 u8 flags · 34 u16 ports
//  12 u32 key: name id of `namespace/name`        36 u32 endpoints
//  16 u64 version, as of a Service                40 ports[], 8 bytes each; then endpoints[]
//
// Port:     0 u32 name id · 4 u16 port · 6 u8 protocol · 7 u8 0
// Endpoint: 0 u32 hints (pointer, 0 = none) · 4 u32 flags · 8 addr[4 or 16]: 12 or 24 bytes

import { release } from "../memory/heap";
import { nameDrop, nameSlice, setNameSlice } from "../memory/names";
import { dropHints, hintFlags } from "./hints";
import {
  firstSlice,
  markDirty,
  serviceBlock,
  serviceEnd,
  setFirstSlice,
  settleService,
} from "./services";

export const SLICE_HEADER: usize = 40;
export const SLICE_PORT: usize = 8;
export const SLICE_FLAG_ZONES: u8 = 1; // some endpoint has zone hints

export const ENDPOINT_READY: u32 = 1;
export const ENDPOINT_SERVING: u32 = 2;
export const ENDPOINT_TERMINATING: u32 = 4;
export const ENDPOINT_LOCAL: u32 = 8; // on this node

let slices: u32 = 0;
let endpoints: u32 = 0;

export function sliceCount(): u32 {
  return slices;
}

export function endpointCount(): u32 {
  return endpoints;
}

export function nextSlice(slice: usize): usize {
  return load<u32>(slice);
}

export function sliceService(slice: usize): u32 {
  return load<u32>(slice, 8);
}

export function sliceEpoch(slice: usize): u32 {
  return load<u32>(slice, 28);
}

/** 4 or 6. */
export function sliceFamily(slice: usize): u32 {
  return load<u8>(slice, 32);
}

export function slicePortCount(slice: usize): u32 {
  return load<u16>(slice, 34);
}

export function slicePort(slice: usize, index: u32): usize {
  return slice + SLICE_HEADER + <usize>index * SLICE_PORT;
}

export function portName(port: usize): u32 {
  return load<u32>(port);
}

export function portNumber(port: usize): u32 {
  return load<u16>(port, 4);
}

export function portProtocol(port: usize): u32 {
  return load<u8>(port, 6);
}

export function sliceEndpointCount(slice: usize): u32 {
  return load<u32>(slice, 36);
}

/** First endpoint; the next ones follow at `endpointStride(family)`. */
export function sliceEndpoints(slice: usize): usize {
  return slice + SLICE_HEADER + <usize>slicePortCount(slice) * SLICE_PORT;
}

export function endpointStride(family: u32): usize {
  return family == 4 ? 12 : 24;
}

export function endpointFlags(endpoint: usize): u32 {
  return load<u32>(endpoint, 4);
}

export function endpointAddress(endpoint: usize): usize {
  return endpoint + 8;
}

/** HINT_* bits (hints.ts); 0 = no hints. */
export function endpointHints(endpoint: usize): u32 {
  return hintFlags(load<u32>(endpoint));
}

/** Puts a finished block into its Service's list and under its key. */
export function linkSlice(slice: usize): void {
  const service = sliceService(slice);
  const next = firstSlice(service);
  store<u32>(slice, next);
  store<u32>(slice, 0, 4);
  if (next) store<u32>(next, slice, 4);
  setFirstSlice(service, slice);
  setNameSlice(load<u32>(slice, 12), slice);
  slices++;
  endpoints += sliceEndpointCount(slice);
}

/**
 * Takes a slice out of the lists and frees it; its key is let go. The Service may be recycled by this, so a
 * successor of the slice is linked first.
 */
export function unlinkSlice(slice: usize): void {
  const service = sliceService(slice);
  const next: usize = load<u32>(slice);
  const previous: usize = load<u32>(slice, 4);
  if (previous) store<u32>(previous, next);
  else setFirstSlice(service, next);
  if (next) store<u32>(next, previous, 4);
  slices--;
  endpoints -= sliceEndpointCount(slice);
  const name = load<u32>(slice, 12);
  if (nameSlice(name) == slice) setNameSlice(name, 0);
  nameDrop(name);
  releaseSliceRefs(slice);
  release(slice, load<u32>(slice, 24));
  settleService(service);
}

/** Lets go of the port names and hints of a block, also of one that is being built. */
export function releaseSliceRefs(slice: usize): void {
  const ports = slicePortCount(slice);
  for (let i: u32 = 0; i < ports; i++) nameDrop(portName(slicePort(slice, i)));
  const stride = endpointStride(sliceFamily(slice));
  const first = sliceEndpoints(slice);
  const end = first + <usize>sliceEndpointCount(slice) * stride;
  for (let row = first; row < end; row += stride) dropHints(load<u32>(row));
}

/** This node's zone changed: what depends on zone hints is to be chosen anew. */
export function markZoneHintsDirty(): void {
  const end = serviceEnd();
  for (let id: u32 = 1; id < end; id++) {
    if (!serviceBlock(id)) continue;
    for (let slice = firstSlice(id); slice; slice = nextSlice(slice)) {
      if (!(load<u8>(slice, 33) & SLICE_FLAG_ZONES)) continue;
      markDirty(id);
      break;
    }
  }
}
