/** Transport protocols by IP protocol number. */
export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolName = keyof typeof PROTOCOLS;
export type Protocol = (typeof PROTOCOLS)[ProtocolName];

/** A protocol name as iptables and nft spell it. */
export type LowercaseProtocol = Lowercase<ProtocolName>;

const WORDS: { readonly [protocol in Protocol]: LowercaseProtocol } = {
  [PROTOCOLS.TCP]: "tcp",
  [PROTOCOLS.UDP]: "udp",
  [PROTOCOLS.SCTP]: "sctp",
};

const PROTOCOL_BY_WORD = new Map<string, Protocol>(
  Object.values(PROTOCOLS).map((protocol) => [WORDS[protocol], protocol]),
);

/** Reports whether a Service can have this protocol number. */
export function isProtocol(number: number): number is Protocol {
  return number === PROTOCOLS.TCP || number === PROTOCOLS.UDP || number === PROTOCOLS.SCTP;
}

/** Returns the name, such as `tcp`. */
export function printLowercaseProtocol(protocol: Protocol): LowercaseProtocol {
  return WORDS[protocol];
}

/** Returns the protocol for a name such as `tcp`. */
export function parseLowercaseProtocol(word: string): Protocol | undefined {
  return PROTOCOL_BY_WORD.get(word);
}

/** Returns `tcp`, or `protocol-50` for a number that no Service can have. */
export function printProtocol(number: number): string {
  return isProtocol(number) ? printLowercaseProtocol(number) : `protocol-${number}`;
}
