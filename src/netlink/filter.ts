/** A filter that the kernel runs before a datagram is put into a socket's buffer (classic BPF). */

import * as libc from "../os/libc.ts";
import { SO_ATTACH_FILTER, SOL_SOCKET } from "../os/posix.ts";
import { BPF_JEQ_K, BPF_LD_W_ABS, BPF_RET_K, NLMSG_PID_OFFSET } from "./constants.ts";

/** Bytes of struct sock_filter { u16 code; u8 jt; u8 jf; u32 k }. */
const INSTRUCTION = 8;
const ALL = 0xffffffff;

/**
 * Events caused by the socket with this port id are dropped: they neither fill the buffer nor wake anybody,
 * however much that socket does. A datagram holds events of one sender only. The result is that of the system
 * call.
 */
export function ignoreSender(fd: number, portId: number): number {
  const program = [
    // Loads are big-endian; the field is in host order.
    [BPF_LD_W_ABS, 0, 0, NLMSG_PID_OFFSET],
    [BPF_JEQ_K, 0, 1, swapped(portId)],
    [BPF_RET_K, 0, 0, 0],
    [BPF_RET_K, 0, 0, ALL],
  ] as const;
  const bytes = new Uint8Array(new ArrayBuffer(program.length * INSTRUCTION));
  const view = new DataView(bytes.buffer);
  for (const [index, [code, whenTrue, whenFalse, value]] of program.entries()) {
    view.setUint16(index * INSTRUCTION, code, true);
    view.setUint8(index * INSTRUCTION + 2, whenTrue);
    view.setUint8(index * INSTRUCTION + 3, whenFalse);
    view.setUint32(index * INSTRUCTION + 4, value, true);
  }
  return libc.setProgram(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, program.length);
}

function swapped(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value);
  return view.getUint32(0, true);
}
