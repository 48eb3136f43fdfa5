// Defines the end of a table's key, in the form that the kernel concatenates (src/model/tables.ts):
// each field is padded to 4 bytes. If the table has an address, it precedes this and is in network
// order.

// Record KEY, KEY_BYTES = 8 bytes: protocol and port of a frontend
//    0 u8 PROTOCOL: PROTOCOL_*    1 u8[3] -    4 u16be PORT    6 u16 -
export const KEY_PROTOCOL: usize = 0;
export const KEY_PORT: usize = 4;
export const KEY_BYTES: usize = 8;

/** Slot number in the keys of tables with slots: a u32 in host order after all other fields. */
export const SLOT_NUMBER_BYTES: u32 = 4;

/** Number of an endpoint in the keys of numbered tables, and as a value: a u32 in host order. */
export const ENDPOINT_NUMBER_BYTES: u32 = 4;

/** Transport protocols by IP protocol number. */
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;
export const PROTOCOL_SCTP: u32 = 132;
