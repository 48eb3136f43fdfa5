/** Transport protocols by their IP number. */
export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolName = keyof typeof PROTOCOLS;
export type Protocol = (typeof PROTOCOLS)[ProtocolName];

/** A protocol as iptables and nft write it. */
export type ProtocolWord = Lowercase<ProtocolName>;

const WORDS: { readonly [protocol in Protocol]: ProtocolWord } = {
  [PROTOCOLS.TCP]: "tcp",
  [PROTOCOLS.UDP]: "udp",
  [PROTOCOLS.SCTP]: "sctp",
};

const PROTOCOL_BY_WORD = new Map<string, Protocol>(
  Object.values(PROTOCOLS).map((protocol) => [WORDS[protocol], protocol]),
);

/** Is this the number of a protocol that a Service can have? */
export function isProtocol(number: number): number is Protocol {
  return number === PROTOCOLS.TCP || number === PROTOCOLS.UDP || number === PROTOCOLS.SCTP;
}

/** `tcp`. */
export function protocolWord(protocol: Protocol): ProtocolWord {
  return WORDS[protocol];
}

/** The protocol that a word such as `tcp` stands for. */
export function parseProtocolWord(word: string): Protocol | undefined {
  return PROTOCOL_BY_WORD.get(word);
}

/** `tcp`, or `protocol-50` for a number that no Service can have. */
export function printProtocol(number: number): string {
  return isProtocol(number) ? protocolWord(number) : `protocol-${number}`;
}
