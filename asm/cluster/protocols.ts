// Transport protocols by their IP number.

import { isText } from "../memory/bytes";

export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;

/** TCP when the text is empty, as the API defaults; 0 if it is none we know. */
export function protocolOf(at: usize, length: usize): u32 {
  if (!length || isText(at, length, "TCP")) return 6;
  if (isText(at, length, "UDP")) return 17;
  if (isText(at, length, "SCTP")) return 132;
  return 0;
}
