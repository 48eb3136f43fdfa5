/** A small program, built as Sluice is. */

class ProbeError extends Error {}

declare const SLUICE_VERSION: string;

const { PROBE_DOTENV: dotenv } = process.env;
console.log(JSON.stringify({ version: SLUICE_VERSION, dotenv, name: ProbeError.name }));
