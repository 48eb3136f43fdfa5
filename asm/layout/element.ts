// Defines tables and their elements as host and core exchange them.

// Record DEFINITION, DEFINITION_STRIDE = 4 bytes: one for each table, by table id
//    0 u8 KEY_SIZE    1 u8 VALUE_SIZE    2 u8 FLAGS: TABLE_*    3 u8 -
export const DEFINITION_KEY_SIZE: usize = 0;
export const DEFINITION_VALUE_SIZE: usize = 1;
export const DEFINITION_FLAGS: usize = 2;
export const DEFINITION_STRIDE: usize = 4;

export const TABLE_NAMES_OWNER: u32 = 1; // comments name the owner, so a new owner needs a new element
export const TABLE_SLOTS: u32 = 2; // keys end in a slot number; DESIRED_SLOTS only
export const TABLE_LEADS: u32 = 4; // frontend → action: determines the owner of a frontend
export const TABLE_NODE_PORT_RANGES: u32 = 8; // a new element adds addresses to every node port
export const TABLE_NUMBERS: u32 = 16; // endpoint → its number; DESIRED_NUMBERS only
export const TABLE_NUMBERED: u32 = 32; // keys end in such a number; part of DESIRED_NUMBERS

// Record READ, READ_HEADER = 4 bytes: one committed element, then key[keySize] value[valueSize]
//    0 u32 OWNER
export const READ_OWNER: usize = 0;
export const READ_HEADER: usize = 4;

/** A reading of an element's counter: key[keySize], then the packets as a u64. */
export const PACKETS_BYTES: u32 = 8;

/** Result of `compare` instead of an owner if the element equals the committed one. */
export const COMPARED_SAME: i32 = -1;
