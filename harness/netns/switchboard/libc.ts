/**
 * Calls the few functions of the C library that the switchboard needs to open sockets in many
 * network namespaces from one process. A socket stays in the namespace in which its thread created
 * it.
 */
import { dlopen, type Pointer, ptr, read } from "bun:ffi";
import { readSockaddr, writeSockaddr } from "../sockaddr.ts";

export const EPERM = 1;
export const EAGAIN = 11;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

export const POLLIN = 1;
export const POLLOUT = 4;

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0x80800; // SOCK_NONBLOCK | SOCK_CLOEXEC
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const CLONE_NEWNET = 0x40000000;
const O_CLOEXEC = 0x80000;
const SIG_IGN = 1;

const { symbols: c } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  open: { args: ["ptr", "i32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i64" },
  recvfrom: { args: ["i32", "ptr", "u64", "i32", "ptr", "ptr"], returns: "i64" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  signal: { args: ["i32", "ptr"], returns: "ptr" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
});

const errnoAt = c.__errno_location() as Pointer;
// These own their buffers: a small typed array moves when its `buffer` is first read.
const sockaddr = new Uint8Array(new ArrayBuffer(28));
const length = new Uint32Array(new ArrayBuffer(4));
const option = new Int32Array(new ArrayBuffer(8));

/** The errno of the last call. */
export function errno(): number {
  return read.i32(errnoAt, 0);
}

const namespaces = new Map<string, number>();
let entered = "";

/**
 * Makes the namespace (its name under /run/netns) the current one of this thread. Throws if it does
 * not exist.
 */
export function enter(namespace: string): void {
  if (entered === namespace) return;
  let fd = namespaces.get(namespace);
  if (fd === undefined) {
    const path = Buffer.from(`/run/netns/${namespace}\0`);
    fd = c.open(ptr(path), O_CLOEXEC);
    if (fd < 0) throw new Error(`open namespace ${namespace}: errno ${errno()}`);
    namespaces.set(namespace, fd);
  }
  if (c.setns(fd, CLONE_NEWNET) < 0) {
    throw new Error(`enter namespace ${namespace}: errno ${errno()}`);
  }
  entered = namespace;
}

/** Closes the namespaces, so that this process does not keep them alive. */
export function leaveAll(): void {
  for (const fd of namespaces.values()) c.close(fd);
  namespaces.clear();
}

export type Transport = "tcp" | "udp";

/** Returns a non-blocking socket in the current namespace, or -1 and errno. */
export function socket(address: string, transport: Transport): number {
  const six = address.includes(":");
  const type = (transport === "tcp" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_FLAGS;
  const fd = c.socket(six ? AF_INET6 : AF_INET, type, 0);
  if (fd >= 0) {
    // Not for UDP: two sockets could get the same port by chance, and one would get the other's
    // answer.
    if (transport === "tcp") setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (six) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  }
  return fd;
}

/** Lets a socket accept connections to addresses that are not local. */
export function makeTransparent(fd: number, address: string): void {
  if (address.includes(":")) setOption(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
  else setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
}

export function bind(fd: number, address: string, port: number): number {
  return c.bind(fd, ptr(sockaddr), writeSockaddr(sockaddr, address, port));
}

export function connect(fd: number, address: string, port: number): number {
  return c.connect(fd, ptr(sockaddr), writeSockaddr(sockaddr, address, port));
}

export function listen(fd: number): number {
  return c.listen(fd, 512);
}

export interface Peer {
  readonly fd: number;
  readonly address: string;
  readonly port: number;
}

/** The next waiting connection, or undefined. */
export function accept(fd: number): Peer | undefined {
  length[0] = sockaddr.length;
  const accepted = c.accept4(fd, ptr(sockaddr), ptr(length), SOCK_FLAGS);
  return accepted < 0 ? undefined : { fd: accepted, ...readSockaddr(sockaddr) };
}

/** Returns the bytes read into `buffer`; 0 at the end of the stream; -1 and errno. */
export function receive(fd: number, buffer: Uint8Array): number {
  return Number(c.recvfrom(fd, ptr(buffer), buffer.length, 0, null, null));
}

/** Returns one datagram with its sender, or undefined. */
export function receiveFrom(fd: number, buffer: Uint8Array): Peer | undefined {
  length[0] = sockaddr.length;
  const size = c.recvfrom(fd, ptr(buffer), buffer.length, 0, ptr(sockaddr), ptr(length));
  return size < 0 ? undefined : { fd, ...readSockaddr(sockaddr) };
}

const MSG_NOSIGNAL = 0x4000;

/** Returns the bytes sent, or -1 and errno. */
export function send(fd: number, bytes: Uint8Array): number {
  return Number(c.sendto(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL, null, 0));
}

export function sendTo(fd: number, bytes: Uint8Array, to: Peer): void {
  const size = writeSockaddr(sockaddr, to.address, to.port);
  c.sendto(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL, ptr(sockaddr), size);
}

/** Reads from a pipe. Returns the bytes read; 0 at the end. */
export function readPipe(fd: number, buffer: Uint8Array): number {
  return Number(c.read(fd, ptr(buffer), buffer.length));
}

/** Returns the pending error of a socket and clears it. */
export function socketError(fd: number): number {
  length[0] = 4;
  option[0] = 0;
  c.getsockopt(fd, SOL_SOCKET, SO_ERROR, ptr(option), ptr(length));
  return option[0];
}

export function close(fd: number): void {
  c.close(fd);
}

/** Closes with a reset, so that neither side nor conntrack keeps the connection. */
export function abort(fd: number): void {
  option[0] = 1;
  option[1] = 0;
  c.setsockopt(fd, SOL_SOCKET, SO_LINGER, ptr(option), 8);
  c.close(fd);
}

/**
 * Waits for events. `set` holds two numbers for each descriptor: the descriptor, and its events.
 * The low half has the wanted events, the high half those that occurred.
 */
export function poll(set: Int32Array, count: number, milliseconds: number): number {
  return c.poll(ptr(set), count, milliseconds);
}

export function ignoreSignal(signal: number): void {
  c.signal(signal, SIG_IGN as Pointer);
}

function setOption(fd: number, level: number, name: number, value: number): void {
  option[0] = value;
  c.setsockopt(fd, level, name, ptr(option), 4);
}
