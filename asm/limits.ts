/** Entries of one list: a limit for hostile objects, far beyond what the API server's size limit lets live. */
export const LIST_MAX: u32 = 8192;
