/**
 * Runs in a network namespace and fills its connection tracking table with ctnetlink batches.
 *
 * usage: bun bench/conntrack-entries.ts COUNT DESTINATION ENDPOINT...
 *
 * One of ten entries is UDP to DESTINATION:53. The others are established TCP to DESTINATION:80,
 * except one of a thousand, which is an unanswered SYN. The ENDPOINTs answer in turn, at ports 5353
 * and 8080.
 */
import { IPS_SEEN_REPLY } from "../asm/layout/flow.ts";
import { PROTOCOLS } from "../src/net/protocol.ts";
import { NETLINK_NETFILTER, NFGENMSG_LEN } from "../src/netlink/constants.ts";
import { MessageWriter } from "../src/netlink/message.ts";
import { NetlinkSocket } from "../src/netlink/socket.ts";
import { AF_INET } from "../src/os/posix.ts";

const BATCH_BYTES = 1 << 20;
const NLMSG_HEADER = 16;
const NEW_ENTRY = 0x100;
/** NLM_F_REQUEST | NLM_F_EXCL | NLM_F_CREATE */
const FLAGS = 0x601;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_TIMEOUT = 7;
const CTA_NAT_DST = 13;
const IPS_ASSURED = 4;
const IPS_CONFIRMED = 8;
const SYN_SENT = 1;
const ESTABLISHED = 3;
/** In seconds: longer than any measurement. */
const TIMEOUT = 7200;
const CLIENTS = 0x0af00001;
const PORTS = 50_000;

function fill(count: number, destination: number, endpoints: readonly number[]): void {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const writer = new MessageWriter(BATCH_BYTES << 1);
  for (let i = 0; i < count; i++) {
    write(writer, i, destination, endpoints[i % endpoints.length] ?? 0);
    if (writer.length < BATCH_BYTES && i < count - 1) continue;
    const [refusal] = socket.send(writer.bytes, writer.length).refusals;
    if (refusal !== undefined) {
      throw new Error(`create conntrack entry ${refusal.sequence}: errno ${refusal.errno}`);
    }
    writer.reset();
  }
}

function write(writer: MessageWriter, i: number, to: number, endpoint: number): void {
  // Uses other digits than the ones that select the endpoint.
  const kind = Math.floor(i / 5) % 1000;
  const udp = kind % 10 === 0;
  const syn = kind === 1;
  const protocol = udp ? PROTOCOLS.UDP : PROTOCOLS.TCP;
  const client = CLIENTS + Math.floor(i / PORTS);
  const port = 10_000 + (i % PORTS);
  const [asked, answering] = udp ? [53, 5353] : [80, 8080];
  const start = writer.begin(NEW_ENTRY, FLAGS, i + 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HEADER] = AF_INET;
  tuple(writer, CTA_TUPLE_ORIG, client, to, protocol, port, asked);
  tuple(
    writer,
    CTA_TUPLE_REPLY,
    syn ? to : endpoint,
    client,
    protocol,
    syn ? asked : answering,
    port,
  );
  writer.u32(CTA_TIMEOUT, TIMEOUT);
  writer.u32(CTA_STATUS, IPS_CONFIRMED | (syn ? 0 : IPS_SEEN_REPLY | IPS_ASSURED));
  if (!udp) {
    const info = writer.open(CTA_PROTOINFO);
    const tcp = writer.open(1);
    writer.raw(1, Uint8Array.of(syn ? SYN_SENT : ESTABLISHED));
    writer.close(tcp);
    writer.close(info);
  }
  if (syn) translate(writer, endpoint, answering);
  writer.end(start);
}

function tuple(
  writer: MessageWriter,
  type: number,
  from: number,
  to: number,
  protocol: number,
  fromPort: number,
  toPort: number,
): void {
  const outer = writer.open(type);
  const addresses = writer.open(1);
  writer.u32(1, from);
  writer.u32(2, to);
  writer.close(addresses);
  const ports = writer.open(2);
  writer.raw(1, Uint8Array.of(protocol));
  writer.raw(2, big16(fromPort));
  writer.raw(3, big16(toPort));
  writer.close(ports);
  writer.close(outer);
}

/** The kernel creates the reply direction. */
function translate(writer: MessageWriter, endpoint: number, port: number): void {
  const nat = writer.open(CTA_NAT_DST);
  writer.u32(1, endpoint);
  writer.u32(2, endpoint);
  const ports = writer.open(3);
  writer.raw(1, big16(port));
  writer.raw(2, big16(port));
  writer.close(ports);
  writer.close(nat);
}

function big16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

function address(text = ""): number {
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

if (import.meta.main) {
  const [count, destination, ...endpoints] = process.argv.slice(2);
  fill(Number(count), address(destination), endpoints.map(address));
}
