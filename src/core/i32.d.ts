/** Declares AssemblyScript's types as numbers for asm/layout/, which both sides import. */
type i32 = number;
type u32 = number;
type usize = number;
