/** `port.info`: the port of protocol version 3, in a file beside the server. */
import { join } from "node:path";
import { SERVER_DEFAULTS, SETTINGS_FILE_BYTES_MAX } from "../limits.ts";

/** The port that the text names, or undefined if it names none. */
export function parsePortInfo(text: string): number | undefined {
  const digits = /^\s*(\d{1,5})\s*$/.exec(text.replace(/^\uFEFF/, ""))?.[1];
  const port = Number(digits);
  return digits !== undefined && port >= 1 && port <= 65535 ? port : undefined;
}

/** The port of the first `port.info` in these folders; without a usable one a warning and the default. */
export function readPortInfo(folders: string[], warn: (reason: string) => void): number {
  for (const folder of folders) {
    const path = join(folder, "port.info");
    try {
      if (Deno.statSync(path).size > SETTINGS_FILE_BYTES_MAX) throw new Error("it is too large");
      const port = parsePortInfo(Deno.readTextFileSync(path));
      if (port !== undefined) return port;
      warn(`${path} holds no port number`);
      return SERVER_DEFAULTS.classicPort;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      warn(`${path} cannot be read: ${(error as Error).message}`);
      return SERVER_DEFAULTS.classicPort;
    }
  }
  warn("there is no port.info");
  return SERVER_DEFAULTS.classicPort;
}
