/** Implements the part of the core that chooses endpoints (asm/select/). */

import {
  CHOICE_CLUSTER,
  CHOICE_FAMILY,
  CHOICE_FLAG_SERVES_UNSELECTED,
  CHOICE_FLAG_USABLE,
  CHOICE_FLAGS,
  CHOICE_LOCAL,
  CHOICE_PORT_INDEX,
  CHOICE_READY_LOCAL,
  CHOICE_STRIDE,
  SPAN_COUNT,
  SPAN_POINTER,
} from "../../asm/layout/choice.ts";
import type { EndpointSelection, EndpointSpan } from "../model/choice.ts";
import type { Family } from "../net/address.ts";
import type { Core } from "./core.ts";
import { type HeapExports, outOfMemory, type Wasm } from "./load.ts";

/** Exports of asm/index.ts for this part. */
export interface SelectExports extends HeapExports {
  selectRegion(count: number): number;
  select(count: number): number;
  choicesPointer(): number;
}

/** @throws SluiceError CORE_MEMORY from `select`, before the first callback. */
export function selectCalls(wasm: Wasm<SelectExports>): Pick<Core, "select"> {
  const { exports } = wasm;
  return {
    select(ids, each) {
      const doing = `select endpoints of ${ids.length} Services`;
      const batch = exports.selectRegion(ids.length) >>> 0;
      if (!batch) throw outOfMemory(doing, ids.length * Uint32Array.BYTES_PER_ELEMENT);
      wasm.u32().set(ids, batch >>> 2);
      if (!exports.select(ids.length)) throw outOfMemory(doing, wasm.u8().byteLength);
      // Copied before the first callback, because a callback may call the core and overwrite the
      // result.
      const ends = wasm.u32().slice(batch >>> 2, (batch >>> 2) + ids.length);
      const base = exports.choicesPointer() >>> 0;
      const choices = wasm.u8().slice(base, base + (ends.at(-1) ?? 0) * CHOICE_STRIDE);
      const view = new DataView(choices.buffer);
      let index = 0;
      for (const [position, id] of ids.entries()) {
        const end = ends[position] ?? index;
        const found: EndpointSelection[] = [];
        let localReady = 0;
        let servesUnselected = false;
        for (; index < end; index++) {
          const at = index * CHOICE_STRIDE;
          servesUnselected ||=
            (view.getUint8(at + CHOICE_FLAGS) & CHOICE_FLAG_SERVES_UNSELECTED) !== 0;
          found.push(readChoice(view, at));
          localReady = Math.max(localReady, view.getUint32(at + CHOICE_READY_LOCAL, true));
        }
        each(id, found, localReady, servesUnselected);
      }
    },
  };
}

function readChoice(view: DataView, at: number): EndpointSelection {
  return {
    portIndex: view.getUint16(at + CHOICE_PORT_INDEX, true),
    family: view.getUint8(at + CHOICE_FAMILY) as Family,
    cluster: readSpan(view, at + CHOICE_CLUSTER),
    local: readSpan(view, at + CHOICE_LOCAL),
    usable: (view.getUint8(at + CHOICE_FLAGS) & CHOICE_FLAG_USABLE) !== 0,
  };
}

function readSpan(view: DataView, at: number): EndpointSpan {
  return {
    pointer: view.getUint32(at + SPAN_POINTER, true),
    count: view.getUint32(at + SPAN_COUNT, true),
  };
}
