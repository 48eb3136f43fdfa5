/**
 * Builds filters (classic BPF) that the kernel runs before it queues a datagram of events. Events
 * that a filter drops neither fill the socket's buffer nor wake the process.
 */
import * as libc from "../os/libc.ts";
import { SO_ATTACH_FILTER, SOL_SOCKET } from "../os/posix.ts";
import {
  BPF_CODE,
  BPF_INSTRUCTION_BYTES,
  BPF_JEQ_K,
  BPF_JUMP_FALSE,
  BPF_JUMP_TRUE,
  BPF_LD_B_ABS,
  BPF_LD_W_ABS,
  BPF_OPERAND,
  BPF_RET_K,
  NLMSG_HDRLEN,
  NLMSG_PORT_ID,
  RTMSG_TYPE,
  RTN_LOCAL,
} from "./constants.ts";

/** The instructions of a filter: code, jump if true, jump if false, operand. */
export type EventFilter = readonly (readonly [number, number, number, number])[];

/** Passes the whole datagram. */
const BPF_ALL = 0xffffffff;

/**
 * Drops the events that the socket with this port id caused. All events in a datagram have the same
 * sender.
 */
export function exceptFrom(portId: number): EventFilter {
  return [
    // BPF loads are big-endian, but the field is in host order.
    [BPF_LD_W_ABS, 0, 0, NLMSG_PORT_ID],
    [BPF_JEQ_K, 0, 1, swapped(portId)],
    [BPF_RET_K, 0, 0, 0],
    [BPF_RET_K, 0, 0, BPF_ALL],
  ];
}

/** Drops events of routes, except local ones. Each event is a datagram of its own. */
export const LOCAL_ROUTES: EventFilter = [
  [BPF_LD_B_ABS, 0, 0, NLMSG_HDRLEN + RTMSG_TYPE],
  [BPF_JEQ_K, 1, 0, RTN_LOCAL],
  [BPF_RET_K, 0, 0, 0],
  [BPF_RET_K, 0, 0, BPF_ALL],
];

/** Attaches a filter to a socket. Returns the result of the system call. */
export function attachFilter(fd: number, filter: EventFilter): number {
  const bytes = new Uint8Array(new ArrayBuffer(filter.length * BPF_INSTRUCTION_BYTES));
  const view = new DataView(bytes.buffer);
  for (const [index, [code, whenTrue, whenFalse, value]] of filter.entries()) {
    const at = index * BPF_INSTRUCTION_BYTES;
    view.setUint16(at + BPF_CODE, code, true);
    view.setUint8(at + BPF_JUMP_TRUE, whenTrue);
    view.setUint8(at + BPF_JUMP_FALSE, whenFalse);
    view.setUint32(at + BPF_OPERAND, value, true);
  }
  return libc.setProgram(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, filter.length);
}

function swapped(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value);
  return view.getUint32(0, true);
}
