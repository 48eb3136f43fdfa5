/**
 * The tables of iptables-legacy (ip_tables), which only its own tools can read and write. Nothing here loads a
 * kernel module: a table that nobody has used in this network namespace is not asked for.
 */
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import { findTool, type SearchOptions, toolNames } from "./find-tools.ts";
import { legacyTableNames } from "./legacy-info.ts";
import { failed } from "./run-tool.ts";
import { Tools } from "./tools.ts";

/** iptables-legacy of one family. */
export class LegacyTables {
  readonly family: Family;
  readonly #options: SearchOptions;
  #tools: Tools | undefined;

  constructor(family: Family, options: SearchOptions = {}) {
    this.family = family;
    this.#options = options;
  }

  /**
   * Names of the tables in use in this network namespace.
   * @throws SluiceError PERMISSION_DENIED
   */
  async names(): Promise<string[]> {
    return legacyTableNames(this.family);
  }

  /** Is there a tool that reads and writes these tables? @throws SluiceError TOOL_FAILED */
  async usable(): Promise<boolean> {
    if (this.#tools !== undefined) return true;
    const found = await findTool(this.family, "legacy", this.#options);
    if (found !== undefined) this.#tools = new Tools(found);
    return found !== undefined;
  }

  /** Names of all chains of a table, which is read as a whole for them. @throws SluiceError TOOL_FAILED */
  async chains(table: string): Promise<ReadonlySet<string>> {
    const saved = await this.save(table);
    return new Set(Array.from(saved.matchAll(/^:(\S+) /gm), ([, name = ""]) => name));
  }

  /** What iptables-save prints of a table. @throws SluiceError TOOL_FAILED */
  async save(table: string): Promise<string> {
    return (await this.#usable()).save(table);
  }

  /** Hands `text` of one table to iptables-restore, which takes all of it or nothing. @throws SluiceError TOOL_FAILED */
  async restore(table: string, text: string): Promise<void> {
    const tools = await this.#usable();
    const result = await tools.restore(text);
    if (result.ok) return;
    const rule = "iptables-restore must take it";
    const message = `Cannot write table ${table} of ${tools.path}: ${rule}: ${result.message}`;
    throw new SluiceError("TOOL_FAILED", message, tools.path);
  }

  async #usable(): Promise<Tools> {
    if ((await this.usable()) && this.#tools !== undefined) return this.#tools;
    const [name = ""] = toolNames(this.family, "legacy");
    throw failed(name, [], "it is not installed");
  }
}
