/** `transfer.info`: what the classic run sends, and where (docs/protocol.md, "Files"). */
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { type HostPort, parseHostPort } from "../flags.ts";
import { CLASSIC } from "../limits.ts";
import { settingsFolders } from "../program_folder.ts";

export interface TransferInfo {
  server: HostPort;
  name: string;
  filePath: string;
}

/** @throws {UsageError} that names the line which makes no sense */
export function parseTransferInfo(text: string): TransferInfo {
  const [address = "", name = "", filePath = ""] = text.replace(/^\uFEFF/, "").split(/\r?\n/)
    .map((line) => line.trim());
  if (filePath === "") {
    throw new UsageError("Cannot read transfer.info: three lines are needed", {
      hint: "line 1 IP:port, line 2 client name, line 3 path of the file to send",
    });
  }
  checkClientName(name);
  return { server: parseHostPort(address), name, filePath };
}

/** @throws {UsageError} if the name is empty or too long for the protocol */
export function checkClientName(name: string): void {
  const bytes = new TextEncoder().encode(name).length;
  if (
    name === "" || [...name].length > CLASSIC.transferNameCharsMax || bytes > CLASSIC.nameBytesMax
  ) {
    throw new UsageError(`Cannot use client name "${name}"`, {
      hint: `a name has 1 to ${CLASSIC.transferNameCharsMax} characters`,
    });
  }
}

/** The folder beside the client that holds `transfer.info`, if any does. */
export function findTransferInfo(): string | undefined {
  return settingsFolders().find((folder) => {
    try {
      return Deno.statSync(join(folder, "transfer.info")).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
}
