/**
 * Runs in the network namespace of a pod or node. As a client, it sends datagrams or opens
 * connections on demand, and reports what they cost. As a server, it answers the client's first
 * datagram and reads no other, so its buffer is full in all runs alike.
 *
 * usage: bun bench/flood.ts client ADDRESS
 *        bun bench/flood.ts server CLIENT
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { writeSockaddr } from "../harness/netns/sockaddr.ts";
import { bind, close, connect, poll, recv, send, socket } from "../src/os/libc.ts";

/** The server answers at the first port only, so a flow to the second one stays unreplied. */
export const ANSWERED_PORT = 5353;
export const UNANSWERED_PORT = 5354;
export const CONNECT_PORT = 8080;
const CLIENT_PORT = 5355;

/** A request for datagrams of a kind, or for connections. */
export interface FloodRequest {
  readonly what: "answered" | "unanswered" | "connect";
  readonly count: number;
  /** Where connections go, if not to the address of the datagrams. */
  readonly to?: string;
}

const AF_INET = 2;
export const AF_INET6 = 10;
const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
const ANSWER_MS = 2000;

const sockaddr = new Uint8Array(new ArrayBuffer(28));
const byte = new Uint8Array(new ArrayBuffer(1));

export function at(address: string, port: number): Uint8Array {
  return sockaddr.subarray(0, writeSockaddr(sockaddr, address, port));
}

/** A connected socket, bound to a port of its own on demand. */
export function open(type: number, address: string, port: number, own?: number): number {
  const six = address.includes(":");
  const fd = socket(six ? AF_INET6 : AF_INET, type, 0);
  if (own !== undefined && bind(fd, at(six ? "::" : "0.0.0.0", own)) < 0)
    throw new Error(`bind ${own}`);
  const result = connect(fd, at(address, port));
  if (result < 0) throw new Error(`connect ${address}:${port}: errno ${-result}`);
  return fd;
}

/** Nanoseconds of processor time of each call. The kernel forwards within the same call. */
export function cost(count: number, work: (index: number) => void): number {
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) work(i);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / count;
}

async function runClient(address: string): Promise<void> {
  const answered = open(SOCK_DGRAM, address, ANSWERED_PORT, CLIENT_PORT);
  const unanswered = open(SOCK_DGRAM, address, UNANSWERED_PORT);
  send(answered, byte, 1, 0);
  if (poll(answered, POLLIN, ANSWER_MS) !== 1) throw new Error(`no answer from ${address}`);
  recv(answered, byte, 0);
  writeSync(1, "ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const { what, count, to = address } = JSON.parse(line) as FloodRequest;
    const flow = what === "answered" ? answered : unanswered;
    const ns = cost(count, () => {
      if (what === "connect") close(open(SOCK_STREAM, to, CONNECT_PORT));
      else send(flow, byte, 1, MSG_DONTWAIT);
    });
    writeSync(1, `${ns}\n`);
  }
}

async function runServer(client: string): Promise<void> {
  const answered = open(SOCK_DGRAM, client, CLIENT_PORT, ANSWERED_PORT);
  const unanswered = socket(AF_INET, SOCK_DGRAM, 0);
  bind(unanswered, at("0.0.0.0", UNANSWERED_PORT));
  writeSync(1, "ready\n");
  if (poll(answered, POLLIN, ANSWER_MS) === 1) {
    recv(answered, byte, 0);
    send(answered, byte, 1, 0);
  }
  for await (const _ of createInterface({ input: process.stdin }));
}

if (import.meta.main) {
  const [role, address = ""] = process.argv.slice(2);
  await (role === "client" ? runClient(address) : runServer(address));
}
