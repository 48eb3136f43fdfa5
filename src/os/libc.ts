/**
 * Calls system calls that Bun does not offer, through bun:ffi. No other file uses bun:ffi.
 *
 * Like the kernel, every function returns the result of the system call, or the negated errno. A
 * buffer is passed for one call only. It must have its own ArrayBuffer that stays alive, because
 * Bun may move small typed arrays while native code uses them (oven-sh/bun#32054).
 */

import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { readFileSync } from "node:fs";
import { SluiceError } from "../base/errors.ts";
import { AF_UNIX } from "./posix.ts";

const SYMBOLS = {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  connect: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  getsockname: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  getsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  send: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64_fast, FFIType.i32],
    returns: FFIType.i64_fast,
  },
  recv: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64_fast, FFIType.i32],
    returns: FFIType.i64_fast,
  },
  poll: { args: [FFIType.ptr, FFIType.u64_fast, FFIType.i32], returns: FFIType.i32 },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
  madvise: { args: [FFIType.u64_fast, FFIType.u64_fast, FFIType.i32], returns: FFIType.i32 },
  __errno_location: { args: [], returns: FFIType.ptr },
} as const;

/** Matches the C library in the text of /proc/PID/maps (proc(5)): glibc's names, then musl's. */
const LIBRARY = / (\/.*\/(?:libc\.so\.6|libc-2\.\d+\.so|(?:ld-|libc\.)musl-[^/]+\.so\.1))$/m;

type Symbols = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];
let loaded: Symbols | undefined;

function symbols(): Symbols {
  if (loaded !== undefined) return loaded;
  const path = libraryPath(readMaps());
  try {
    loaded = dlopen(path, SYMBOLS).symbols;
    return loaded;
  } catch (cause) {
    throw new SluiceError("NETLINK_SOCKET", `load the C library: ${path}: ${String(cause)}`);
  }
}

/**
 * Returns the path of the C library that the process has loaded. Bun looks for a name that the
 * loader does not find in the working directory.
 */
export function libraryPath(maps: string): string {
  return LIBRARY.exec(maps)?.[1] ?? "libc.so.6";
}

/** Without /proc, the name remains, which the loader of glibc knows. */
function readMaps(): string {
  try {
    return readFileSync("/proc/self/maps", "latin1");
  } catch {
    return "";
  }
}

/**
 * Returns the call's result, or -errno. Reads errno at once, because any code in between may change
 * it.
 */
function resultOrErrno(result: number): number {
  if (result >= 0) return result;
  return -read.i32(symbols().__errno_location() as Pointer, 0);
}

const option = new Uint8Array(new ArrayBuffer(8));
const optionView = new DataView(option.buffer);
const optionValue = option.subarray(0, 4);
const optionLength = option.subarray(4, 8);

/**
 * Builds a struct sockaddr_un { u16 family, path } for `bind` and `connect`. A leading `@` means an
 * abstract name: its first byte is NUL, and it ends at the end of the address.
 */
export function unixAddress(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  const abstract = path.startsWith("@");
  const bytes = new Uint8Array(new ArrayBuffer(2 + name.length + (abstract ? 0 : 1)));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  if (abstract) bytes[2] = 0;
  return bytes;
}

export function socket(domain: number, type: number, protocol: number): number {
  return resultOrErrno(symbols().socket(domain, type, protocol));
}

/** bind(2) to the bytes of a struct sockaddr. */
export function bind(fd: number, address: Uint8Array): number {
  return resultOrErrno(symbols().bind(fd, address, address.length));
}

/** connect(2) to the bytes of a struct sockaddr. */
export function connect(fd: number, address: Uint8Array): number {
  return resultOrErrno(symbols().connect(fd, address, address.length));
}

/** getsockname(2). Fills `address`, which must have the size of its struct sockaddr. */
export function socketName(fd: number, address: Uint8Array): number {
  optionView.setUint32(4, address.length, true);
  return resultOrErrno(symbols().getsockname(fd, address, optionLength));
}

/** setsockopt(2) of a struct sock_fprog: a filter with `count` instructions. */
export function setProgram(
  fd: number,
  level: number,
  name: number,
  instructions: Uint8Array,
  count: number,
): number {
  const program = new Uint8Array(new ArrayBuffer(16));
  const view = new DataView(program.buffer);
  view.setUint16(0, count, true);
  view.setBigUint64(8, BigInt(ptr(instructions)), true);
  return resultOrErrno(symbols().setsockopt(fd, level, name, program, program.length));
}

/** setsockopt(2) of an int. */
export function setOption(fd: number, level: number, name: number, value: number): number {
  optionView.setInt32(0, value, true);
  return resultOrErrno(symbols().setsockopt(fd, level, name, optionValue, 4));
}

/** getsockopt(2) of an int that is never negative. */
export function getOption(fd: number, level: number, name: number): number {
  optionView.setUint32(4, 4, true);
  const result = resultOrErrno(symbols().getsockopt(fd, level, name, optionValue, optionLength));
  return result < 0 ? result : optionView.getInt32(0, true);
}

/**
 * getsockopt(2) into `struct`, which may also contain a request. Returns the number of bytes
 * written.
 */
export function getStruct(fd: number, level: number, name: number, struct: Uint8Array): number {
  optionView.setUint32(4, struct.length, true);
  const result = resultOrErrno(symbols().getsockopt(fd, level, name, struct, optionLength));
  return result < 0 ? result : optionView.getUint32(4, true);
}

/** send(2) of the first `length` bytes. */
export function send(fd: number, bytes: Uint8Array, length: number, flags: number): number {
  return resultOrErrno(Number(symbols().send(fd, bytes, length, flags)));
}

/** recv(2) into the whole of `buffer`. */
export function recv(fd: number, buffer: Uint8Array, flags: number): number {
  return resultOrErrno(Number(symbols().recv(fd, buffer, buffer.length, flags)));
}

const polled = new Uint8Array(new ArrayBuffer(8));
const polledView = new DataView(polled.buffer);

/**
 * poll(2) of one file descriptor for `events`, for at most `ms`. Returns how many are ready, 0 or
 * 1.
 */
export function poll(fd: number, events: number, ms: number): number {
  polledView.setInt32(0, fd, true);
  polledView.setInt16(4, events, true);
  return resultOrErrno(symbols().poll(polled, 1, ms));
}

export function close(fd: number): number {
  return resultOrErrno(symbols().close(fd));
}

export function madvise(start: number, length: number, advice: number): number {
  return resultOrErrno(symbols().madvise(start, length, advice));
}
