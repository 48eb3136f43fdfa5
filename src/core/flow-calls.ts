/** Implements the part of the core that decides which connections must end (asm/flows/). */
import {
  FLOWS_CHUNK_CUT,
  FLOWS_CHUNK_END,
  FLOWS_CHUNK_INTERRUPTED,
  FLOWS_RANGE4_FIRST,
  FLOWS_RANGE4_LAST,
  FLOWS_RANGE4_STRIDE,
  FLOWS_RANGE6_FIRST,
  FLOWS_RANGE6_LAST,
  FLOWS_RANGE6_STRIDE,
  FLOWS_RESULT_DELETIONS,
  FLOWS_RESULT_DELETIONS_LENGTH,
  FLOWS_RESULT_ENTRIES,
  FLOWS_RESULT_ERRNO,
  FLOWS_RESULT_FLAGS,
  FLOWS_RESULT_STALE,
  FLOWS_TCP4,
  FLOWS_TCP6,
  FLOWS_UDP4,
  FLOWS_UDP6,
} from "../../asm/layout/flow.ts";
import type { Cidr, Family } from "../net/address.ts";
import { lastAddress, removeNested } from "../net/cidr.ts";
import type { Core, FlowDump } from "./core.ts";
import { type HeapExports, outOfMemory, type Wasm } from "./load.ts";

/** Exports of asm/index.ts for this part. Booleans arrive as 0 and 1. */
export interface FlowsExports extends HeapExports {
  flowsRecord(): number;
  flowsRecordOwner(owner: number, udp: number, tcp: number): number;
  flowsRecordAll(): number;
  flowsRecordNodePorts(family: number): number;
  flowsRanges(ipv4: number, ipv6: number): number;
  flowsHaveChanges(): number;
  flowsBegin(): number;
  flowsChunk(bytes: number): number;
  flowsCheck(bytes: number): number;
  flowsFinish(again: number): void;
}

const DUMPS: readonly (readonly [bit: number, dump: FlowDump])[] = [
  [FLOWS_UDP4, { family: 4, protocol: "UDP" }],
  [FLOWS_TCP4, { family: 4, protocol: "TCP" }],
  [FLOWS_UDP6, { family: 6, protocol: "UDP" }],
  [FLOWS_TCP6, { family: 6, protocol: "TCP" }],
];

/** @throws SluiceError CORE_MEMORY from every function that allocates. */
export function flowCalls(wasm: Wasm<FlowsExports>): Pick<Core, "flows"> {
  const { exports } = wasm;
  const granted = (done: number, doing: string): number => {
    if (done === 0) throw outOfMemory(doing, wasm.u8().byteLength);
    return done >>> 0;
  };
  return {
    flows: {
      recordCommit: () => void granted(exports.flowsRecord(), "record changed frontends"),
      recordOwner(owner, { udp, tcp }) {
        const done = exports.flowsRecordOwner(owner, Number(udp), Number(tcp));
        granted(done, "record the frontends of a Service");
      },
      recordAll: () => void granted(exports.flowsRecordAll(), "record all frontends"),
      recordNodePorts: (family) =>
        void granted(exports.flowsRecordNodePorts(family), "record node ports"),
      hasChanges: () => exports.flowsHaveChanges() !== 0,
      begin(local) {
        const ranges = removeNested(local);
        const count = (family: Family) => ranges.filter((range) => range.family === family).length;
        const at = exports.flowsRanges(count(4), count(6));
        writeRanges(wasm, granted(at, "pass local addresses"), ranges);
        const dumps = exports.flowsBegin();
        if (dumps < 0)
          throw outOfMemory("start a pass over conntrack entries", wasm.u8().byteLength);
        return DUMPS.flatMap(([bit, dump]) => (dumps & bit ? [dump] : []));
      },
      check(bytes) {
        const doing = `check ${bytes.byteLength} bytes of conntrack entries`;
        const chunk = granted(exports.flowsChunk(bytes.byteLength), doing);
        wasm.u8().set(bytes, chunk);
        const at = granted(exports.flowsCheck(bytes.byteLength), doing);
        const view = wasm.view();
        const flags = view.getUint32(at + FLOWS_RESULT_FLAGS, true);
        const from = view.getUint32(at + FLOWS_RESULT_DELETIONS, true);
        const length = view.getUint32(at + FLOWS_RESULT_DELETIONS_LENGTH, true);
        return {
          entries: view.getUint32(at + FLOWS_RESULT_ENTRIES, true),
          stale: view.getUint32(at + FLOWS_RESULT_STALE, true),
          end: (flags & FLOWS_CHUNK_END) !== 0,
          interrupted: (flags & FLOWS_CHUNK_INTERRUPTED) !== 0,
          cut: (flags & FLOWS_CHUNK_CUT) !== 0,
          errno: view.getInt32(at + FLOWS_RESULT_ERRNO, true),
          deletions: wasm.u8().subarray(from, from + length),
        };
      },
      finish: (again) => exports.flowsFinish(Number(again)),
    },
  };
}

/** Writes the records to `at`. `ranges` are sorted, IPv4 first. */
function writeRanges(wasm: Wasm<FlowsExports>, at: number, ranges: readonly Cidr[]): void {
  const memory = wasm.u8();
  let range = at;
  for (const cidr of ranges) {
    const [first, last, stride] =
      cidr.family === 4
        ? [FLOWS_RANGE4_FIRST, FLOWS_RANGE4_LAST, FLOWS_RANGE4_STRIDE]
        : [FLOWS_RANGE6_FIRST, FLOWS_RANGE6_LAST, FLOWS_RANGE6_STRIDE];
    memory.set(cidr.bytes, range + first);
    memory.set(lastAddress(cidr), range + last);
    range += stride;
  }
}
