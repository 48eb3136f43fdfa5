/** Transport protocols by their IP number. */
export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolName = keyof typeof PROTOCOLS;
export type Protocol = (typeof PROTOCOLS)[ProtocolName];
