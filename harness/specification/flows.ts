/**
 * Specifies which connection tracking entries must be deleted, in plain TypeScript. It is the
 * readable specification and the reference for tests (kernel:
 * linux/netfilter/nfnetlink_conntrack.h, ip_conntrack_common.h).
 */

/**
 * The input for judging a dump. A frontend is `FAMILY ADDRESS PROTOCOL PORT`; the address is in
 * hexadecimal, or `*` for a node port. An endpoint is `ADDRESS PORT`.
 */
export interface FlowsWorld {
  /** The frontends of the pass. */
  readonly changed: ReadonlySet<string>;
  /** Owned frontends with the endpoints that serve them; undefined if the owner is unknown. */
  readonly held: ReadonlyMap<string, ReadonlySet<string> | undefined>;
  /** The local addresses that serve node ports. Addresses are in hexadecimal. */
  readonly nodePortRanges: readonly AddressInterval[];
}

export interface AddressInterval {
  readonly family: 4 | 6;
  readonly first: string;
  readonly last: string;
}

export interface ModelFlowsResult {
  entries: number;
  stale: number;
  end: boolean;
  errno: number;
  interrupted: boolean;
  cut: boolean;
  /** Deletion messages, in hexadecimal. */
  deletions: string;
}

const HEADER = 16;
const NFGENMSG = 4;

/** Checks one datagram of a dump. */
export function checkChunk(bytes: Uint8Array, world: FlowsWorld): ModelFlowsResult {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result: ModelFlowsResult = {
    entries: 0,
    stale: 0,
    errno: 0,
    deletions: "",
    end: false,
    interrupted: false,
    cut: false,
  };
  for (let at = 0; at < bytes.length; ) {
    const length = at + HEADER <= bytes.length ? view.getUint32(at, true) : 0;
    if (length < HEADER || at + length > bytes.length) {
      result.cut = true;
      break;
    }
    const type = view.getUint16(at + 4, true);
    if ((view.getUint16(at + 6, true) & 0x10) !== 0) result.interrupted = true;
    if (type === 2 || type === 3) {
      result.end = true;
      if (length >= HEADER + 4) result.errno = -view.getInt32(at + HEADER, true) | 0;
      break;
    }
    const entry = type === 0x100 ? readEntry(bytes.subarray(at + HEADER, at + length)) : undefined;
    if (entry !== undefined) {
      result.entries++;
      if (isStale(entry, world)) {
        result.stale++;
        result.deletions += deletionOf(entry);
      }
    }
    at += (length + 3) & ~3;
  }
  return result;
}

interface Entry {
  readonly family: 4 | 6;
  protocol: number;
  /** In hexadecimal. */
  destination: string;
  destinationPort: number;
  source: string;
  sourcePort: number;
  tcpState: number;
  status: number;
  tuple: Uint8Array;
  zone: Uint8Array | undefined;
  id: Uint8Array | undefined;
}

function isStale(entry: Entry, world: FlowsWorld): boolean {
  const { family, protocol, destination, destinationPort, source, sourcePort } = entry;
  const udp = protocol === 17;
  const syn = protocol === 6 && entry.tcpState === 1 && (entry.status & 2) === 0;
  if (!udp && !syn) return false;
  const own = `${family} ${destination} ${protocol} ${destinationPort}`;
  const nodePort = `${family} * ${protocol} ${destinationPort}`;
  let frontend = own;
  if (!world.changed.has(own)) {
    if (!world.changed.has(nodePort) || world.held.has(own)) return false;
    const serves = world.nodePortRanges.some(
      (range) => range.family === family && range.first <= destination && destination <= range.last,
    );
    if (!serves) return false;
    frontend = nodePort;
  }
  const endpoints = world.held.has(frontend) ? world.held.get(frontend) : new Set<string>();
  if (endpoints === undefined) return false;
  // An endpoint may have the frontend's own address and port: translation changes nothing then.
  if (endpoints.has(`${source} ${sourcePort}`)) return false;
  const translated = source !== destination || sourcePort !== destinationPort;
  return translated || endpoints.size > 0;
}

interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** The complete attributes, up to the first incomplete one. */
function attributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Attribute[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, true) & 0x3fff;
    found.push({ type, value: bytes.subarray(at + 4, at + length) });
    at += (length + 3) & ~3;
  }
  return found;
}

function readEntry(bytes: Uint8Array): Entry | undefined {
  const family = bytes.length < NFGENMSG ? 0 : bytes[0] === 2 ? 4 : bytes[0] === 10 ? 6 : 0;
  if (family === 0) return undefined;
  const entry: Entry = {
    family,
    protocol: 0,
    tcpState: 0,
    status: 0,
    tuple: new Uint8Array(),
    destination: "",
    destinationPort: 0,
    source: "",
    sourcePort: 0,
    zone: undefined,
    id: undefined,
  };
  for (const { type, value } of attributes(bytes.subarray(NFGENMSG))) {
    if (type === 1) {
      entry.tuple = value;
      readTuple(entry, value, false);
    } else if (type === 2) readTuple(entry, value, true);
    else if (type === 3 && value.length >= 4) entry.status = big(value, 4);
    else if (type === 4) {
      for (const tcp of attributes(value).filter((each) => each.type === 1)) {
        for (const inner of attributes(tcp.value)) {
          if (inner.type === 1 && inner.value.length > 0) entry.tcpState = inner.value[0] ?? 0;
        }
      }
    } else if (type === 18 && value.length >= 2) entry.zone = value.subarray(0, 2);
    else if (type === 12 && value.length >= 4) entry.id = value.subarray(0, 4);
  }
  const { destination, source, destinationPort, sourcePort } = entry;
  const whole = destination !== "" && source !== "" && destinationPort > 0 && sourcePort > 0;
  return whole ? entry : undefined;
}

function readTuple(entry: Entry, bytes: Uint8Array, reply: boolean): void {
  const [from, size] = entry.family === 4 ? [1, 4] : [3, 16];
  for (const { type, value } of attributes(bytes)) {
    for (const part of attributes(value)) {
      if (type === 1 && part.value.length >= size) {
        const address = part.value.subarray(0, size).toHex();
        if (reply && part.type === from) entry.source = address;
        if (!reply && part.type === from + 1) entry.destination = address;
      } else if (type === 2 && part.type === 1) {
        if (!reply && part.value.length > 0) entry.protocol = part.value[0] ?? 0;
      } else if (type === 2 && part.value.length >= 2) {
        if (reply && part.type === 2) entry.sourcePort = big(part.value, 2);
        if (!reply && part.type === 3) entry.destinationPort = big(part.value, 2);
      }
    }
  }
}

/** IPCTNL_MSG_CT_DELETE for exactly this entry. */
function deletionOf({ family, tuple, zone, id }: Entry): string {
  const body = [
    attribute(0x8001, tuple),
    zone === undefined ? "" : attribute(18, zone),
    id === undefined ? "" : attribute(12, id),
  ].join("");
  const nfgenmsg = family === 4 ? "02000000" : "0a000000";
  const length = HEADER + NFGENMSG + body.length / 2;
  return `${little(length, 4)}${little(0x102, 2)}${little(1, 2)}${little(1, 4)}${little(0, 4)}${nfgenmsg}${body}`;
}

function attribute(type: number, value: Uint8Array): string {
  const padding = "00".repeat(((value.length + 3) & ~3) - value.length);
  return `${little(4 + value.length, 2)}${little(type, 2)}${value.toHex()}${padding}`;
}

function big(bytes: Uint8Array, length: number): number {
  return bytes.subarray(0, length).reduce((value, byte) => value * 256 + byte, 0);
}

function little(value: number, bytes: number): string {
  return Array.from({ length: bytes }, (_, i) => ((value >>> (8 * i)) & 255).toString(16))
    .map((text) => text.padStart(2, "0"))
    .join("");
}
