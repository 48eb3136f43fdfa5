/**
 * Runs a command as if the kernel had no netfilter netlink: socket(AF_NETLINK, …,
 * NETLINK_NETFILTER) fails with EPROTONOSUPPORT. A network namespace without it cannot be created,
 * so a seccomp filter simulates one.
 *
 * usage: bun without-nfnetlink.ts COMMAND ...
 */
import { dlopen, ptr } from "bun:ffi";

const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const SYS_SOCKET = process.arch === "arm64" ? 198 : 41;
const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;
const EPROTONOSUPPORT = 93;

/** linux/bpf_common.h, linux/seccomp.h */
const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const ALLOW = 0x7fff0000;
const FAIL = 0x00050000;
/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const FIRST = 16;
const THIRD = 32;

/** code, where to if equal, where to otherwise (from the next one on), operand */
const FILTER: readonly (readonly [number, number, number, number])[] = [
  [LOAD, 0, 0, NUMBER],
  [JUMP_IF_EQUAL, 0, 5, SYS_SOCKET],
  [LOAD, 0, 0, FIRST],
  [JUMP_IF_EQUAL, 0, 3, AF_NETLINK],
  [LOAD, 0, 0, THIRD],
  [JUMP_IF_EQUAL, 0, 1, NETLINK_NETFILTER],
  [RETURN, 0, 0, FAIL + EPROTONOSUPPORT],
  [RETURN, 0, 0, ALLOW],
];

const { symbols: c } = dlopen("libc.so.6", {
  prctl: { args: ["i32", "u64", "ptr", "u64", "u64"], returns: "i32" },
  execvp: { args: ["ptr", "ptr"], returns: "i32" },
});

const code = new DataView(new ArrayBuffer(8 * FILTER.length));
for (const [index, [operation, equal, otherwise, operand]] of FILTER.entries()) {
  code.setUint16(8 * index, operation, true);
  code.setUint8(8 * index + 2, equal);
  code.setUint8(8 * index + 3, otherwise);
  code.setUint32(8 * index + 4, operand, true);
}
const filter = new Uint8Array(code.buffer);
const program = new BigUint64Array([BigInt(FILTER.length), BigInt(ptr(filter))]);
const words = process.argv.slice(2).map((word) => Buffer.from(`${word}\0`));
const list = new BigUint64Array([...words.map((word) => BigInt(ptr(word))), 0n]);

if (c.prctl(PR_SET_SECCOMP, BigInt(SECCOMP_MODE_FILTER), ptr(program), 0n, 0n) !== 0) {
  throw new Error("forbid a system call: prctl(2) failed (run as root)");
}
const [first] = words;
if (first !== undefined) c.execvp(ptr(first), ptr(list));
throw new Error(`run ${process.argv[2]}: execvp(3) failed`);
