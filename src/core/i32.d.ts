/** AssemblyScript's types, for asm/layout/, which both sides import: here they are numbers. */
type i32 = number;
type u32 = number;
type usize = number;
